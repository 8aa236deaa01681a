"""Each hook with each mechanism: who is in scope fails as told, nobody else does."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.engine import ArmedFault, hooks
from chaoskernel.errors import UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.functional.conftest import Arm
from tests.programs import gone_within, loaded_programs
from tests.victim import Victim

MECHANISMS = [Mechanism.FMOD_RET, Mechanism.KPROBE]


@pytest.fixture(scope="class", params=MECHANISMS, ids=str)
def mechanism(request: pytest.FixtureRequest) -> Mechanism:
    chosen: Mechanism = request.param
    return chosen


def always(kind: Kind, victim: Victim, mechanism: Mechanism, *chain: str) -> Fault:
    """A fault of every request that the victim makes below a chain of functions."""
    return Fault(
        name=kind.value,
        kind=kind,
        callchain=tuple(map(Frame, chain)),
        scope=Scope(pids=(victim.pid,)),
        limits=Limits(duration=600),
        mechanism=mechanism,
    )


@pytest.fixture(scope="class")
def fault(arm: Arm, victim: Victim, mechanism: Mechanism) -> Iterator[ArmedFault]:
    victim.does("child")
    armed = arm(always(Kind.SLAB, victim, mechanism, "sys_mount"))
    yield armed
    assert armed.disarm() == []


class TestSlab:
    def test_attaches_where_it_was_told_to(self, fault: ArmedFault, mechanism: Mechanism) -> None:
        assert fault.placement.hooks[0].probe.symbol == "should_failslab"
        assert fault.counters()["provoked"] > 0
        assert fault.placement.mechanism is mechanism
        assert fault.placement.frames[0].symbol.endswith("_sys_mount")

    def test_every_mount_in_scope_fails_and_is_counted(
        self, fault: ArmedFault, victim: Victim
    ) -> None:
        before = fault.counters()
        assert victim.does("mount", 7) == [errno.ENOMEM] * 7
        after = fault.counters()
        assert after["injected"] - before["injected"] == 7
        assert after["matched"] - before["matched"] == 7

    def test_requests_outside_the_chain_are_reached_and_work(
        self, fault: ArmedFault, victim: Victim
    ) -> None:
        before = fault.counters()
        assert victim.does("pipe", 5) == [0] * 5
        after = fault.counters()
        assert after["matched"] == before["matched"]
        assert after["reached"] - before["reached"] >= 5

    def test_a_child_forked_before_is_hit(self, fault: ArmedFault, victim: Victim) -> None:
        assert victim.does("childs", "mount", 3) == [errno.ENOMEM] * 3

    def test_a_grandchild_forked_after_is_hit(self, fault: ArmedFault, victim: Victim) -> None:
        assert victim.does("forked", 3) == [errno.ENOMEM] * 3

    def test_a_stranger_is_not_hit(self, fault: ArmedFault, bystander: Victim) -> None:
        before = fault.counters()
        assert bystander.does("mount", 5) == [0] * 5
        assert fault.counters() == before

    def test_a_second_disarm_finds_nothing_to_do(self, fault: ArmedFault, victim: Victim) -> None:
        assert fault.disarm() == []
        final = fault.counters()
        assert victim.does("mount", 3) == [0] * 3
        assert fault.disarm() == []
        assert fault.counters() == final


def test_a_page_fault_makes_writes_to_a_pipe_fail(
    arm: Arm, victim: Victim, bystander: Victim, mechanism: Mechanism
) -> None:
    fault = arm(always(Kind.PAGE, victim, mechanism, "pipe_write"))
    assert fault.placement.mechanism is mechanism
    assert victim.does("pipe", 4) == [errno.ENOMEM] * 4
    assert bystander.does("pipe", 4) == [0] * 4
    assert fault.counters()["injected"] == 4
    assert fault.disarm() == []
    assert victim.does("pipe", 4) == [0] * 4


def test_a_bio_fault_makes_reads_of_a_disk_fail(
    arm: Arm, victim: Victim, bystander: Victim, ram_disk: Path, mechanism: Mechanism
) -> None:
    fault = arm(always(Kind.BIO, victim, mechanism))
    assert fault.placement.mechanism is mechanism
    assert victim.does("read", ram_disk, 4) == [errno.EIO] * 4
    assert bystander.does("read", ram_disk, 4) == [0] * 4
    assert fault.counters()["injected"] == 4
    assert fault.disarm() == []
    assert victim.does("read", ram_disk, 4) == [0] * 4


def test_a_hook_that_is_never_called_is_refused_and_let_go(
    arm: Arm, victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provocation that provokes nothing looks like a dead hook."""
    monkeypatch.setitem(hooks.BY_ANOTHER_PROCESS, "should_fail_bio", lambda *_: True)
    before = loaded_programs()
    with pytest.raises(UnsupportedKernel, match="should_fail_bio is there, but this kernel does"):
        arm(Fault("dead", Kind.BIO, Scope(pids=(victim.pid,))))
    assert gone_within(loaded_programs() - before, 1.0)


def test_the_agent_and_its_ancestors_are_exempt_from_a_system_wide_fault(
    arm: Arm, bystander: Victim
) -> None:
    fault = arm(
        Fault(
            name="everyone",
            kind=Kind.PAGE,
            callchain=(Frame("pipe_write"),),
            scope=Scope(system_wide=True),
            limits=Limits(duration=600),
        )
    )
    assert bystander.does("pipe", 3) == [errno.ENOMEM] * 3
    reader, writer = os.pipe()
    assert os.write(writer, b"x") == 1
    os.close(reader)
    os.close(writer)
    assert fault.counters()["injected"] == 3
