"""Whose calls fail: everybody's, a control group's, and nobody's once the owner has ended."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.scope import Scope
from tests import migrant
from tests.caller import Caller
from tests.functional.agents import armed_agents
from tests.programs import gone_within
from tests.stock.conftest import Arm
from tests.victim import Victim
from tests.waiting import within

FULL = errno.ENOSPC


@pytest.fixture
def group(lab: None) -> Iterator[Path]:
    """A control group of the v2 hierarchy."""
    directory = Path("/sys/fs/cgroup/chaoskernel-stock")
    directory.mkdir()
    yield directory
    root = directory.parent / "cgroup.procs"
    for pid in (directory / "cgroup.procs").read_text(encoding="ascii").split():
        root.write_text(pid)
    directory.rmdir()


def test_a_fault_of_everybody_hits_all_below_the_path_but_never_the_injector(
    arm: Arm, victim: Caller, neighbour: Caller, tmp_path: Path
) -> None:
    place = tmp_path / "victim"
    fault = arm(Scope(system_wide=True), fault="create", paths=[str(place)])
    for caller in (victim, neighbour):
        assert caller.calls("mkdir", place / "file") == FULL
        assert caller.calls("mkdir", tmp_path / "neighbour" / "file") == 0
    (place / "by the injector").mkdir()
    counters = fault.counters()
    assert counters["injected"] == 2
    assert {process["pid"] for process in counters["processes"]} == {victim.pid, neighbour.pid}


def test_an_agent_and_its_ancestors_are_exempt_from_a_fault_of_everybody(
    arm: Arm, victim: Caller
) -> None:
    fault = arm(Scope(system_wide=True), fault="signal")
    assert victim.calls("kill") == errno.EPERM
    os.kill(os.getpid(), 0)
    assert os.getpid() not in {process["pid"] for process in fault.counters()["processes"]}


def test_a_control_group_is_hit_with_whoever_moves_into_it(
    arm: Arm, victim: Caller, neighbour: Caller, group: Path, tmp_path: Path
) -> None:
    (group / "cgroup.procs").write_text(str(victim.pid))
    arm(Scope(cgroups=(str(group),)), fault="write", paths=[str(tmp_path)])
    assert [caller.calls("write") for caller in (victim, neighbour)] == [FULL, 0]
    (group / "cgroup.procs").write_text(str(neighbour.pid))
    assert [caller.calls("write") for caller in (victim, neighbour)] == [FULL, FULL]
    (group.parent / "cgroup.procs").write_text(str(victim.pid))
    assert [caller.calls("write") for caller in (victim, neighbour)] == [0, FULL]


def test_a_child_that_begins_in_a_control_group_is_hit(
    arm: Arm, victim: Caller, group: Path, tmp_path: Path
) -> None:
    (group / "cgroup.procs").write_text(str(victim.pid))
    arm(Scope(cgroups=(str(group),)), fault="create", paths=[str(tmp_path)])
    with Victim(tmp_path, script=migrant.__file__) as parent:
        assert parent.does("makes", group, tmp_path / "inside") == [FULL]
        assert parent.does("makes", group.parent, tmp_path / "outside") == [0]


def test_a_fault_of_everybody_ends_with_its_owner(victim: Caller) -> None:
    scope = Scope(system_wide=True)
    fault = fault_of(name="x", fault="create", scope=scope, paths=[str(victim.directory)])
    with armed_agents({"x": fault}) as agents:
        assert victim.calls("mkdir") == FULL
        programs = agents["x"].armed["programs"]
        agents["x"].process.send_signal(signal.SIGKILL)
        assert within(10, lambda: victim.calls("mkdir") == 0)
        assert gone_within(programs, 10)


def test_a_child_of_the_victim_is_hit_too(arm: Arm, victim: Caller) -> None:
    """A fork is told in the middle of the call that makes it."""
    fault = arm(victim.pid, fault="exec")
    assert victim.calls("exec") == errno.ENOMEM
    assert victim.pid not in {process["pid"] for process in fault.counters()["processes"]}
