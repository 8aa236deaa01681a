"""A call chain is what is active on one thread's stack, in its order, and nothing else."""

from __future__ import annotations

import dataclasses
import errno
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.bpf.program import Probe
from chaoskernel.errors import EngineError, UnsupportedKernel
from chaoskernel.kernel import features, symbols
from chaoskernel.scope import Scope
from chaoskernel.spec import Fault, Hook, Limits, Mechanism, frames_of
from tests.functional.conftest import Arm
from tests.victim import Victim


def chain_fault(victim: Victim, *names: str, mechanism: Mechanism = Mechanism.AUTO) -> Fault:
    return Fault(
        name="chain",
        hook=Hook.SLAB,
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
def test_a_frame_that_is_hot_is_followed_all_the_same(
    arm: Arm, victim: Victim, mechanism: Mechanism
) -> None:
    threads, times, every = 4, 5000, 100
    fault = arm(
        dataclasses.replace(
            chain_fault(victim, "vfs_write", "pipe_write", mechanism=mechanism), hook=Hook.PAGE
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
        arm(chain_fault(victim, "do_syscall_64"))
    assert refused.value.message == (
        "do_syscall_64 cannot be probed: the kernel marks it as notrace or noinstr"
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
