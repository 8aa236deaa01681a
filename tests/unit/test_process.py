"""The one wrapper for child processes ends what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

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


def state(pid: int) -> str:
    """Return a process's state as ps shows it; empty when it has been reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    return stat.rpartition(")")[2].split()[0]


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Each group that gets a signal, and the state of its leader then."""
    seen: list[tuple[int, str]] = []
    send = os.killpg

    def killpg(group: int, number: int) -> None:
        seen.append((group, state(group)))
        send(group, number)

    monkeypatch.setattr(os, "killpg", killpg)
    return seen


def _run() -> None:
    process.run(["true"], seconds=10)


def _spawn_and_wait() -> None:
    with process.spawn(["true"]) as child:
        child.wait(timeout=10)


def _spawn_and_poll() -> None:
    with process.spawn(["true"]) as child:
        while child.poll() is None:
            time.sleep(0.01)


def _communicate() -> None:
    with process.spawn(["echo", "x"], stdout=subprocess.PIPE) as child:
        assert child.communicate()[0] == "x\n"


def _send_signal() -> None:
    with process.spawn(["true"], grace=5) as child:
        while state(child.pid) != "Z":
            time.sleep(0.01)
        child.terminate()


@pytest.mark.parametrize(
    "call", [_run, _spawn_and_wait, _spawn_and_poll, _communicate, _send_signal]
)
def test_a_group_gets_no_signal_once_its_leader_was_reaped(
    groups: list[tuple[int, str]], call: Callable[[], None]
) -> None:
    """From then on its id may be a stranger's."""
    call()
    assert groups
    assert {leader for _, leader in groups} <= {"Z", "R", "S"}


def test_what_a_leader_leaves_behind_ends_with_it() -> None:
    with process.spawn(["sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert child.wait(timeout=10) == 0
        assert ends(grandchild)


def test_an_interrupted_run_leaves_nothing_of_its_group() -> None:
    """The leader ends by itself in the moment of Ctrl-C, and its child does not."""
    script = "sleep 61.5 & echo $! >&2; sleep 0.4"
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run(["sh", "-c", script], seconds=10)
    finally:
        signal.signal(signal.SIGALRM, previous)
    sleeping = subprocess.run(
        ["pgrep", "-f", "sleep 61.5"], capture_output=True, text=True, check=False
    )
    assert not [pid for pid in sleeping.stdout.split() if not ends(int(pid))]


def test_many_threads_may_wait_for_one_child(groups: list[tuple[int, str]]) -> None:
    with process.spawn(["sleep", "0.3"]) as child:
        waiters = [threading.Thread(target=child.wait) for _ in range(8)]
        for waiter in waiters:
            waiter.start()
        for waiter in waiters:
            waiter.join(10)
        assert child.returncode == 0
    assert {leader for _, leader in groups} == {"Z"}


def test_output_that_is_not_text_is_shown_as_far_as_it_is() -> None:
    done = process.run(["printf", r"a\377b\r\nc"], seconds=10)
    assert done.stdout == "a�b\nc"
