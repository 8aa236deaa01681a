"""The latest injections of all nodes: as many as one agent keeps, however many nodes there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chaoskernel.fault.spec import MAX_EVENTS


class Latest:
    """Events of all nodes, the oldest first; the caller guards it.

    What 500 agents tell at their end is 60 MB of text, and would take four times that in memory.
    """

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self.dropped = 0
        """How many were left out for later ones."""

    @property
    def events(self) -> tuple[dict[str, Any], ...]:
        return tuple(self._events)

    def add(self, node: str, events: Iterable[Mapping[str, Any]]) -> None:
        """Take in those of a node."""
        more = ({**event, "node": node} for event in events)
        found = sorted([*self._events, *more], key=lambda event: str(event.get("at", "")))
        self.dropped += max(0, len(found) - MAX_EVENTS)
        self._events = found[-MAX_EVENTS:]
