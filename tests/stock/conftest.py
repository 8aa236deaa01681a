"""A kernel as the distribution ships it, in the lab: the engine core alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaoskernel.compiler.objects import with_object
from chaoskernel.engine import ArmedFault
from chaoskernel.engine.core import CoreEngine
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.scope import Scope
from tests.caller import Caller

Arm = Callable[..., ArmedFault]


@pytest.fixture
def arm(lab: None) -> Iterator[Arm]:
    """Arm faults for a process, by the arguments of an activity.

    Each is disarmed in the end, and its counters have to add up: over its hooks, and over what
    became of each request.
    """
    armed: list[ArmedFault] = []

    def arm_one(pid: int, **arguments: object) -> ArmedFault:
        given = {"name": "x", "duration": "10m", **arguments}
        fault = with_object(fault_of(scope=Scope(pids=(pid,)), **given))
        armed.append(CoreEngine().arm(fault, progress=lambda step: print(step, flush=True)))
        return armed[-1]

    yield arm_one
    for fault in armed:
        assert fault.disarm() == []
        counters = fault.counters()
        held = sum(value for name, value in counters.items() if name.startswith("held_"))
        assert counters["matched"] == counters["injected"] + held
        for name in ("reached", "matched"):
            assert sum(hook[name] for hook in counters["hooks"]) == counters[name]
        hits = counters["injected"] + counters["held_dry_run"]
        assert sum(hook["injected"] for hook in counters["hooks"]) == hits
        assert sum(process["injected"] for process in counters["processes"]) == hits


@pytest.fixture
def victim(lab: None, tmp_path: Path) -> Iterator[Caller]:
    """A process that makes the calls that are to fail."""
    with Caller(tmp_path / "victim") as started:
        yield started


@pytest.fixture
def neighbour(lab: None, tmp_path: Path) -> Iterator[Caller]:
    """A process that makes the same calls and is never in scope."""
    with Caller(tmp_path / "neighbour") as started:
        yield started
