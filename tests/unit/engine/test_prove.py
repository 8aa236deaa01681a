"""A hook has to be seen to fire before a fault is in force."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from chaoskernel.bpf.abi import EXEMPT, WITNESS
from chaoskernel.bpf.placement import PlacedHook, Placement, Probe
from chaoskernel.engine import hooks, prove
from chaoskernel.engine.hooks import provocation
from chaoskernel.errors import DeadHook, UnsupportedKernel
from chaoskernel.fault.hook_types import Hook
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.fault.where import Where
from chaoskernel.kernel import ftrace, symbols
from tests.unit.kernel.types import symbols_of


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

    def hook(self, number: int) -> dict[str, int]:
        return {"provoked": self.calls}


def proven(program: FakeProgram, kind: Kind) -> str:
    fault = Fault("x", kind, Scope(pids=(42,)), where=Where(any_file=True))
    placed = (PlacedHook(Probe("hook", Mechanism.FMOD_RET), "-5", hook) for hook in fault.hooks)
    return prove.prove(program, fault, Placement(tuple(placed), ()))


@pytest.mark.parametrize("kind", [Kind.SLAB, Kind.PAGE, Kind.WRITE])
def test_this_process_is_the_witness_for_a_moment(kind: Kind) -> None:
    program = FakeProgram(calls=1)
    assert proven(program, kind) == "called"
    assert program.memberships == [([os.getpid()], WITNESS), ([os.getpid()], EXEMPT)]


def test_a_hook_that_nobody_calls_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    program = FakeProgram(calls=0)
    with pytest.raises(DeadHook, match="^hook is there, but this kernel does not call it"):
        proven(program, Kind.SLAB)
    assert program.memberships[-1] == ([os.getpid()], EXEMPT)
    monkeypatch.setitem(hooks.BY_ANOTHER_PROCESS, "should_fail_bio", lambda *_: False)
    with pytest.raises(UnsupportedKernel, match="no block device can be read"):
        proven(program, Kind.BIO)


def test_a_process_of_its_own_reads_disks_and_is_the_witness() -> None:
    """One that hangs is not the agent, and has nothing that is attached."""
    program = FakeProgram(calls=1)
    proven(program, Kind.BIO)
    (first, last) = program.memberships
    assert first[1:] == (WITNESS,)
    assert last == (first[0], EXEMPT)
    assert first[0] != [os.getpid()]


def test_a_hook_is_not_dead_because_the_function_tracer_was_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ftrace, "trouble", lambda: (ftrace.OFF, ftrace.SWITCH_ON))
    with pytest.raises(UnsupportedKernel, match="ftrace_enabled is 0") as refused:
        proven(FakeProgram(calls=0), Kind.SLAB)
    assert not isinstance(refused.value, DeadHook)


def shown(symbol: str, mechanism: Mechanism = Mechanism.FMOD_RET, calls: int = 0) -> str:
    fault = Fault("x", Kind.FUNCTION, Scope(pids=(42,)), function=symbol, errno=5)
    placed = PlacedHook(Probe(symbol, mechanism), "-5", fault.hooks[0])
    return prove.prove(FakeProgram(calls), fault, Placement((placed,), ()))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftrace, "calls_trampoline", lambda symbol: symbol != "idle")
    monkeypatch.setattr(ftrace, "calls_kprobe", lambda symbol: symbol == "by_kprobe")


@pytest.mark.parametrize("call", sorted(hooks.HARMLESS_CALLS))
def test_a_system_call_that_does_no_harm_is_made(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    made: list[str] = []
    original = hooks.HARMLESS_CALLS[call]

    def noted() -> None:
        made.append(call)
        with pytest.raises(OSError, match="No such file|Bad file descriptor"):
            original()
        raise FileNotFoundError

    monkeypatch.setitem(hooks.HARMLESS_CALLS, call, noted)
    assert shown(f"__x64_sys_{call}", calls=1) == "called"
    assert made == [call]


@pytest.mark.usefixtures("listed")
def test_a_function_that_cannot_be_called_is_looked_for_in_the_kernels_list() -> None:
    assert shown("f") == "attached"
    assert shown("by_kprobe", Mechanism.KPROBE) == "attached"
    assert shown("__x64_sys_reboot") == "attached"
    assert shown("__x64_sys_openat", calls=0) == "attached"
    for symbol, mechanism in (("idle", Mechanism.FMOD_RET), ("f", Mechanism.KPROBE)):
        with pytest.raises(DeadHook, match=f"^{symbol} took the program, but does not call it; "):
            shown(symbol, mechanism)


def test_without_the_kernels_lists_the_proof_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ftrace, "calls_trampoline", lambda _: None)
    assert shown("f") == "accepted"


@pytest.mark.usefixtures("listed")
def test_a_function_is_not_proven_while_tracing_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftrace, "kprobes_are_off", lambda: True)
    assert shown("f") == "attached"
    with pytest.raises(UnsupportedKernel, match="kprobes are switched off"):
        shown("by_kprobe", Mechanism.KPROBE)
    monkeypatch.setattr(ftrace, "trouble", lambda: (ftrace.OFF, ftrace.SWITCH_ON))
    with pytest.raises(UnsupportedKernel, match="`sysctl kernel.ftrace_enabled=1`"):
        shown("f")


EVERY = [(kind, hook) for kind, row in TABLE.items() for hook in row.hooks]


@pytest.mark.parametrize(
    ("kind", "hook"), EVERY, ids=[f"{kind}-{hook.symbol}-{hook.bits}" for kind, hook in EVERY]
)
def test_every_hook_of_the_table_has_a_provocation(kind: Kind, hook: Hook) -> None:
    """An entry of one table without its other half would arm a hook that nobody has proven."""
    if hook.bits and not hook.unless:  # a call with another mask would not prove it
        there = (hook.symbol, hook.bits) in hooks.BY_MASK
    else:
        there = hook.symbol in hooks.BY_ANOTHER_PROCESS or hook.symbol in hooks.PROVOCATIONS
    assert there, f"engine/hooks.py: no provocation for {kind}: {hook.symbol}, mask {hook.bits}"


def test_every_provocation_belongs_to_a_hook() -> None:
    named = {hook.symbol for row in TABLE.values() for hook in row.hooks}
    assert {
        *hooks.PROVOCATIONS,
        *hooks.BY_ANOTHER_PROCESS,
        *(symbol for symbol, _ in hooks.BY_MASK),
    } == named


def test_a_hook_without_a_provocation_is_not_armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(hooks.PROVOCATIONS, "should_failslab")
    with pytest.raises(KeyError, match="should_failslab"):
        proven(FakeProgram(calls=1), Kind.SLAB)


def test_each_hook_of_a_fault_has_to_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is called does not prove the others."""

    class OnlyTheFirst(FakeProgram):
        def hook(self, number: int) -> dict[str, int]:
            return {"provoked": int(number == 0)}

    calls = (*hooks.PROVOCATIONS,)
    for symbol in calls:
        monkeypatch.setitem(hooks.PROVOCATIONS, symbol, lambda: None)
    # Hooks of Unix peers are armed for those alone.
    several = [
        kind
        for kind, row in TABLE.items()
        if len([hook for hook in row.hooks if not hook.of_unix_peers]) > 1
    ]
    assert several
    for kind in several:
        with pytest.raises(UnsupportedKernel):
            proven(OnlyTheFirst(calls=1), kind)


def test_every_provocation_is_harmless() -> None:
    """They are made here too: this process goes on, and keeps no descriptor."""
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    for row in TABLE.values():
        for hook in row.hooks:
            if hook.symbol in hooks.BY_ANOTHER_PROCESS:
                continue
            with contextlib.suppress(OSError):
                provocation(hook)()
    assert len([*Path("/proc/self/fd").iterdir()]) == descriptors
