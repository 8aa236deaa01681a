"""How many agents of a fault are where; who waits for them asks no agent.

With 500 of them, asking each at every word that one says would take most of the time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple


class Standing(NamedTuple):
    """Where an agent is.

    :param armed: its fault came into force at some time.
    :param failed: it is not, or no longer.
    :param settled: nothing of it is left.
    """

    armed: bool = False
    failed: bool = False
    settled: bool = False


class Roll:
    """The standing of each agent, under the lock that guards all that is known of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._standing: dict[str, Standing] = {}
        self._armed = self._failed = self._settled = 0

    def __enter__(self) -> None:
        self._changed.acquire()

    def __exit__(self, *_: object) -> None:
        self._changed.release()

    @property
    def all_armed(self) -> bool:
        """Whether there are agents, and all were armed."""
        return 0 < self._armed == len(self._standing)

    @property
    def any_failed(self) -> bool:
        return self._failed > 0

    @property
    def all_settled(self) -> bool:
        return self._settled == len(self._standing)

    def note(self, name: str, standing: Standing) -> None:
        """Note where an agent is; the lock is held."""
        before = self._standing.get(name, Standing())
        if before == standing and name in self._standing:
            return
        self._standing[name] = standing
        self._armed += standing.armed - before.armed
        self._failed += standing.failed - before.failed
        self._settled += standing.settled - before.settled
        self._changed.notify_all()

    def wait(self, until: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds, which is looked at whenever the standing of one changes.

        The lock is held.
        """
        return self._changed.wait_for(until, seconds)

    def wake(self) -> None:
        """Have those who wait look again; the lock is held."""
        self._changed.notify_all()
