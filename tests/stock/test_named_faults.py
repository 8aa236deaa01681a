"""Every named fault, on an unmodified kernel: its calls fail as asked, and nobody else's do."""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.hooks import STAND_INS, TABLE, Kind
from chaoskernel.fault.scope import Scope
from tests.caller import Caller
from tests.functional.agents import armed_agents
from tests.programs import gone_within, loaded_programs
from tests.stock.conftest import Arm
from tests.stock.kinds import ANYWHERE, CALLS, WITH_LIST

OTHERWISE = {
    (Kind.ALLOCATION, "pipe"): (errno.ENOMEM, errno.ENFILE),
    (Kind.ALLOCATION, "socket"): (errno.ENOMEM, errno.ENFILE),
    (Kind.FORK, "thread"): (errno.EAGAIN,),
}
"""What a program gets where the kernel, or its library, makes something else of the error."""

OF_MEMORY = (Kind.ALLOCATION, Kind.MEMORY)
"""Where the victim's own Python may ask the kernel for memory too, so that more may fail."""

BATCHES = [tuple(CALLS)[begin : begin + 8] for begin in range(0, len(CALLS), 8)]
"""Kinds whose agents run at one time."""


def where(kind: Kind, caller: Caller) -> dict[str, Any]:
    return {} if kind in ANYWHERE else {"paths": [str(caller.directory)]}


def test_every_kind_is_tried_here() -> None:
    """Those about files are tried in test_paths.py."""
    assert {*CALLS, *WITH_LIST, Kind.FUNCTION} == set(Kind)


@pytest.mark.parametrize("kind", ANYWHERE)
def test_each_call_of_a_fault_fails_as_asked_and_the_neighbours_never(
    kind: Kind, arm: Arm, victim: Caller, neighbour: Caller
) -> None:
    wanted = TABLE[kind].error
    fault = arm(victim.pid, fault=kind.value)
    for name in ANYWHERE[kind]:
        assert victim.calls(name) in OTHERWISE.get((kind, name), (wanted,)), name
        assert neighbour.calls(name) == 0, name
    counters = fault.counters()
    if kind in OF_MEMORY:
        assert counters["injected"] >= len(ANYWHERE[kind])
    else:
        assert counters["injected"] == len(ANYWHERE[kind])
    assert {hook["symbol"] for hook in counters["hooks"]} == {
        placed.probe.symbol for placed in fault.placement.hooks
    }
    assert fault.disarm() == []
    for name in ANYWHERE[kind]:
        assert victim.calls(name) == 0, name


@pytest.mark.parametrize("kind", CALLS)
def test_times_is_exact_over_all_hooks(
    kind: Kind, arm: Arm, victim: Caller, neighbour: Caller
) -> None:
    fault = arm(victim.pid, fault=kind.value, times=3, **where(kind, victim))
    name = CALLS[kind][-1]
    ended = [victim.calls(name) for _ in range(6)]
    (error,) = OTHERWISE.get((kind, name), (TABLE[kind].error,))
    assert ended == [error] * 3 + [0] * 3
    assert neighbour.calls(name) == 0
    assert fault.counters()["injected"] == 3


@pytest.mark.parametrize("kinds", BATCHES, ids=[kinds[0].value for kinds in BATCHES])
def test_named_faults_end_with_their_owners(kinds: Sequence[Kind], victim: Caller) -> None:
    scope = Scope(pids=(victim.pid,))
    faults = {
        kind.value: fault_of(name=kind.value, fault=kind.value, scope=scope, **where(kind, victim))
        for kind in kinds
    }
    with armed_agents(faults) as agents:
        programs = [each for agent in agents.values() for each in agent.armed["programs"]]
        assert set(programs) <= loaded_programs()
        for agent in agents.values():
            agent.process.send_signal(signal.SIGKILL)
        assert gone_within(programs, 20)
    for kind in kinds:
        assert [victim.calls(name) for name in CALLS[kind]] == [0] * len(CALLS[kind])


def test_another_error_can_be_asked_for(arm: Arm, victim: Caller) -> None:
    arm(victim.pid, fault="connect", errno="ETIMEDOUT")
    assert victim.calls("connect") == errno.ETIMEDOUT


def test_a_dry_run_lets_everything_through_and_counts(arm: Arm, victim: Caller) -> None:
    fault = arm(victim.pid, fault="fork", dry_run=True)
    assert [victim.calls("fork") for _ in range(4)] == [0] * 4
    assert fault.counters()["held_dry_run"] == 4


def test_a_write_that_is_no_write_to_the_place_is_let_through(
    arm: Arm, victim: Caller, tmp_path: Path
) -> None:
    (tmp_path / "victim" / "empty").mkdir()
    fault = arm(victim.pid, fault="write", paths=[str(tmp_path / "victim" / "empty")])
    assert victim.calls("write") == 0
    assert fault.counters()["matched"] == 0


def test_a_file_alone_can_be_named(arm: Arm, victim: Caller, tmp_path: Path) -> None:
    arm(victim.pid, fault="write", paths=[str(tmp_path / "victim" / "file")])
    assert victim.calls("write") == errno.ENOSPC
    assert victim.calls("create") == 0


def test_a_mounted_file_system_can_be_named(arm: Arm, victim: Caller) -> None:
    """The lab's /tmp is a tmpfs of its own."""
    arm(victim.pid, fault="create", devices=["/tmp"])
    assert victim.calls("mkdir") == errno.ENOSPC


def test_what_a_hook_returns_is_not_always_what_the_program_gets(arm: Arm, victim: Caller) -> None:
    """docs/hooks.md has the table; exec is past the point where it could return."""
    arm(victim.pid, fault="mmap", errno="EACCES")
    assert victim.calls("exec") == 1000 + signal.SIGSEGV
    assert victim.calls("mmap_file") == errno.EACCES


@pytest.mark.parametrize(
    "function", ["security_compute_av", "security_sid_to_context", "security_load_policy"]
)
def test_a_function_of_a_security_module_is_no_hook(
    function: str, arm: Arm, victim: Caller
) -> None:
    """One that returns nothing is refused for that, where the kernel's types say so."""
    reasons = "a security module's own function|on this kernel it returns nothing"
    with pytest.raises(InvalidFault, match=reasons) as refused:
        arm(victim.pid, fault="function", function=function, errno="EACCES")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", WITH_LIST)
def test_what_takes_error_injection_is_refused_with_what_would_give_it(
    kind: Kind, arm: Arm, victim: Caller
) -> None:
    """Some of these kernels have the functions and no list of them, others not even those."""
    before = loaded_programs()
    with pytest.raises(UnsupportedKernel) as refused:
        arm(victim.pid, fault=kind.value)
    options = {TABLE[kind].hooks[0].option, "CONFIG_FUNCTION_ERROR_INJECTION"}
    assert any(option in refused.value.hint for option in options)
    assert "\n" not in str(refused.value)
    nearest = STAND_INS.get(kind)
    assert (nearest is not None) == ("is nearest" in refused.value.hint)
    if nearest:
        assert refused.value.hint.startswith(f"here `fault: {nearest.value}` is nearest, and ")
    assert loaded_programs() == before


@pytest.mark.parametrize(("kind", "call"), [(Kind.SLAB, "fork"), (Kind.PAGE, "mmap")])
def test_a_stand_in_fails_what_is_nearest(
    kind: Kind, call: str, arm: Arm, victim: Caller, neighbour: Caller
) -> None:
    fault = arm(victim.pid, fault=kind.value, stand_in=True, times=2)
    assert [victim.calls(call) for _ in range(3)] == [errno.ENOMEM, errno.ENOMEM, 0]
    assert neighbour.calls(call) == 0
    assert fault.counters()["injected"] == 2


def test_a_chain_is_followed_and_the_stack_begins_with_the_hook(arm: Arm, victim: Caller) -> None:
    fault = arm(
        victim.pid,
        fault="write",
        paths=[str(victim.directory)],
        callchain=["sys_pwrite64", "vfs_write"],
        predicate="mask == 2",
        times=2,
    )
    assert [victim.calls("write") for _ in range(3)] == [errno.ENOSPC] * 2 + [0]
    assert victim.calls("writev") == 0
    assert [frame["matched"] for frame in fault.counters()["frames"]] == [3, 3]
    for event in fault.events(2)["events"]:
        stack = [place.partition("+")[0] for place in event["stack"]]
        assert stack[0] == "security_file_permission", event["stack"]
        assert "vfs_write" in stack
