"""What is said of the counters while a fault lasts, and how often.

A kubelet rotates a log at 10 MiB (containerLogMaxSize), and whoever reads a log again reads all of
it: the log of a day stays below that, however many processes are hit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from chaoskernel.agent import protocol
from chaoskernel.moment import iso

KEPT = ("reached", "matched", "injected", "held_dry_run")
"""The counters that are kept over time."""

MOST_HIT = 20
"""How many processes a report names; the final counters have them all."""

_NEAR = "near"
"""Calls near the fault's: they may come by the thousand, and say nothing before the end."""

ALIVE_SECONDS = 10.0
"""Longest silence: an agent that says nothing is cut off."""

BURST = 2 << 20
"""Bytes that may be written at once: of a quarter of an hour, each second is reported."""

RATE = 90.0
"""Bytes a second that may be written on top of that: 7.4 MiB a day."""


class Teller(Protocol):
    """Decides when something is to be said of counters, and what."""

    since: str

    def due(self, counters: Mapping[str, Any], now: float) -> Mapping[str, Any] | None:
        """Return the message that is due; None when there is none.

        :param now: seconds, from anywhere on.
        """


class Points:
    """Says the counters that are kept over time when they have changed, for whoever asks.

    :param clock: tells seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._said = dict.fromkeys(KEPT, 0)
        self.since = iso(clock())
        """The latest moment at which the counters were as they were said last."""

    def due(self, counters: Mapping[str, Any], now: float) -> Mapping[str, Any] | None:
        """See `Teller.due`."""
        at = iso(self._clock())
        kept = {key: int(counters.get(key, 0)) for key in KEPT}
        message = None
        if kept != self._said:
            message = {"type": protocol.POINT, "at": at, "since": self.since, "counters": kept}
            self._said = kept
        self.since = at
        return message


class Reports:
    """Says all counters when they have changed, to a log that is read once: that of a node.

    :param clock: tells seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.since = iso(clock())
        """As of `Points`."""
        self._reported: Mapping[str, Any] = {}
        self._budget = float(BURST)
        self._next_size = 0  # of the report that is due, or of the last one
        self._looked_at = 0.0
        self._said_at = 0.0

    def due(self, counters: Mapping[str, Any], now: float) -> Mapping[str, Any] | None:
        """See `Teller.due`; what has changed is reported as soon as there is room for it."""
        at = iso(self._clock())
        counters = {key: value for key, value in counters.items() if key != _NEAR}
        earned = (now - self._looked_at) * RATE if self._looked_at else 0.0
        self._budget, self._looked_at = min(BURST, self._budget + earned), now
        message: Mapping[str, Any] | None = None
        if self._budget >= self._next_size and counters != self._reported:
            report = {
                "type": protocol.COUNTERS,
                "counters": _shortened(counters),
                "at": at,
                "since": self.since,
            }
            size = len(protocol.encode(report))
            self._next_size = min(size, BURST)
            if self._budget >= self._next_size:
                self._budget -= size
                self._reported, message = counters, report
        if counters == self._reported:
            self.since = at
        if message is None and now - self._said_at >= ALIVE_SECONDS:
            message = {"type": protocol.ALIVE}
        if message is not None:
            self._said_at = now
        return message


def _shortened(counters: Mapping[str, Any]) -> dict[str, Any]:
    """Return counters with the processes that were hit most, and how many there are beside."""
    hits = counters.get("processes", ())
    if len(hits) <= MOST_HIT:
        return dict(counters)
    most = sorted(hits, key=lambda hit: -int(hit["injected"]))[:MOST_HIT]
    left_out = len(hits) - MOST_HIT
    return {**counters, "processes": most, "processes_left_out": left_out}
