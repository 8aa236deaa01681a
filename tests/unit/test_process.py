"""The one wrapper for child processes ends what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from chaoskernel import process
from chaoskernel.errors import MissingTool, TimeLimit


def ends(pid: int) -> bool:
    """Tell whether a process is gone, or dead and unreaped, within five seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:  # noqa: PTH123
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def test_output_and_status_are_returned() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], seconds=10, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_failure_names_command_status_and_last_line() -> None:
    with pytest.raises(process.CommandFailed) as failure:
        process.run(["sh", "-c", "echo one >&2; echo two >&2; exit 3"], seconds=10)
    assert str(failure.value).endswith("exited with status 3: two")
    assert failure.value.status == 3


def test_a_failure_that_printed_nothing_says_so() -> None:
    with pytest.raises(process.CommandFailed, match=r"status 1: it printed nothing"):
        process.run(["false"], seconds=10)


def test_a_program_that_is_not_there_is_a_missing_tool() -> None:
    with pytest.raises(MissingTool, match=r"^no-such-program is not installed; install "):
        process.run(["no-such-program"], seconds=10)


def test_the_time_limit_ends_the_command_and_its_children() -> None:
    started = time.monotonic()
    with pytest.raises(TimeLimit, match=r"took longer than 0.3 s and was ended"):
        process.run(["sh", "-c", "sleep 60 & wait"], seconds=0.3)
    assert time.monotonic() - started < 10


def test_what_was_spawned_ends_with_its_block_children_included() -> None:
    with process.spawn(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
    assert child.returncode == -signal.SIGKILL
    assert ends(grandchild)


def test_what_was_spawned_ends_when_its_block_fails() -> None:
    with pytest.raises(KeyError), process.spawn(["sleep", "60"]) as child:
        raise KeyError
    assert child.returncode == -signal.SIGKILL


def test_grace_lets_a_child_end_by_itself() -> None:
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    with process.spawn(["sh", "-c", script], stdout=subprocess.PIPE, grace=5) as child:
        assert child.stdout is not None
        child.stdout.readline()
    assert child.returncode == 7


@pytest.mark.parametrize("own_group", [True, False])
def test_a_child_may_stay_in_the_callers_group(own_group: bool) -> None:
    child = process.start(["sleep", "60"], own_group=own_group)
    try:
        assert (os.getpgid(child.pid) == os.getpgrp()) is not own_group
    finally:
        child.kill()
        child.wait()
