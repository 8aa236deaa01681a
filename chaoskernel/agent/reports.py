"""What the log of a node is told of the counters, and how often.

A kubelet rotates a log at 10 MiB (containerLogMaxSize), and whoever reads a log again reads all of
it: the log of a day stays below that, however many processes are hit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaoskernel.agent import protocol

MOST_HIT = 20
"""How many processes a report names; the final counters have them all."""

ALIVE_SECONDS = 10.0
"""Longest silence: an agent that says nothing is cut off."""

BURST = 2 << 20
"""Bytes that may be written at once: of a quarter of an hour, each second is reported."""

RATE = 90.0
"""Bytes a second that may be written on top of that: 7.4 MiB a day."""


class Reports:
    """Decides when something is to be said, and what."""

    def __init__(self) -> None:
        self._reported: Mapping[str, Any] = {}
        self._budget = float(BURST)
        self._next_size = 0  # of the report that is due, or of the last one
        self._looked_at = 0.0
        self._said_at = 0.0

    def due(self, counters: Mapping[str, Any], now: float) -> Mapping[str, Any] | None:
        """Return the message that is due; None when there is none.

        What has changed is reported as soon as there is room for it.

        :param now: seconds, from anywhere on.
        """
        earned = (now - self._looked_at) * RATE if self._looked_at else 0.0
        self._budget, self._looked_at = min(BURST, self._budget + earned), now
        message: Mapping[str, Any] | None = None
        if self._budget >= self._next_size and counters != self._reported:
            report = {"type": protocol.COUNTERS, "counters": _shortened(counters)}
            size = len(protocol.encode(report))
            self._next_size = min(size, BURST)
            if self._budget >= self._next_size:
                self._budget -= size
                self._reported, message = counters, report
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
