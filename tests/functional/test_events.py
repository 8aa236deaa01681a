"""What is told of each injection: who, when, for what, and where in the kernel."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from chaoskernel.bpf import abi
from chaoskernel.engine import ArmedFault
from chaoskernel.engine.events import KEPT
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism, Stacks
from tests.functional.conftest import Arm
from tests.functional.names import ENTRY
from tests.victim import Victim


def fault_of(victim: Victim, kind: Kind, *chain: str, **parts: object) -> Fault:
    return Fault(
        name="told",
        kind=kind,
        scope=Scope(pids=(victim.pid,)),
        callchain=tuple(Frame(name) for name in chain),
        limits=Limits(duration=600),
        **parts,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_each_injection_is_reported_with_its_process_its_cache_and_its_stack(
    arm: Arm, victim: Victim, mechanism: Mechanism
) -> None:
    fault = arm(fault_of(victim, Kind.SLAB, "sys_mount", mechanism=mechanism))
    before = datetime.datetime.now(datetime.UTC)
    victim.does("mount", 3)
    after = datetime.datetime.now(datetime.UTC)
    found = fault.events(100)
    assert found["dropped"] == 0
    assert len(found["events"]) == fault.counters()["injected"] == 3
    for event in found["events"]:
        assert (event["pid"], event["tid"]) == (victim.pid, victim.pid)
        assert event["command"] == Path(f"/proc/{victim.pid}/comm").read_text().strip()
        assert event["cgroup"] == Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2]
        assert before <= datetime.datetime.fromisoformat(event["at"]) <= after
        stack = [place.partition("+")[0] for place in event["stack"]]
        assert stack[0] == "should_failslab"
        assert f"{ENTRY}mount" in stack
        assert event["arguments"]["cache"].startswith(("kmalloc-", "names_cache", "filp"))
        assert event["arguments"]["size"] > 0
    assert fault.disarm() == []


def test_what_a_disk_was_asked_for_is_reported(arm: Arm, victim: Victim, ram_disk: Path) -> None:
    fault = arm(fault_of(victim, Kind.BIO))
    victim.does("read", ram_disk, 1, 4096)
    (event,) = fault.events(1)["events"]
    number = ram_disk.stat().st_rdev
    assert event["arguments"] == {
        "device": f"{os.major(number)}:{os.minor(number)}",
        "sector": 8,
        "operation": "READ",
        "bytes": 4096,
    }
    assert fault.disarm() == []


def test_the_latest_are_kept_and_the_others_counted(arm: Arm, victim: Victim) -> None:
    fault = arm(fault_of(victim, Kind.PAGE, "pipe_write"))
    times = KEPT + 44
    victim.does("pipe", times)
    assert fault.disarm() == []
    found = fault.events(KEPT)
    assert (len(found["events"]), found["dropped"]) == (KEPT, 44)
    assert {event["arguments"]["order"] for event in found["events"]} == {0}
    assert [event["at"] for event in found["events"]] == sorted(
        event["at"] for event in found["events"]
    )
    assert fault.events(5)["events"] == found["events"][-5:]


def kept_of(fault: ArmedFault) -> list[bool]:
    """Of each of the latest injections whether its stack was kept; where it was, it is there."""
    found = fault.events(KEPT)["events"]
    assert [bool(event["stack"]) for event in found] == [event["stack_kept"] for event in found]
    return [event["stack_kept"] for event in found]


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_of_many_injections_the_first_and_a_sample_have_their_stacks(
    arm: Arm, victim: Victim, mechanism: Mechanism
) -> None:
    fault = arm(fault_of(victim, Kind.PAGE, "pipe_write", mechanism=mechanism))
    first = abi.NR_WHOLE - 4
    victim.does("pipe", first)
    assert kept_of(fault) == [True] * first
    victim.does("pipe", 4 + KEPT)
    assert fault.counters()["injected"] == abi.NR_WHOLE + KEPT  # exact, whatever is kept
    kept = kept_of(fault)
    assert len(kept) == KEPT
    assert KEPT // 16 - 4 <= kept.count(True) <= KEPT // 16 + 4
    assert fault.disarm() == []


def test_a_request_of_another_sort_has_its_stack_however_late_it_comes(
    arm: Arm, victim: Victim
) -> None:
    fault = arm(fault_of(victim, Kind.SLAB, dry_run=True))
    victim.does("mount", 100)
    assert fault.counters()["held_dry_run"] > abi.NR_WHOLE
    victim.does("open", __file__, 1)
    stacks = [str(event["stack"]) for event in fault.events(KEPT)["events"] if event["stack_kept"]]
    assert any("openat" in stack for stack in stacks)
    assert fault.disarm() == []


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
@pytest.mark.parametrize(("stacks", "kept"), [(Stacks.ALL, True), (Stacks.NONE, False)])
def test_each_injection_has_its_stack_or_none_has(
    arm: Arm, victim: Victim, stacks: Stacks, kept: bool, mechanism: Mechanism
) -> None:
    times = abi.NR_WHOLE + 20
    fault = arm(fault_of(victim, Kind.PAGE, "pipe_write", stacks=stacks, mechanism=mechanism))
    victim.does("pipe", times)
    assert kept_of(fault) == [kept] * times
    counters = fault.counters()
    assert counters["injected"] == counters["matched"] == times
    assert [hit["injected"] for hit in counters["processes"]] == [times]
    assert fault.disarm() == []


def test_counters_tell_where_a_chain_ends_and_whom_it_hit(arm: Arm, victim: Victim) -> None:
    fault = arm(fault_of(victim, Kind.SLAB, "sys_mount", "path_mount", dry_run=True))
    (child,) = victim.does("child")
    victim.does("mount", 2)
    victim.does("childs", "mount", 3)
    frames = fault.counters()["frames"]
    assert [frame["symbol"] for frame in frames] == [f"{ENTRY}mount", "path_mount"]
    assert [(frame["entered"], frame["matched"]) for frame in frames] == [(5, 5), (5, 5)]
    hits = {hit["pid"]: hit for hit in fault.counters()["processes"]}
    assert hits.keys() == {victim.pid, child}
    total = sum(hit["injected"] for hit in hits.values())
    assert total == fault.counters()["held_dry_run"] > 5
    assert hits[child]["injected"] * 2 == hits[victim.pid]["injected"] * 3
    assert fault.disarm() == []


def test_a_frame_that_is_entered_outside_its_place_does_not_match(arm: Arm, victim: Victim) -> None:
    fault = arm(fault_of(victim, Kind.SLAB, "path_mount", "sys_mount"))
    assert victim.does("mount", 4) == [0] * 4
    frames = fault.counters()["frames"]
    assert [(frame["entered"], frame["matched"]) for frame in frames] == [(4, 4), (4, 0)]
    assert fault.disarm() == []
