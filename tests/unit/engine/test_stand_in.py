"""Where the kernel lacks a hook, what is nearest is proposed, and armed when it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from chaoskernel.agent import protocol
from chaoskernel.bpf.placement import Placement
from chaoskernel.engine import ArmedFault, Progress, stand_in
from chaoskernel.errors import (
    ChaosKernelError,
    DeadHook,
    EngineError,
    InvalidFault,
    MissingHook,
    UnsupportedKernel,
)
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, frames_of

ONE = Scope(pids=(42,))
MISSING = MissingHook("this kernel has no function f", needs="CONFIG_F has it")


class Engine:
    """Arms what is not in a list of errors.

    :param errors: by kind of fault.
    """

    name = "fake"

    def __init__(self, errors: dict[Kind, ChaosKernelError]) -> None:
        self.errors = errors
        self.tried: list[Fault] = []

    def arm(self, fault: Fault, *, progress: Progress) -> ArmedFault:
        self.tried.append(fault)
        if error := self.errors.get(fault.kind):
            raise error
        return cast("ArmedFault", Placement((), ()))


def started(
    fault: Fault, errors: dict[Kind, ChaosKernelError], progress: Progress = lambda _: None
) -> tuple[stand_in.Started, Engine]:
    engine = Engine(errors)
    return stand_in.arm(fault, engine, progress, lambda _: engine), engine


@pytest.mark.parametrize(
    ("kind", "nearest"), [(Kind.SLAB, "allocation"), (Kind.PAGE, "memory")], ids=str
)
@pytest.mark.parametrize("lacking", [MissingHook, DeadHook])
def test_what_is_nearest_is_proposed_and_not_armed(
    kind: Kind, nearest: str, lacking: Callable[..., ChaosKernelError]
) -> None:
    error = lacking("this kernel has no function f", needs="CONFIG_F has it")
    engine = Engine({kind: error})
    with pytest.raises(UnsupportedKernel) as caught:
        stand_in.arm(Fault("x", kind, ONE), engine, lambda _: None, lambda _: engine)
    assert str(caught.value) == (
        f"this kernel has no function f; here `fault: {nearest}` is nearest, and stand_in: true "
        "(--stand-in) takes it; CONFIG_F has it"
    )
    assert type(caught.value) is type(error)
    assert [fault.kind for fault in engine.tried] == [kind]
    assert str(protocol.error_of(protocol.error_message(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("kind", "nearest"), [(Kind.SLAB, Kind.ALLOCATION), (Kind.PAGE, Kind.MEMORY)], ids=str
)
def test_the_stand_in_is_armed_where_it_is_asked_for(kind: Kind, nearest: Kind) -> None:
    steps: list[str] = []
    fault = Fault("x", kind, ONE, callchain=frames_of(["sys_mount"]), stand_in=True)
    found, engine = started(fault, {kind: MISSING}, steps.append)
    assert [each.kind for each in engine.tried] == [kind, nearest]
    assert (found.fault.kind, found.fault.error) == (nearest, 12)
    assert (found.fault.callchain, found.fault.scope) == (fault.callchain, ONE)
    assert steps == [found.why]
    assert found.why.endswith(f"{nearest.value} stands in for {kind.value}")


def test_a_kernel_that_has_the_hook_gets_no_stand_in() -> None:
    fault = Fault("x", Kind.SLAB, ONE, stand_in=True)
    found, engine = started(fault, {})
    assert (found.fault, found.why, engine.tried) == (fault, "", [fault])


@pytest.mark.parametrize(
    "error",
    [
        EngineError("the verifier says no"),
        UnsupportedKernel("the function tracer is off", needs="sysctl"),
        InvalidFault("pids", 42, "a process"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_stand_in_is_proposed_or_taken_for_another_reason(error: ChaosKernelError) -> None:
    for asked in (False, True):
        with pytest.raises(type(error)) as caught:
            started(Fault("x", Kind.SLAB, ONE, stand_in=asked), {Kind.SLAB: error})
        assert caught.value is error


@pytest.mark.parametrize("kind", [Kind.BIO, Kind.MEMORY], ids=str)
def test_a_fault_without_a_stand_in_ends_in_its_own_error(kind: Kind) -> None:
    with pytest.raises(MissingHook) as caught:
        started(Fault("x", kind, ONE), {kind: MISSING})
    assert caught.value is MISSING


def test_a_stand_in_that_cannot_be_armed_says_both() -> None:
    both: dict[Kind, ChaosKernelError] = {
        Kind.SLAB: MISSING,
        Kind.ALLOCATION: UnsupportedKernel("no types", needs="CONFIG_DEBUG_INFO_BTF"),
    }
    with pytest.raises(UnsupportedKernel) as caught:
        started(Fault("x", Kind.SLAB, ONE, stand_in=True), both)
    assert str(caught.value) == (
        "this kernel has no function f: allocation stands in for slab, but no types; "
        "CONFIG_DEBUG_INFO_BTF"
    )


def test_a_predicate_that_the_stand_in_cannot_ask_is_refused_in_one_line() -> None:
    fault = Fault("x", Kind.PAGE, ONE, predicate="order == 1", stand_in=True)
    with pytest.raises(InvalidFault, match="^predicate: not for a fault of memory"):
        started(fault, {Kind.PAGE: MISSING})


@pytest.mark.parametrize("value", ["true", 1, None])
def test_stand_in_is_true_or_false(value: Any) -> None:
    with pytest.raises(InvalidFault, match="^stand_in: "):
        Fault("x", Kind.SLAB, ONE, stand_in=value)


@pytest.mark.parametrize("kind", [Kind.BIO, Kind.MEMORY, Kind.CONNECT], ids=str)
def test_a_fault_that_has_no_stand_in_takes_no_flag(kind: Kind) -> None:
    with pytest.raises(InvalidFault, match=r"^stand_in: .*allocation for slab, memory for page"):
        Fault("x", kind, ONE, stand_in=True)


def test_the_flag_survives_its_journey() -> None:
    fault = Fault("x", Kind.SLAB, ONE, stand_in=True)
    assert Fault.from_json(fault.to_json()) == fault
