"""Several targets as one: each fault is found where it is, and all are stopped."""

from __future__ import annotations

import pytest

from chaoskernel.backend.backends import Backends
from chaoskernel.backend.record import State
from chaoskernel.errors import EngineError, UnknownFault
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from tests.unit.fakes import FakeBackend


def a_fault(name: str) -> Fault:
    return Fault(name=name, kind=Kind.SLAB, scope=Scope(system_wide=True))


def test_a_target_is_made_once_for_its_key() -> None:
    targets = Backends(FakeBackend())
    made = targets.other("k", FakeBackend)
    assert targets.other("k", FakeBackend) is made
    assert targets.other("another", FakeBackend) is not made


def test_a_fault_is_asked_for_where_it_is() -> None:
    here, there = FakeBackend(), FakeBackend({"injected": 9})
    targets = Backends(here)
    targets.start(a_fault("a"))
    targets.other("k", lambda: there).start(a_fault("b"))
    assert [targets.counters(name)["injected"] for name in ("a", "b")] == [3, 9]
    assert [record.fault.name for record in targets.records()] == ["a", "b"]
    assert targets.events("b", 1)["dropped"] == 1
    with pytest.raises(UnknownFault):
        targets.record("c")


def test_of_two_that_have_the_name_the_active_one_is_meant() -> None:
    here, there = FakeBackend(), FakeBackend({"injected": 9})
    targets = Backends(here)
    targets.other("k", lambda: there).start(a_fault("a"))
    there.stop("a")
    targets.start(a_fault("a"))
    assert targets.counters("a")["injected"] == 3


def test_stopping_goes_on_past_a_target_that_fails() -> None:
    here, there = FakeBackend(stuck=True), FakeBackend()
    targets = Backends(here)
    targets.start(a_fault("a"))
    targets.other("k", lambda: there).start(a_fault("b"))
    with pytest.raises(EngineError, match="loaded still"):
        targets.stop()
    assert there.record("b").state is State.ENDED


def test_what_all_of_them_say_is_reported() -> None:
    targets = Backends(FakeBackend(stuck=True))
    targets.start(a_fault("a"))
    targets.other("k", lambda: FakeBackend(stuck=True)).start(a_fault("a"))
    with pytest.raises(EngineError, match=r"loaded still.*; programs are loaded still"):
        targets.stop("a")
