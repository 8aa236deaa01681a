"""Engines that arm nothing, for an agent in this process."""

from __future__ import annotations

from chaoskernel.bpf.placement import Placement
from chaoskernel.engine import Progress, Recorder
from chaoskernel.errors import EngineError
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits, Mechanism
from chaoskernel.kernel import boottime
from tests.unit.placed import hook_at


class FakeArmed:
    placement = Placement((hook_at("should_failslab", Mechanism.KPROBE),), ())
    targets = ({"pid": 42, "command": "victim"},)
    programs = (5, 6)
    warnings = ("stacks have no names",)
    proof = "attached"

    def __init__(self, seconds: float) -> None:
        self.expires = boottime.now() + round(seconds * 1e9)
        self.disarmed = 0
        self.followed = 0
        self.held = 0
        self.reached = 0

    def totals(self) -> dict[str, int]:
        return {"reached": self.reached, "provoked": 1}

    def counters(self) -> dict[str, int]:
        return {"injected": 3 + self.disarmed}

    def events(self, limit: int) -> dict[str, object]:
        return {"events": [{"pid": 42}, {"pid": 43}][-limit:], "dropped": 7}

    def follow(self) -> None:
        self.followed += 1

    recorder: Recorder | None = None

    def hold(self) -> None:
        self.held += 1

    def disarm(self) -> list[int]:
        self.disarmed += 1
        return []


class FakeEngine:
    name = "fake"

    def __init__(self, error: EngineError | None = None) -> None:
        self.error = error
        self.armed: FakeArmed | None = None

    def arm(self, fault: Fault, *, progress: Progress) -> FakeArmed:
        progress("compiling")
        if self.error:
            raise self.error
        self.armed = FakeArmed(fault.limits.duration)
        return self.armed


def a_fault(seconds: float = 60) -> Fault:
    return Fault(name="x", kind=Kind.SLAB, scope=Scope(pids=(42,)), limits=Limits(duration=seconds))
