"""A rehearsal finds who is in scope, and counts nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from chaoskernel.bpf.abi import COUNTERS, HOOK_COUNTERS
from chaoskernel.engine.choice import engine_for
from chaoskernel.engine.rehearsal import Rehearsed
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Frame, Limits
from chaoskernel.kernel import boottime


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def fault_of(pid: int) -> Fault:
    return Fault(
        name="rehearsal",
        kind=Kind.SLAB,
        scope=Scope(pids=(pid,)),
        callchain=(Frame("sys_mount"),),
        limits=Limits(duration=30),
        dry_run=True,
        engine=EngineName.NONE,
    )


def test_a_rehearsal_names_its_targets_and_counts_nothing(
    sleeper: subprocess.Popen[bytes],
) -> None:
    begun = boottime.now()
    rehearsed = Rehearsed(fault_of(sleeper.pid))
    assert list(rehearsed.targets) == [{"pid": sleeper.pid, "command": "sleep"}]
    assert rehearsed.placement.hooks[0].probe.symbol == "should_failslab"
    assert 30e9 <= rehearsed.expires - begun < 60e9
    rehearsed.follow()
    assert rehearsed.counters() == {
        **dict.fromkeys(COUNTERS, 0),
        "hooks": [{"symbol": "should_failslab", **dict.fromkeys(HOOK_COUNTERS, 0)}],
        "frames": [{"symbol": "sys_mount", "entered": 0, "matched": 0}],
        "processes": [],
    }
    assert rehearsed.events(5) == {"events": [], "dropped": 0}
    assert list(rehearsed.programs) == rehearsed.disarm() == []


def test_a_scope_that_is_not_there_is_refused(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(InvalidFault, match=r"^pids: "):
        Rehearsed(fault_of(sleeper.pid))


def test_the_engine_is_named_none() -> None:
    assert engine_for(fault_of(2)).name == "none"
