"""A hook has to be seen to fire before a fault is in force."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from chaoskernel.engine import prove
from chaoskernel.engine.seed import EXEMPT, WITNESS
from chaoskernel.errors import DeadHook, UnsupportedKernel
from chaoskernel.scope import Scope
from chaoskernel.spec import Fault, Hook


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


def fault(hook: Hook, function: str = "") -> Fault:
    return Fault("x", hook, Scope(pids=(42,)), function=function)


@pytest.mark.parametrize("hook", [Hook.SLAB, Hook.PAGE])
def test_this_process_is_the_witness_for_a_moment(hook: Hook) -> None:
    program = FakeProgram(calls=1)
    prove.prove(program, fault(hook), "hook")
    assert program.memberships == [([os.getpid()], WITNESS), ([os.getpid()], EXEMPT)]


def test_a_hook_that_nobody_calls_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    program = FakeProgram(calls=0)
    with pytest.raises(DeadHook, match="^hook is there, but this kernel does not call it"):
        prove.prove(program, fault(Hook.SLAB), "hook")
    assert program.memberships[-1] == ([os.getpid()], EXEMPT)
    monkeypatch.setitem(prove._PROVOCATIONS, Hook.BIO, lambda _: False)
    with pytest.raises(UnsupportedKernel, match="no block device can be read"):
        prove.prove(program, fault(Hook.BIO), "hook")


def test_a_function_is_not_proven() -> None:
    program = FakeProgram(calls=0)
    prove.prove(program, fault(Hook.FUNCTION, "sys_reboot"), "__x64_sys_reboot")
    assert program.memberships == []


def test_a_process_of_its_own_reads_disks_and_is_the_witness() -> None:
    """One that hangs is not the agent, and has nothing that is attached."""
    program = FakeProgram(calls=1)
    prove.prove(program, fault(Hook.BIO), "hook")
    (first, last) = program.memberships
    assert first[1:] == (WITNESS,)
    assert last == (first[0], EXEMPT)
    assert first[0] != [os.getpid()]
