"""A call chain is what is active on one thread's stack, in its order, and nothing else."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import itertools
import mmap
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.bpf import abi
from chaoskernel.bpf.placement import Probe
from chaoskernel.engine import Engine
from chaoskernel.errors import EngineError, UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits, Mechanism, frames_of
from chaoskernel.kernel import bpf, features, symbols
from tests.functional.conftest import Arm
from tests.functional.names import IS_X86_64, LOCKS_SLABS, NOT_TO_PROBE, here
from tests.victim import Victim
from tests.waiting import within


def chain_fault(victim: Victim, *names: str, mechanism: Mechanism = Mechanism.AUTO) -> Fault:
    return Fault(
        name="chain",
        kind=Kind.SLAB,
        callchain=frames_of(names),
        scope=Scope(pids=(victim.pid,)),
        limits=Limits(duration=600),
        mechanism=mechanism,
    )


@pytest.fixture
def overlays(lab: None, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A file of an overlay, and one of an overlay on that overlay: its open calls itself."""
    lower, empty, once, twice = (tmp_path / name for name in ("lower", "empty", "once", "twice"))
    for directory in (lower, empty, once, twice):
        directory.mkdir()
    (lower / "file").write_text("x")
    mounted: list[Path] = []
    try:
        for below, place in ((lower, once), (once, twice)):
            options = f"lowerdir={below}:{empty}"
            command = ["mount", "-t", "overlay", "overlay", "-o", options, str(place)]
            subprocess.run(command, check=True, timeout=60)
            mounted.append(place)
        yield once / "file", twice / "file"
    finally:
        for place in reversed(mounted):
            subprocess.run(["umount", str(place)], check=True, timeout=60)


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_a_function_that_is_named_twice_has_to_be_active_twice(
    arm: Arm, victim: Victim, overlays: tuple[Path, Path], mechanism: Mechanism
) -> None:
    once, twice = overlays
    fault = arm(chain_fault(victim, "do_dentry_open", "do_dentry_open", mechanism=mechanism))
    assert victim.does("open", once, 3) == [0] * 3
    assert victim.does("open", twice, 3) == [errno.ENOMEM] * 3
    # Once it has returned from the inner call, the outer one alone is active.
    assert victim.does("open", once, 3) == [0] * 3
    assert fault.counters()["injected"] == 3
    assert fault.disarm() == []


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_a_call_that_had_begun_before_the_fault_is_not_followed(
    arm: Arm, victim: Victim, mechanism: Mechanism
) -> None:
    """The victim waits for its next command in read(2) while the fault is being attached."""
    fault = arm(chain_fault(victim, "ksys_read", mechanism=mechanism))
    assert victim.does("mount", 3) == [0] * 3
    assert fault.counters()["reached"] >= 3
    assert fault.counters()["matched"] == 0
    assert fault.disarm() == []


def test_threads_are_followed_each_for_itself(arm: Arm, victim: Victim) -> None:
    fault = arm(chain_fault(victim, "sys_mount"))
    assert victim.does("beside", 60) == [errno.ENOMEM] * 60 + [0] * 60
    assert fault.counters()["injected"] == 60
    assert fault.disarm() == []


def test_a_return_that_a_kretprobe_misses_is_not_taken_for_none(arm: Arm, victim: Victim) -> None:
    """The kernel has ten instances of a kretprobe, or two for each CPU, and 40 threads wait."""
    fault = arm(chain_fault(victim, "ksys_read", mechanism=Mechanism.KPROBE))
    assert victim.does("crowd", 40) == [0] * 40
    # A page fault inside of read(2) may ask for memory, and is under the chain.
    stacks = [
        [place.partition("+")[0] for place in e["stack"]] for e in fault.events(256)["events"]
    ]
    assert [stack for stack in stacks if "ksys_read" not in stack] == []
    assert fault.counters()["missed_returns"] >= 20
    assert fault.disarm() == []


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_a_hot_frame_is_followed(arm: Arm, victim: Victim, mechanism: Mechanism) -> None:
    threads, times, every = 4, 5000, 100
    fault = arm(
        dataclasses.replace(
            chain_fault(victim, "vfs_write", "pipe_write", mechanism=mechanism), kind=Kind.PAGE
        )
    )
    hits = threads * times // every
    assert victim.does("hot", threads, times, every) == [errno.ENOMEM] * hits
    counters = fault.counters()
    assert counters["injected"] == hits
    assert counters["frames"][0]["entered"] >= threads * times + hits
    assert counters["frames"][1]["matched"] == hits + 1  # the answer comes through a pipe too
    assert fault.disarm() == []


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_a_thread_that_dies_inside_leaves_nothing_to_whoever_has_its_id_next(
    arm: Arm, victim: Victim, few_ids: int, mechanism: Mechanism
) -> None:
    try:
        fault = arm(chain_fault(victim, "sys_exit_group", mechanism=mechanism))
    except EngineError as refused:  # newer kernels say: its return is never seen
        assert "noreturn" in str(refused)
        fault = arm(chain_fault(victim, "sys_exit_group"))
        assert fault.placement.frames[0].mechanism is Mechanism.KPROBE
    times = 2 * few_ids
    assert victim.does("lives", times) == [0] * times
    counters = fault.counters()
    assert counters["frames"][0]["matched"] == times
    assert counters["matched"] == counters["held_exiting"]
    assert fault.disarm() == []


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
@pytest.mark.parametrize("inner", ["set_mm_exe_file", "setup_arg_pages", "vm_mmap"])
def test_a_thread_that_takes_the_leaders_id_stays_under_its_chain(
    arm: Arm, victim: Victim, mechanism: Mechanism, inner: str
) -> None:
    """In exec a thread that is not the leader goes on under the leader's id."""
    # A kernel that runs 32-bit programs has two functions of the one name.
    named = re.findall(r"(?m) t load_elf_binary$", Path("/proc/kallsyms").read_text())
    outer = "load_elf_binary" if len(named) == 1 else "sys_execve"
    chain = chain_fault(victim, outer, inner, mechanism=mechanism)
    fault = arm(dataclasses.replace(chain, dry_run=True))
    assert victim.does("exec", 5) == [0] * 5
    frames = fault.counters()["frames"]
    assert frames[0]["matched"] == frames[0]["entered"] == 5
    assert frames[1]["matched"] >= 5
    if inner == "vm_mmap":  # which asks for memory in any case
        assert fault.counters()["matched"] >= 5
    # What was kept for the old id is not taken for a chain of whoever has it next.
    before = fault.counters()["matched"]
    assert victim.does("threads", 4, 5) == [0] * 20
    assert victim.does("lives", 20) == [0] * 20
    assert fault.counters()["matched"] == before
    assert fault.disarm() == []


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_nothing_is_allocated_where_a_frame_is_entered(
    arm: Arm, victim: Victim, mechanism: Mechanism
) -> None:
    """A frame may hold the lock that an allocation would wait for."""
    victim.does("getppid", 1)  # what Python allocates for it at first
    fault = arm(chain_fault(victim, "sys_getppid", mechanism=mechanism))
    reached = [fault.counters()["reached"]]
    for _ in range(3):
        assert victim.does("getppid", 1) == [0]
        reached.append(fault.counters()["reached"])
    first, *others = (after - before for before, after in itertools.pairwise(reached))
    assert others == [first] * 2
    assert fault.counters()["frames"][0]["matched"] == 3
    assert fault.disarm() == []


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
@pytest.mark.parametrize(
    "names",
    [("ttwu_do_activate",), ("enqueue_task_fair",), LOCKS_SLABS],
    ids=lambda names: names[0],
)
def test_a_frame_that_holds_the_lock_of_a_run_queue_or_a_slab_is_followed(
    arm: Arm, victim: Victim, names: tuple[str, ...], mechanism: Mechanism
) -> None:
    frame = here(names)
    fault = arm(dataclasses.replace(chain_fault(victim, frame, mechanism=mechanism), dry_run=True))
    assert victim.does("threads", 8, 20) == [0] * 160
    assert victim.does("lives", 50) == [0] * 50
    # The larger pages are, the rarer a slab is used up.
    assert fault.counters()["frames"][0]["matched"] > 50 * 4096 // mmap.PAGESIZE
    assert fault.disarm() == []


def test_a_thread_that_finds_no_place_for_its_chain_is_counted(
    engine: Engine, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abi, "MAX_WALKS", 1)
    fault = engine.arm(chain_fault(victim, "sys_mount"), progress=print)
    assert victim.does("mount", 3) == [0] * 3
    assert fault.disarm() == []
    counters = fault.counters()
    assert (counters["untracked"], counters["unlisted"], counters["matched"]) == (3, 0, 0)
    assert counters["frames"][0]["entered"] == 3


@pytest.mark.skipif(not IS_X86_64, reason="it is looked at on x86-64 alone")
def test_the_system_call_of_a_chain_is_read_where_this_kernel_keeps_it(
    arm: Arm, engine: Engine
) -> None:
    """What lies above a thread's registers differs between kernels (X86_FRED)."""
    script = ["sh", "-c", "read line; exec sleep 1000"]
    with subprocess.Popen(script, stdin=subprocess.PIPE, text=True) as sleeper:
        assert sleeper.stdin
        scope = Scope(pids=(sleeper.pid,))
        fault = arm(Fault("asleep", Kind.SLAB, scope, frames_of(["hrtimer_nanosleep"])))
        print(file=sleeper.stdin, flush=True)
        assert within(60, lambda: fault.counters()["frames"][0]["matched"] == 1)
        module = fault._module  # type: ignore[attr-defined]
        table = module._table("walks", ctypes.c_uint32, abi.Walk)
        entries = [walk.entry for walk in all_of(table._descriptor) if walk.task]
        sleeper.kill()
    assert entries == [CLOCK_NANOSLEEP]
    assert fault.disarm() == []


CLOCK_NANOSLEEP = 230
MAP_LOOKUP_BATCH = 24


def all_of(walks: int) -> ctypes.Array[abi.Walk]:
    """Read the whole array in one call: in an emulated machine, one for each takes a minute."""
    keys, values = (ctypes.c_uint32 * abi.MAX_WALKS)(), (abi.Walk * abi.MAX_WALKS)()
    last = ctypes.c_uint32()
    places = (0, *map(ctypes.addressof, (last, keys, values)))
    attributes = struct.pack("=QQQQIIQQ", *places, abi.MAX_WALKS, walks, 0, 0)
    assert bpf._bpf(MAP_LOOKUP_BATCH, attributes)[0] == 0
    return values


@pytest.fixture
def few_ids(lab: None) -> Iterator[int]:
    """How many process ids there are at most, from here on: each is soon used again."""
    limit, reserved = Path("/proc/sys/kernel/pid_max"), 300
    before = limit.read_text()
    highest = max(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    limit.write_text(str(max(highest + 1, reserved + 100)))
    yield int(limit.read_text()) - reserved
    limit.write_text(before)


def test_a_function_that_the_kernel_lets_nobody_probe_is_named(arm: Arm, victim: Victim) -> None:
    """The entry code is noinstr: it runs before the kernel is ready for a probe."""
    with pytest.raises(UnsupportedKernel) as refused:
        arm(chain_fault(victim, NOT_TO_PROBE))
    assert refused.value.message == (
        f"{NOT_TO_PROBE} cannot be probed: the kernel marks it as notrace or noinstr"
    )


def test_a_function_of_which_the_compiler_left_one_clone_is_followed_there(
    arm: Arm, victim: Victim
) -> None:
    """Whichever this kernel has: compilers differ, and so do configurations."""
    names = symbols.running()
    listed = re.findall(
        r"(?m) t ((\w+)\.(?:isra|constprop)\.\d+)$", Path("/proc/kallsyms").read_text()
    )
    clone, name = next(
        (clone, name)
        for clone, name in listed
        if name not in names and names.clones(name) == [clone] and traceable(clone)
    )
    fault = arm(chain_fault(victim, name))
    assert fault.placement.frames == (Probe(clone, Mechanism.KPROBE),)
    assert fault.disarm() == []


def traceable(function: str) -> bool:
    try:
        features.require_traceable([function])
    except UnsupportedKernel:
        return False
    return True
