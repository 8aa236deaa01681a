"""A hook has to be seen to fire before a fault is in force."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from chaoskernel.bpf.program import Probe
from chaoskernel.engine import prove
from chaoskernel.engine.seed import EXEMPT, WITNESS
from chaoskernel.errors import DeadHook, UnsupportedKernel
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Kind, Mechanism
from chaoskernel.kernel import ftrace, symbols
from tests.unit.kernel.types import symbols_of

HOOK = Probe("hook", Mechanism.FMOD_RET)


@pytest.fixture(autouse=True)
def tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftrace, "trouble", lambda: ("", ""))
    monkeypatch.setattr(ftrace, "kprobes_are_off", lambda: False)
    monkeypatch.setattr(symbols, "running", lambda: symbols_of(b"1 t f\n2 t copied\n"))


class FakeProgram:
    """A program that counts so many calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.memberships: list[tuple[list[int], int]] = []

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        self.memberships.append((list(pids), membership))

    def unlist_processes(self, pids: Iterable[int]) -> None:
        raise NotImplementedError

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        raise NotImplementedError

    def list_commands(self, names: Iterable[str]) -> None:
        raise NotImplementedError

    def counters(self) -> dict[str, int]:
        return {"provoked": self.calls}


def fault(kind: Kind, function: str = "") -> Fault:
    return Fault("x", kind, Scope(pids=(42,)), function=function)


@pytest.mark.parametrize("kind", [Kind.SLAB, Kind.PAGE])
def test_this_process_is_the_witness_for_a_moment(kind: Kind) -> None:
    program = FakeProgram(calls=1)
    assert prove.prove(program, fault(kind), HOOK) == "called"
    assert program.memberships == [([os.getpid()], WITNESS), ([os.getpid()], EXEMPT)]


def test_a_hook_that_nobody_calls_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    program = FakeProgram(calls=0)
    with pytest.raises(DeadHook, match="^hook is there, but this kernel does not call it"):
        prove.prove(program, fault(Kind.SLAB), HOOK)
    assert program.memberships[-1] == ([os.getpid()], EXEMPT)
    monkeypatch.setitem(prove._PROVOCATIONS, Kind.BIO, lambda _: False)
    with pytest.raises(UnsupportedKernel, match="no block device can be read"):
        prove.prove(program, fault(Kind.BIO), HOOK)


def test_a_process_of_its_own_reads_disks_and_is_the_witness() -> None:
    """One that hangs is not the agent, and has nothing that is attached."""
    program = FakeProgram(calls=1)
    prove.prove(program, fault(Kind.BIO), HOOK)
    (first, last) = program.memberships
    assert first[1:] == (WITNESS,)
    assert last == (first[0], EXEMPT)
    assert first[0] != [os.getpid()]


def test_a_hook_is_not_dead_because_the_function_tracer_was_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ftrace, "trouble", lambda: (ftrace.OFF, ftrace.SWITCH_ON))
    with pytest.raises(UnsupportedKernel, match="ftrace_enabled is 0") as refused:
        prove.prove(FakeProgram(calls=0), fault(Kind.SLAB), HOOK)
    assert not isinstance(refused.value, DeadHook)


def proven(symbol: str, mechanism: Mechanism = Mechanism.FMOD_RET, calls: int = 0) -> str:
    program = FakeProgram(calls)
    return prove.prove(program, fault(Kind.FUNCTION, symbol), Probe(symbol, mechanism))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftrace, "calls_trampoline", lambda symbol: symbol != "idle")
    monkeypatch.setattr(ftrace, "calls_kprobe", lambda symbol: symbol == "by_kprobe")


@pytest.mark.parametrize("call", sorted(prove._HARMLESS))
def test_a_system_call_that_does_no_harm_is_made(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    made: list[str] = []
    original = prove._HARMLESS[call]

    def noted() -> None:
        made.append(call)
        with pytest.raises(OSError, match="No such file|Bad file descriptor"):
            original()
        raise FileNotFoundError

    monkeypatch.setitem(prove._HARMLESS, call, noted)
    assert proven(f"__x64_sys_{call}", calls=1) == "called"
    assert made == [call]


@pytest.mark.usefixtures("listed")
def test_a_function_that_cannot_be_called_is_looked_for_in_the_kernels_list() -> None:
    assert proven("f") == "attached"
    assert proven("by_kprobe", Mechanism.KPROBE) == "attached"
    assert proven("__x64_sys_reboot") == "attached"
    assert proven("__x64_sys_openat", calls=0) == "attached"
    for symbol, mechanism in (("idle", Mechanism.FMOD_RET), ("f", Mechanism.KPROBE)):
        with pytest.raises(DeadHook, match=f"^{symbol} took the program, but does not call it; "):
            proven(symbol, mechanism)


def test_where_the_kernel_shows_no_list_that_it_took_the_program_is_all_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ftrace, "calls_trampoline", lambda _: None)
    assert proven("f") == "accepted"


@pytest.mark.usefixtures("listed")
def test_a_function_is_not_proven_while_tracing_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftrace, "kprobes_are_off", lambda: True)
    assert proven("f") == "attached"
    with pytest.raises(UnsupportedKernel, match="kprobes are switched off"):
        proven("by_kprobe", Mechanism.KPROBE)
    monkeypatch.setattr(ftrace, "trouble", lambda: (ftrace.OFF, ftrace.SWITCH_ON))
    with pytest.raises(UnsupportedKernel, match="`sysctl kernel.ftrace_enabled=1`"):
        proven("f")
