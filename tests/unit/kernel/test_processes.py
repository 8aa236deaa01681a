"""Who descends from whom, and who must not be hit; on a /proc that the test writes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault, NotPermitted, UnsupportedKernel
from chaoskernel.fault.scope import Scope
from chaoskernel.kernel import processes
from chaoskernel.kernel.processes import Process


def tree(*edges: tuple[int, int]) -> dict[int, Process]:
    return {pid: Process(pid, parent, 1, f"p{pid}", False) for pid, parent in edges}


def write_stat(proc: Path, pid: int, command: str, parent: int, flags: int, started: int) -> None:
    fields = ["S", parent, 0, 0, 0, -1, flags, *[0] * 12, started, 0, 0]
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} ({command}) " + " ".join(map(str, fields)))


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child.pid
        child.kill()


def test_a_snapshot_reads_commands_with_spaces_and_parentheses(tmp_path: Path) -> None:
    write_stat(tmp_path, 7, "a) (b c", 1, 0, 99)
    write_stat(tmp_path, 8, "kworker/0:1", 2, 0x00200000 | 0x40, 3)
    (tmp_path / "meminfo").write_text("")
    (tmp_path / "9").mkdir()  # it ended between the two reads
    assert processes.snapshot(tmp_path) == {
        7: Process(7, 1, 99, "a) (b c", False),
        8: Process(8, 2, 3, "kworker/0:1", True),
    }


def test_the_stat_of_a_process_is_read_to_its_end(tmp_path: Path) -> None:
    for pid, length in enumerate((4000, 4096, 9000, 100_000), start=7):
        write_stat(tmp_path, pid, "x" * length, 1, 0, pid)
    found = processes.snapshot(tmp_path)
    assert {pid: found[pid].started for pid in found} == {
        7: 7,
        8: 8,
        9: 9,
        10: 10,
    }


def test_descendants_of_every_generation_are_found_and_nobody_else() -> None:
    running = tree((1, 0), (10, 1), (11, 10), (12, 11), (13, 11), (20, 1), (21, 20))
    assert processes.with_descendants([10], running) == {10, 11, 12, 13}
    assert processes.with_descendants([10, 21], running) == {10, 11, 12, 13, 21}
    assert processes.with_descendants([99], running) == set()


def test_the_own_line_is_this_process_and_its_ancestors() -> None:
    line = processes.own_line(processes.snapshot())
    assert {os.getpid(), os.getppid()} <= line


def family(*hidden: int) -> dict[int, Process]:
    """Return this process, its parent 40, and 1, as far as they are not hidden."""
    running = tree((os.getpid(), 40), (40, 1), (1, 0))
    return {pid: process for pid, process in running.items() if pid not in hidden}


@pytest.mark.parametrize("hidden", [1, 40])
def test_an_ancestor_that_proc_hides_is_an_error(tmp_path: Path, hidden: int) -> None:
    """With hidepid, /proc has the caller's own processes alone, and would exempt only them."""
    for pid, process in family(hidden).items():
        write_stat(tmp_path, pid, process.command, process.parent, 0, 1)
    with pytest.raises(
        NotPermitted, match="^/proc hides processes .*; run it as root with CAP_SYS_PTRACE"
    ):
        processes.own_line(family(hidden), tmp_path)


def test_an_ancestor_that_has_ended_since_is_looked_for_again(tmp_path: Path) -> None:
    for pid, parent in ((os.getpid(), 1), (1, 0)):
        write_stat(tmp_path, pid, "p", parent, 0, 1)
    assert processes.own_line(family(40), tmp_path) == {os.getpid(), 1}


def test_the_line_of_a_container_ends_with_its_first_process(tmp_path: Path) -> None:
    assert processes.own_line(tree((os.getpid(), 0)), tmp_path) == {os.getpid()}


def test_named_processes_are_returned_in_their_order(sleeper: int, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{sleeper}\n")
    scope = Scope(pid_files=(str(pid_file),))
    roots = processes.roots_of(scope, processes.snapshot())
    assert [(root.pid, root.command) for root in roots] == [(sleeper, "sleep")]


def test_a_process_that_does_not_run_is_refused() -> None:
    with pytest.raises(InvalidFault, match="pids: 4000000 is not a running process; ps -e"):
        processes.roots_of(Scope(pids=(4_000_000,)), tree((1, 0)))


def test_a_kernel_thread_is_refused() -> None:
    running = {8: Process(8, 2, 3, "kworker/0:1", True)}
    with pytest.raises(InvalidFault, match="kernel thread kworker/0:1"):
        processes.roots_of(Scope(pids=(8,)), running)


def test_whoever_started_the_experiment_is_refused() -> None:
    running = processes.snapshot()
    with pytest.raises(InvalidFault, match="started the experiment"):
        processes.roots_of(Scope(pids=(os.getpid(),)), running)


def test_what_a_pid_file_holds_is_not_shown(tmp_path: Path) -> None:
    """It may be a secret: four million is, say, the code of a safe."""
    path = tmp_path / "pid"
    path.write_text("4000000\n")
    with pytest.raises(InvalidFault, match="is not a running process") as caught:
        processes.roots_of(Scope(pid_files=(str(path),)), tree((1, 0)))
    assert "4000000" not in str(caught.value)


def test_a_stat_that_is_cut_off_is_no_process() -> None:
    for text in ("", "7 (x", "7 (x) S 1", "7 (x) S"):
        assert processes.parsed(7, text) is None


def test_a_pid_namespace_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedKernel, match="--pid=host"):
        processes.require_kernels_ids(tmp_path)
