"""Faults of any injectable function, dry runs, and several faults at once."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.engine import ArmedFault
from chaoskernel.engine.core import CoreEngine
from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Sites
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from chaoskernel.fault.where import Where
from chaoskernel.kernel import bpf
from tests.caller import Caller
from tests.functional.conftest import Arm
from tests.functional.names import ENTRY, IS_X86_64
from tests.programs import gone_within, loaded_programs
from tests.victim import Victim


def open_fault(victim: Victim, mechanism: Mechanism) -> Fault:
    return Fault(
        name="files",
        kind=Kind.FUNCTION,
        function="sys_openat",
        errno=errno.EMFILE,
        scope=Scope(pids=(victim.pid,)),
        limits=Limits(times=3, duration=600),
        mechanism=mechanism,
    )


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_a_system_call_fails_with_the_error_that_is_asked_for(
    arm: Arm, victim: Victim, bystander: Victim, tmp_path: Path, mechanism: Mechanism
) -> None:
    file = tmp_path / "file"
    file.touch()
    fault = arm(open_fault(victim, mechanism))
    assert fault.placement.hooks[0].probe.symbol.endswith("_sys_openat")
    assert bystander.does("open", file, 2) == [0] * 2
    assert victim.does("open", file, 5) == [errno.EMFILE] * 3 + [0] * 2
    assert fault.counters()["injected"] == 3
    assert fault.disarm() == []


def test_a_function_that_may_not_fail_is_refused(arm: Arm, victim: Victim) -> None:
    scope = Scope(pids=(victim.pid,))
    with pytest.raises(UnsupportedKernel, match="vfs_read is not on this kernel's"):
        arm(Fault("read", Kind.FUNCTION, scope, function="vfs_read", errno=errno.EIO))
    with pytest.raises(InvalidFault, match="function: 'sys_opnat' is not"):
        arm(Fault("open", Kind.FUNCTION, scope, function="sys_opnat", errno=errno.EIO))
    with pytest.raises(InvalidFault, match=f"missing: {ENTRY}openat has no usual error"):
        arm(Fault("open", Kind.FUNCTION, scope, function="sys_openat"))


def test_calls_near_the_one_that_fails_are_counted_and_do_not_fail(
    arm: Arm, victim: Victim, bystander: Victim, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    scope = Scope(pids=(victim.pid,))
    fault = arm(Fault("f", Kind.FUNCTION, scope, function="sys_open", errno=errno.EMFILE))
    assert bystander.does("open", file, 5) == [0] * 5
    assert victim.does("open", file, 2) == [0] * 2
    counted = {near["call"]: near["count"] for near in fault.counters().get("near", ())}
    assert counted in ({}, {"openat": 2, "openat2": 0, "creat": 0})
    assert bool(counted) == bool(fault.placement.near)
    assert fault.disarm() == []


def test_callers_that_get_past_a_system_call_are_named(arm: Arm, victim: Victim) -> None:
    """32-bit code enters the kernel by functions of its own, where the kernel has them."""
    call = "mkdir" if IS_X86_64 else "mkdirat"
    past = {f"__ia32_sys_{call}", f"__arm64_compat_sys_{call}"} & set(names_of_functions())
    fault = arm(
        Fault(
            name="directories",
            kind=Kind.FUNCTION,
            function=f"sys_{call}",
            errno=errno.ENOSPC,
            scope=Scope(pids=(victim.pid,)),
            limits=Limits(duration=600),
        )
    )
    assert victim.does("mkdir", 3) == [errno.ENOSPC] * 3
    assert list(fault.placement.left_out) == [f"32-bit callers: {name}" for name in past]
    if past and IS_X86_64:
        assert victim.does("mkdir32", 3) == [0] * 3
    assert fault.disarm() == []


def test_what_the_engine_core_needs_is_found_by_loading_a_program(lab: None) -> None:
    assert bpf.has_fetching_atomics()
    assert bpf.has_task_pt_regs()
    assert not bpf._loads((CALL, 0, 0, NO_HELPER))


CALL, NO_HELPER = 0x85, 9999


def names_of_functions() -> Iterator[str]:
    with Path("/proc/kallsyms").open(encoding="ascii") as lines:
        yield from (line.split()[2] for line in lines)


def test_faults_on_one_hook_have_their_own_counters_and_ends(
    arm: Arm, victim: Victim, bystander: Victim
) -> None:
    """The second is a dry run: it lets everything through, and counts what would have failed."""

    def mounts(name: str, target: Victim, *, dry_run: bool) -> Fault:
        return Fault(
            name=name,
            kind=Kind.SLAB,
            callchain=(Frame("sys_mount"),),
            scope=Scope(pids=(target.pid,)),
            limits=Limits(times=4, duration=600),
            dry_run=dry_run,
        )

    wet = arm(mounts("wet", victim, dry_run=False))
    dry = arm(mounts("dry", bystander, dry_run=True))
    assert victim.does("mount", 3) == [errno.ENOMEM] * 3
    assert bystander.does("mount", 3) == [0] * 3
    counters = dry.counters()
    assert counters["injected"] == 0
    assert counters["held_dry_run"] == 4
    assert counters["held_times"] == counters["matched"] - 4
    assert wet.counters()["injected"] == wet.counters()["matched"] == 3
    assert dry.disarm() == []
    assert victim.does("mount", 2) == [errno.ENOMEM, 0]
    assert dry.counters() == counters
    assert wet.disarm() == []


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Faults have agents of their own, and here they share one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def msync_alone(scope: Scope) -> Fault:
    """A fault that counts nothing near it, such as fsync: where sites are recorded, nobody does."""
    call = {"function": "sys_msync", "errno": errno.EIO}
    return Fault("msync", Kind.FUNCTION, scope, sites=Sites(), **call)  # type: ignore[arg-type]


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("engine", [CoreEngine], ids=["core"], indirect=True)
def test_a_hook_takes_no_more_faults_by_fmod_ret_than_the_kernel_attaches(
    arm: Arm, tmp_path: Path
) -> None:
    """A kprobe would be attached in place of a trampoline, and do nothing beside the others.

    A fault with several hooks takes all of them or none.
    """
    full = "as many BPF programs as this kernel attaches"
    held: list[ArmedFault] = []
    with Caller(tmp_path) as caller:
        scope = Scope(pids=(caller.pid,))
        with pytest.raises(UnsupportedKernel, match=full):
            while len(held) < 64:
                held.append(arm(msync_alone(scope)))
        assert len(held) >= 8
        loaded = loaded_programs()
        with pytest.raises(UnsupportedKernel, match=f"sys_msync has {full}"):
            arm(Fault("fsync", Kind.FSYNC, scope, where=Where(any_file=True)))
        assert gone_within(loaded_programs() - loaded, 10)
        assert caller.calls("fsync") == 0
        for each in held:
            assert each.disarm() == []
