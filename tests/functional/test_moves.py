"""Control groups: a thread is hit exactly while it is in one, however it came there."""

from __future__ import annotations

import collections
import errno
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits
from tests import migrant
from tests.functional.conftest import Arm
from tests.migrant import ENDED, INSIDE, MOVING, OUTSIDE, Phase
from tests.victim import Victim

MOVES = 10_000
FAILS, IS_LET_GO = errno.ENOMEM, errno.ENOENT


@pytest.fixture
def groups(lab: None) -> Iterator[Path]:
    """Two cgroups, of which one is in scope; everything in them is taken away after the test."""
    top = Path("/sys/fs/cgroup/moves")
    for name in ("in", "out"):
        (top / name).mkdir(parents=True)
    yield top
    for directory in sorted(top.rglob("*/"), reverse=True):
        directory.rmdir()
    top.rmdir()


def fault_of(cgroup: Path) -> Fault:
    scope = Scope(cgroups=(f"/{cgroup.relative_to('/sys/fs/cgroup')}",))
    chain = (Frame("sys_mount"),)
    return Fault("moves", Kind.SLAB, scope, chain, limits=Limits(duration=600))


def migrant_in(directory: Path) -> Victim:
    return Victim(directory, script=migrant.__file__)


def move(identity: int, cgroup: Path, what: str = "procs") -> None:
    (cgroup / f"cgroup.{what}").write_text(str(identity))


def move_in_and_out(pid: int, groups: Path, phase: Phase, times: int) -> None:
    try:
        for number in range(times):
            phase.now += 1
            move(pid, groups / ("in", "out")[number % 2])
            phase.now += 1
            time.sleep(0.0001)  # so that some requests are made in between
    finally:
        phase.now = ENDED


def test_processes_that_move_are_hit_exactly_while_they_are_inside(
    arm: Arm, groups: Path, tmp_path: Path
) -> None:
    ended: collections.Counter[tuple[int, int]] = collections.Counter()
    with (
        Victim(tmp_path) as resident,
        migrant_in(tmp_path) as one,
        migrant_in(tmp_path) as other,
        ThreadPoolExecutor() as pool,
    ):
        move(resident.pid, groups / "in")
        fault = arm(fault_of(groups / "in"))
        answers = []
        for process in (one, other):
            file = tmp_path / f"{process.pid}"
            phase = Phase(file)
            answers.append(pool.submit(process.does, "hammer", file))
            pool.submit(move_in_and_out, process.pid, groups, phase, MOVES // 2)
        for answer in answers:
            for where, number, times in zip(*[iter(answer.result())] * 3, strict=True):
                ended[where, number] += times
        assert ended.keys() <= {
            (OUTSIDE, IS_LET_GO),
            (INSIDE, FAILS),
            (MOVING, IS_LET_GO),
            (MOVING, FAILS),
        }
        assert min(ended[OUTSIDE, IS_LET_GO], ended[INSIDE, FAILS]) > MOVES // 10
        seen = ended[INSIDE, FAILS] + ended[MOVING, FAILS]
        # Who comes in between two requests of one call may fail in one that the kernel does
        # without, such as that of a memory control group's books, and the call goes on.
        assert 0 <= fault.counters()["injected"] - seen <= MOVES // 2
        assert fault.disarm() == []


def test_threads_are_hit_by_their_own_control_groups(
    arm: Arm, groups: Path, tmp_path: Path
) -> None:
    for name in ("in", "out"):
        (groups / name / "cgroup.type").write_text("threaded")
    with migrant_in(tmp_path) as process:
        move(process.pid, groups)
        (second,) = process.does("start")
        move(second, groups / "in", "threads")
        fault = arm(fault_of(groups / "in"))
        assert process.does("second", 2) == [FAILS] * 2
        assert process.does("first", 2) == [IS_LET_GO] * 2
        move(second, groups / "out", "threads")
        assert process.does("second", 1) == process.does("first", 1) == [IS_LET_GO]
        move(process.pid, groups / "in", "threads")
        assert process.does("second", 1) == [IS_LET_GO]
        assert process.does("first", 2) == [FAILS] * 2
        assert fault.counters()["injected"] == 4
        assert fault.disarm() == []


def test_a_child_that_begins_in_a_control_group_is_hit(
    arm: Arm, groups: Path, tmp_path: Path
) -> None:
    with Victim(tmp_path) as resident, migrant_in(tmp_path) as parent:
        move(resident.pid, groups / "in")
        fault = arm(fault_of(groups / "in"))
        assert parent.does("cloned", groups / "in", 2) == [FAILS] * 2
        assert parent.does("cloned", groups / "out", 2) == [IS_LET_GO] * 2
        assert parent.does("first", 1) == [IS_LET_GO]
        assert fault.counters()["injected"] == 2
        assert fault.disarm() == []
