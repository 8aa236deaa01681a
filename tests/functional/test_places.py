"""Names that mean no function, or several; tracing that is off; proof of a function."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.engine import Engine
from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from chaoskernel.kernel import symbols
from tests.functional.conftest import Arm
from tests.functional.names import ALLOCATE, here
from tests.programs import loaded_programs
from tests.victim import Victim

FTRACE = Path("/proc/sys/kernel/ftrace_enabled")
KPROBES = Path("/sys/kernel/debug/kprobes/enabled")
KPTR_RESTRICT = Path("/proc/sys/kernel/kptr_restrict")
MECHANISMS = [Mechanism.FMOD_RET, Mechanism.KPROBE]

SHARED = ("m_start", "proc_single_open", "init_once", "t_start", "umask_show")
"""Functions of several files; not every kernel has all of them."""


@pytest.fixture
def off(lab: None, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A switch of the kernel's, set to 0 for a while."""
    switch: Path = request.param
    switch.write_text("0\n")
    yield switch
    switch.write_text("1\n")


def fault_in(victim: Victim, kind: Kind, mechanism: Mechanism, *frames: Frame) -> Fault:
    return Fault(
        name="placed",
        kind=kind,
        function="sys_openat" if kind is Kind.FUNCTION else "",
        errno=errno.EMFILE if kind is Kind.FUNCTION else 0,
        callchain=frames,
        scope=Scope(pids=(victim.pid,)),
        limits=Limits(duration=600),
        mechanism=mechanism,
    )


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=str)
def test_a_name_that_several_functions_share_is_refused_and_nothing_is_loaded(
    arm: Arm, victim: Victim, mechanism: Mechanism
) -> None:
    known = symbols.running()
    shared = [name for name in SHARED if len(known.places(name)) > 1]
    assert len(shared) > 1
    before = loaded_programs()
    for name in shared:
        number = len(known.places(name))
        frames = (
            Frame(name),
            Frame(name, "struct inode *inode, struct file *file", "inode != 0"),
        )
        for frame in frames:
            with pytest.raises(
                InvalidFault, match=f"'{name}' is not the name of one .* has {number}\\b.*0xffff"
            ):
                arm(fault_in(victim, Kind.SLAB, mechanism, Frame("sys_mount"), frame))
    fault = Fault(
        "x", Kind.FUNCTION, Scope(pids=(victim.pid,)), function=shared[0], errno=errno.EIO
    )
    with pytest.raises(InvalidFault, match=f"^function: '{shared[0]}' is not the name of one"):
        arm(fault)
    assert loaded_programs() == before


def test_addresses_that_the_kernel_hides_are_not_in_the_refusal(arm: Arm, victim: Victim) -> None:
    kept = KPTR_RESTRICT.read_text()
    KPTR_RESTRICT.write_text("2\n")
    symbols.running.cache_clear()
    try:
        several = r"has \d+(?: which take .*)?, \(1\) beside "
        with pytest.raises(InvalidFault, match=several) as refused:
            arm(fault_in(victim, Kind.SLAB, Mechanism.AUTO, Frame("m_start")))
        assert "0x" not in str(refused.value)
    finally:
        KPTR_RESTRICT.write_text(kept)
        symbols.running.cache_clear()


@pytest.mark.parametrize("off", [FTRACE], ids=["ftrace"], indirect=True)
@pytest.mark.parametrize("mechanism", MECHANISMS, ids=str)
def test_while_the_function_tracer_is_off_every_fault_is_refused_with_its_switch(
    arm: Arm, victim: Victim, off: Path, mechanism: Mechanism
) -> None:
    before = loaded_programs()
    for kind in (Kind.SLAB, Kind.PAGE, Kind.BIO, Kind.FUNCTION):
        with pytest.raises(UnsupportedKernel, match="`sysctl kernel.ftrace_enabled=1`"):
            arm(fault_in(victim, kind, mechanism))
    assert loaded_programs() == before


@pytest.mark.parametrize("off", [KPROBES], ids=["kprobes"], indirect=True)
def test_while_kprobes_are_off_a_fault_that_takes_one_is_refused_with_their_switch(
    arm: Arm, victim: Victim, off: Path
) -> None:
    before = loaded_programs()
    for hook in (Kind.SLAB, Kind.FUNCTION):
        with pytest.raises(UnsupportedKernel, match=r"kprobes are switched off .*; `echo 1 >/sys"):
            arm(fault_in(victim, hook, Mechanism.KPROBE))
    assert loaded_programs() == before


@pytest.mark.parametrize("off", [KPROBES], ids=["kprobes"], indirect=True)
def test_while_kprobes_are_off_fmod_ret_serves(
    arm: Arm, victim: Victim, off: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    fault = arm(fault_in(victim, Kind.FUNCTION, Mechanism.AUTO))
    assert victim.does("open", file, 2) == [errno.EMFILE] * 2
    assert fault.disarm() == []


@pytest.mark.parametrize("off", [FTRACE], ids=["ftrace"], indirect=True)
def test_check_names_the_switch_for_every_hook(engine: Engine, off: Path) -> None:
    program = Path(sys.executable).with_name("chaoskernel")
    checked = subprocess.run(
        [program, "check", "--json"], stdout=subprocess.PIPE, text=True, check=False, timeout=300
    )
    assert checked.returncode == 1
    found = {finding["subject"]: finding for finding in json.loads(checked.stdout)}
    for subject in (
        "slab",
        "page",
        "bio",
        "function tracer",
    ):
        assert found[subject]["state"] == "kernel.ftrace_enabled is 0"
        assert found[subject]["remedy"] == "`sysctl kernel.ftrace_enabled=1` switches it on"


@pytest.mark.parametrize("mechanism", MECHANISMS, ids=str)
@pytest.mark.parametrize(
    ("function", "proof"), [("sys_openat", "called"), ("sys_reboot", "attached")]
)
def test_a_function_is_proven_by_a_call_or_by_the_kernels_own_list(
    arm: Arm, victim: Victim, mechanism: Mechanism, function: str, proof: str
) -> None:
    fault = arm(
        Fault(
            name="proven",
            kind=Kind.FUNCTION,
            function=function,
            errno=errno.EIO,
            scope=Scope(pids=(victim.pid,)),
            limits=Limits(duration=600),
            mechanism=mechanism,
        )
    )
    assert fault.placement.mechanism is mechanism
    assert fault.proof == proof
    assert (fault.counters()["provoked"] > 0) is (proof == "called")
    assert fault.disarm() == []


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("read", "for the system call write sys_read; "),
        ("mount", "for the system call write sys_mount; "),
        ("umount2", "for the system call write sys_umount; "),
        ("kmalloc", "fault slab fails the allocations it makes; "),
        ("bio_alloc", "fault bio fails the requests it submits; "),
    ],
)
def test_names_of_programmers_are_refused_with_those_of_the_kernel(
    arm: Arm, victim: Victim, name: str, hint: str
) -> None:
    scope = Scope(pids=(victim.pid,))
    faults = {
        "callchain.funcname": Fault("x", Kind.SLAB, scope, callchain=(Frame(name),)),
        "function": Fault("x", Kind.FUNCTION, scope, function=name, errno=errno.EIO),
    }
    for key, fault in faults.items():
        with pytest.raises(InvalidFault, match=f"^{key}: '{name}' is not .*") as refused:
            arm(fault)
        assert refused.value.hint.startswith(hint)
    write = name.removesuffix("2") if hint.startswith("for the system call") else ""
    if write:
        assert symbols.running().resolve(f"sys_{write}").endswith(f"_sys_{write}")


def test_functions_that_allocate_are_refused_as_hooks_with_the_fault_that_fails_them(
    arm: Arm, victim: Victim
) -> None:
    scope = Scope(pids=(victim.pid,))
    for function, kind in ((here(ALLOCATE), "slab"), ("submit_bio", "bio")):
        with pytest.raises(UnsupportedKernel, match=f"error-injection list; fault {kind} fails"):
            arm(Fault("x", Kind.FUNCTION, scope, function=function, errno=errno.ENOMEM))
