"""Probability, times, duration and the order of the chain, on a real kernel."""

from __future__ import annotations

import errno
import subprocess
import time

from chaoskernel.bpf.abi import MAX_HIT
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, frames_of
from chaoskernel.kernel import boottime
from tests.functional.conftest import Arm
from tests.victim import Victim


def mount_fault(victim: Victim, limits: Limits, callchain: tuple[Frame, ...]) -> Fault:
    return Fault(
        name="limited",
        kind=Kind.SLAB,
        callchain=callchain,
        scope=Scope(pids=(victim.pid,)),
        limits=limits,
    )


MOUNT = (Frame("sys_mount"),)


def test_times_is_exact_with_eight_threads_on_two_cpus(arm: Arm, victim: Victim) -> None:
    fault = arm(mount_fault(victim, Limits(times=100, duration=600), MOUNT))
    ended = victim.does("threads", 8, 40)
    assert len(ended) == 320
    assert ended.count(errno.ENOMEM) == 100
    counters = fault.counters()
    assert counters["injected"] == 100
    assert counters["held_times"] == counters["matched"] - 100
    assert fault.disarm() == []


def test_probability_is_drawn_once_for_each_mount(arm: Arm, victim: Victim) -> None:
    fault = arm(mount_fault(victim, Limits(probability=50, duration=600), MOUNT))
    failed = victim.does("mount", 400).count(errno.ENOMEM)
    # 400 fair draws: mean 200, standard deviation 10; five of them leave
    # a chance of less than one in a million.
    assert 150 <= failed <= 250
    counters = fault.counters()
    assert counters["injected"] == failed
    # A mount that was not drawn makes several requests, and every one is let through.
    assert counters["held_probability"] == counters["matched"] - failed
    assert counters["held_probability"] >= 2 * (400 - failed)
    assert fault.disarm() == []


def test_the_program_itself_stops_injecting_at_the_deadline(arm: Arm, victim: Victim) -> None:
    fault = arm(mount_fault(victim, Limits(duration=5), MOUNT))
    assert victim.does("mount", 2) == [errno.ENOMEM] * 2
    time.sleep(max(0.0, (fault.expires - boottime.now()) / 1e9) + 0.01)
    # Nobody has disarmed it: the programs are attached still, and hold back.
    assert victim.does("mount", 2) == [0] * 2
    counters = fault.counters()
    assert counters["injected"] == 2
    assert counters["held_deadline"] == counters["matched"] - 2
    assert counters["held_deadline"] >= 2
    assert fault.disarm() == []


def test_more_processes_than_are_listed_are_hit_and_counted(arm: Arm) -> None:
    """Each of the shell's children takes pages of its own."""
    script = f"read line; n=0; while [ $n -lt {MAX_HIT + 100} ]; do (:); n=$((n + 1)); done"
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, text=True) as shell:
        scope = Scope(pids=(shell.pid,))
        fault = arm(Fault("many", Kind.PAGE, scope, limits=Limits(duration=600), dry_run=True))
        shell.communicate("\n", timeout=300)
    assert fault.disarm() == []
    counters = fault.counters()
    assert len(counters["processes"]) == MAX_HIT
    assert counters["unlisted"] >= 100
    assert counters["untracked"] == 0


def test_frames_match_in_their_order_only(arm: Arm, victim: Victim) -> None:
    right = arm(mount_fault(victim, Limits(duration=600), frames_of(["sys_mount", "path_mount"])))
    assert victim.does("mount", 3) == [errno.ENOMEM] * 3
    assert right.counters()["injected"] == 3
    assert right.disarm() == []
    wrong = arm(mount_fault(victim, Limits(duration=600), frames_of(["path_mount", "sys_mount"])))
    assert victim.does("mount", 3) == [0] * 3
    assert wrong.counters()["matched"] == 0
    assert wrong.counters()["reached"] >= 3
    assert wrong.disarm() == []


def test_a_chain_of_sixteen_frames_is_followed(arm: Arm, victim: Victim) -> None:
    """One function named sixteen times: it is not sixteen calls deep, so nothing matches."""
    chain = frames_of(["sys_mount", "path_mount"] * 8)
    fault = arm(mount_fault(victim, Limits(duration=600), chain))
    assert victim.does("mount", 3) == [0] * 3
    assert fault.counters()["matched"] == 0
    assert fault.counters()["reached"] >= 3
    assert fault.disarm() == []
