"""What an override must never fail; without the guard, each of these would be injected."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from chaoskernel.engine import ArmedFault
from chaoskernel.engine.events import KEPT
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits, frames_of
from tests.functional.conftest import Arm
from tests.functional.names import CREATE_CACHE, here
from tests.toucher import PAGES, Toucher
from tests.victim import Victim

NOT_TO_BE_WAITED_FOR = "(gfpflags & 0x400) == 0"
"""Without __GFP_DIRECT_RECLAIM: the requests of interrupts, among others."""


def fault_of(scope: Scope, *names: str, kind: Kind = Kind.SLAB, predicate: str = "") -> Fault:
    return Fault(
        name="guarded",
        kind=kind,
        callchain=frames_of(names),
        predicate=predicate,
        scope=scope,
        limits=Limits(duration=600),
    )


def held(counters: Mapping[str, int], by: str) -> bool:
    """Tell whether every request that matched was held back by this guard."""
    return counters["injected"] == 0 and counters[f"held_{by}"] == counters["matched"] > 0


def test_a_request_that_must_not_fail_does_not(arm: Arm, victim: Victim) -> None:
    """The buffer heads of a page are asked for with __GFP_NOFAIL."""
    fault = arm(fault_of(Scope(pids=(victim.pid,)), "create_empty_buffers"))
    assert victim.does("write", "/dev/ram1", 8) == [0] * 8
    assert held(fault.counters(), "nofail")
    assert fault.disarm() == []


def test_an_interrupt_is_not_the_tasks_that_it_interrupts(arm: Arm, victim: Victim) -> None:
    """The answer to a datagram is made in a softirq, while its sender is the current task."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
    os.sched_setaffinity(victim.pid, {0})  # each CPU has a route of its own, made when first used
    assert victim.does("datagram", 3) == [errno.ECONNREFUSED] * 3
    fault = arm(fault_of(Scope(pids=(victim.pid,)), predicate=NOT_TO_BE_WAITED_FOR))
    assert victim.does("datagram", 3) == [errno.ECONNREFUSED] * 3
    assert fault.counters()["held_interrupt"] >= 3
    assert fault.disarm() == []
    os.sched_setaffinity(victim.pid, range(os.cpu_count() or 1))


def test_a_kernel_thread_is_not_hit_system_wide(arm: Arm, victim: Victim) -> None:
    """Dirty pages are written to the disk by a kernel thread."""
    for name, centiseconds in (("dirty_writeback", 20), ("dirty_expire", 10)):
        Path(f"/proc/sys/vm/{name}_centisecs").write_text(str(centiseconds))
    fault = arm(fault_of(Scope(system_wide=True), "wb_workfn", kind=Kind.BIO))
    with Path("/dev/ram1").open("rb"):  # whoever closes it last would write the pages himself
        assert victim.does("write", "/dev/ram1", 8) == [0] * 8
        end = time.monotonic() + 60
        while fault.counters()["matched"] == 0 and time.monotonic() < end:
            time.sleep(0.2)
    assert held(fault.counters(), "kthread")
    assert fault.disarm() == []


def test_a_task_that_exits_is_let_go(arm: Arm, victim: Victim) -> None:
    """On its way out it touches memory once more."""
    fault = arm(fault_of(Scope(pids=(victim.pid,)), "exit_mm_release", kind=Kind.PAGE))
    assert victim.does("exit", 4) == [0] * 4
    counters = fault.counters()
    assert held(counters, "exiting")
    assert counters["matched"] >= 4
    assert fault.disarm() == []


def test_a_task_that_is_being_killed_for_want_of_memory_is_let_go(arm: Arm, victim: Victim) -> None:
    """It has hundreds of datagrams to send yet, and each takes memory that it gets."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
    fault = arm(
        dataclasses.replace(fault_of(Scope(pids=(victim.pid,)), "__sys_sendmmsg"), dry_run=True)
    )
    for _ in range(5):  # one may be between two calls when it is chosen
        assert victim.does("oom") == [signal.SIGKILL]
        if fault.counters()["held_oom"]:
            break
    assert fault.counters()["held_oom"] > 0
    assert fault.disarm() == []


def test_the_cache_of_caches_is_not_made_to_fail(arm: Arm, victim: Victim) -> None:
    """A new slab cache takes one object of it, unless there is one of that size already."""
    wanted = fault_of(Scope(pids=(victim.pid,)), here(CREATE_CACHE))
    fault = arm(dataclasses.replace(wanted, dry_run=True))
    assert victim.does("nest", 24) == [0]
    counters = fault.counters()
    assert counters["held_bootstrap"] > 0
    caches = [event["arguments"]["cache"] for event in fault.events(KEPT)["events"]]
    assert len(caches) == counters["held_dry_run"]
    assert "kmem_cache" not in caches
    assert fault.disarm() == []


def touched(fault: ArmedFault, toucher: Toucher) -> Mapping[str, int]:
    """Have the pages touched while a fault is in force, which is over then."""
    toucher.touch()
    counters = fault.counters()
    assert fault.disarm() == []
    return counters


def test_a_page_fault_is_let_through_where_it_would_be_tried_for_ever(arm: Arm) -> None:
    """A page fault without memory is no error to the program: the kernel tries it again."""
    with Toucher() as toucher:
        fault = arm(fault_of(Scope(pids=(toucher.pid,)), kind=Kind.PAGE))
        counters = touched(fault, toucher)
    assert counters["held_page_fault"] >= PAGES
    assert counters["page_faults"] == 0
    # The kernel itself touched the last one, for a system call, which reports that.
    assert toucher.error_of_read == errno.EFAULT
    assert counters["injected"] > 0


def test_the_first_touch_of_a_mapping_takes_slab_memory_that_it_gets(arm: Arm) -> None:
    with Toucher() as toucher:
        fault = arm(fault_of(Scope(pids=(toucher.pid,))))
        counters = touched(fault, toucher)
    assert counters["held_page_fault"] > 0
    assert counters["page_faults"] == 0


def test_page_faults_fail_where_that_was_asked_for(arm: Arm) -> None:
    with Toucher() as toucher:
        wanted = fault_of(Scope(pids=(toucher.pid,)), kind=Kind.PAGE)
        limits = dataclasses.replace(wanted.limits, times=20)
        fault = arm(dataclasses.replace(wanted, page_faults=True, limits=limits))
        counters = touched(fault, toucher)
    assert counters["page_faults"] == counters["injected"] == 20
    assert counters["held_page_fault"] == 0
    assert toucher.error_of_read == 0


READER = """
import os
while True:
    try:
        for place, _, names in os.walk("/usr/lib/python3"):
            for name in names:
                try:
                    with open(f"{place}/{name}", "rb") as file:
                        file.read()
                except (OSError, MemoryError):
                    pass
    except (OSError, MemoryError):
        pass
"""


def test_a_9p_server_gets_back_its_files_without_memory(arm: Arm) -> None:
    """The lab's root is one.  A file that is closed without memory would stay open there, under a
    number that is used again: from then on nobody could open anything."""
    reader = subprocess.Popen([sys.executable, "-S", "-E", "-c", READER])
    try:
        wanted = fault_of(Scope(pids=(reader.pid,)))
        limits = dataclasses.replace(wanted.limits, probability=5)
        fault = arm(dataclasses.replace(wanted, limits=limits))
        end = time.monotonic() + 240
        while fault.counters()["injected"] < 6000 and time.monotonic() < end:
            assert reader.poll() is None
            time.sleep(0.5)
        assert fault.disarm() == []
    finally:
        reader.kill()
        reader.wait()
    counters = fault.counters()
    assert counters["injected"] >= 6000
    assert counters["held_cleanup"] > 0
    everything = "find /usr/lib/python3 -type f -exec cat {} + >/dev/null"
    read = subprocess.run(
        ["sh", "-c", everything], capture_output=True, text=True, check=False, timeout=240
    )
    assert (read.returncode, read.stderr) == (0, "")
