"""What the counters of every fault have in common, whatever was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaoskernel.engine import ArmedFault


def of_disarmed(fault: ArmedFault) -> tuple[Mapping[str, Any], int]:
    """Disarm a fault; return its counters, which have to add up, and how many requests it hit."""
    assert fault.disarm() == []
    counters = fault.counters()
    held = sum(value for name, value in counters.items() if name.startswith("held_"))
    assert counters["matched"] == counters["injected"] + held
    assert counters["matched"] <= counters["reached"]
    hits = counters["injected"] + counters["held_dry_run"]
    listed = sum(process["injected"] for process in counters["processes"])
    assert listed + counters["unlisted"] == hits
    return counters, hits
