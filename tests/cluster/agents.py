"""Agents that run on the cluster's nodes: this process sees those of all nodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from chaoskernel.fault.assignment import FAULT_VARIABLE, Assignment


def running(name: str = "") -> list[int]:
    """Return the process ids of the agents of a fault, or of all."""
    return [pid for pid, fault in _agents() if name in ("", fault)]


def _agents() -> Iterator[tuple[int, str]]:
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"\0-m\0chaoskernel.agent\0" in (place / "cmdline").read_bytes():
                yield int(place.name), _fault(place)


def _fault(place: Path) -> str:
    """Return the fault that an agent has: it is in its environment."""
    for each in (place / "environ").read_bytes().split(b"\0"):
        key, _, value = each.partition(b"=")
        if key == FAULT_VARIABLE.encode():
            return Assignment.from_text(value.decode()).fault.name
    return ""
