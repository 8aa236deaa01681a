"""The targets of this process: this host, and the clusters that its activities have named."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from chaoskernel.backend.local import LocalTarget
from chaoskernel.backend.target import Record, State, Target
from chaoskernel.errors import ChaosKernelError, EngineError, UnknownFault


class Targets:
    """Several targets as one: each fault is looked for in all of them.

    :param first: where faults are started.
    """

    def __init__(self, first: Target) -> None:
        self._first = first
        self._others: dict[object, Target] = {}
        self._lock = threading.Lock()

    def other(self, key: object, make: Callable[[], Target]) -> Target:
        """Return the target that goes by a key; it is made when it is first asked for."""
        with self._lock:
            if key not in self._others:
                self._others[key] = make()
            return self._others[key]

    def start(self, fault: Any) -> Record:
        """Inject a fault at the first target; see `Target.start`."""
        return self._first.start(fault)

    def counters(self, name: str) -> dict[str, Any]:
        """See `Target.counters`."""
        return self._having(name).counters(name)

    def events(self, name: str, limit: int) -> dict[str, Any]:
        """See `Target.events`."""
        return self._having(name).events(name, limit)

    def record(self, name: str) -> Record:
        """See `Target.record`."""
        return self._having(name).record(name)

    def records(self) -> Sequence[Record]:
        """See `Target.records`; those of one target are together."""
        return [record for target in self._all() for record in target.records()]

    def stop(self, name: str = "") -> Sequence[Record]:
        """See `Target.stop`; every target is seen to before an error of one is raised."""
        stopped: list[Record] = []
        troubles: list[ChaosKernelError] = []
        for target in self._all():
            try:
                stopped += target.stop(name)
            except ChaosKernelError as error:
                troubles.append(error)
        if len(troubles) == 1:
            raise troubles[0]
        if troubles:
            raise EngineError("; ".join(map(str, troubles)))
        return stopped

    def _all(self) -> list[Target]:
        with self._lock:
            return [self._first, *self._others.values()]

    def _having(self, name: str) -> Target:
        """Return the target that has a fault, rather one where it is in force.

        :raises UnknownFault: none has it.
        """
        found: list[tuple[Target, Record]] = []
        refused: UnknownFault | None = None
        for target in self._all():
            try:
                found.append((target, target.record(name)))
            except UnknownFault as error:
                refused = refused or error
        active = [target for target, record in found if record.state is State.ACTIVE]
        if not found:
            assert refused is not None, "there is at least one target"
            raise refused
        return active[-1] if active else found[-1][0]


_shared: list[Targets] = []
_shared_lock = threading.Lock()


def shared() -> Targets:
    """Return the one target of this process: it has all the faults that its activities start."""
    with _shared_lock:
        if not _shared:
            _shared.append(Targets(LocalTarget()))
        return _shared[-1]


@contextlib.contextmanager
def sharing(target: Target) -> Iterator[None]:
    """Make another target the one of this process for a while."""
    with _shared_lock:
        _shared.append(Targets(target))
        mine = _shared[-1]
    try:
        yield
    finally:
        with _shared_lock:
            _shared.remove(mine)
