"""The end of a fault that is armed: what is counted last is final."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from chaoskernel.bpf.placement import Attach, Entry, Near, Placement, Probe
from chaoskernel.engine.arming import Armed, Follows, _counted, _follow_cleanups, full
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.kernel import bpf, ftrace
from tests.unit.placed import hook_at


class RacingModule:
    """A program of which one run has read the deadline, and counts when it ends."""

    programs: Sequence[int] = ()
    sites = None
    near = (
        Entry("near_fentry_0", Attach.FENTRY, "__x64_sys_msync"),
        Entry("near_fentry_1", Attach.FENTRY, "__x64_sys_fdatasync"),
    )

    def __init__(self) -> None:
        self.deadline = 1
        self.injected = 7
        self.running = True
        self.attached = True

    def set_deadline(self, until: int) -> None:
        self.deadline = until

    def grace_period(self) -> bool:
        assert self.deadline == 0
        assert self.attached
        self.injected += self.running
        self.running = False
        return True

    def counters(self) -> Mapping[str, int]:
        return {"injected": self.injected}

    def hook(self, number: int) -> Mapping[str, int]:
        return {"injected": self.injected}

    def attach(self, entry: Entry) -> Callable[[], object]:
        if entry.symbol == "__x64_sys_msync":
            raise full(entry.symbol)
        return self.detach

    def calls_near(self, number: int) -> int:
        return 10 + number

    def hits(self) -> Sequence[Mapping[str, Any]]:
        return [{"pid": 42, "command": "victim", "injected": self.injected}]

    def events(self, limit: int) -> tuple[Sequence[Any], int]:
        return (), self.injected

    def detach(self) -> None:
        self.grace_period()  # as the kernel does, later
        self.attached = False


def armed(module: RacingModule) -> Armed:
    undo = contextlib.ExitStack()
    undo.callback(module.detach)
    placement = Placement((hook_at("should_failslab", Mechanism.KPROBE),), ())
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)))
    return Armed(fault, placement, (), module, undo, 1, "called", Follows())  # type: ignore[arg-type]


def test_what_another_cpu_was_about_to_inject_is_in_the_final_counters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = RacingModule()
    monkeypatch.setattr(bpf, "wait_for_programs", module.grace_period)
    fault = armed(module)
    assert fault.counters()["injected"] == 7
    assert fault.disarm() == []
    final = fault.counters()
    assert (final["injected"], final["processes"][0]["injected"]) == (8, 8)
    assert fault.events(5)["dropped"] == 8
    assert module.injected == 8


def test_a_fault_is_held_by_one_store_and_left_alone_once_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = RacingModule()
    monkeypatch.setattr(bpf, "wait_for_programs", module.grace_period)
    fault = armed(module)
    fault.hold()
    assert (module.deadline, module.attached) == (0, True)
    fault.disarm()
    module.deadline = 5  # its memory is another's
    fault.hold()
    assert module.deadline == 5


def test_the_kernel_is_asked_for_a_grace_period() -> None:
    assert bpf.wait_for_programs()


@pytest.mark.parametrize("refusal", ["no such call", "one CPU"])
def test_where_it_gives_none_a_pause_is_made(monkeypatch: pytest.MonkeyPatch, refusal: str) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    if refusal == "one CPU":
        monkeypatch.setattr(os, "sysconf", lambda _: 1)
    else:
        monkeypatch.setitem(bpf._MEMBARRIER_NUMBERS, os.uname().machine, 100_000)
    assert not bpf.wait_for_programs()
    assert pauses == [0.1]


class Cleaned(RacingModule):
    """A module whose program follows what must not fail, where the kernel lets it."""

    def __init__(self, refused: str = "") -> None:
        super().__init__()
        self.followed: list[str] = []
        self.trusted = False
        self.refused = refused
        self.cleanups = tuple(
            Entry(f"{way}_cleanup", attach, f"p9_client_{name}")
            for way, attach in (("begin", Attach.KPROBE), ("end", Attach.KRETPROBE))
            for name in ("clunk", "remove")
        )

    def attach(self, entry: Entry) -> Callable[[], object]:
        if f"{entry.function} {entry.symbol}" == self.refused:
            raise full(entry.symbol)
        assert not self.trusted
        self.followed.append(f"{entry.function} {entry.symbol}")
        return lambda: self.followed.remove(f"{entry.function} {entry.symbol}")

    def trust_cleanups(self) -> None:
        self.trusted = True


@pytest.fixture
def kprobes(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    return lambda off: monkeypatch.setattr(ftrace, "kprobes_are_off", lambda: off)


def test_what_must_not_fail_is_followed_until_the_end(kprobes: Callable[[bool], None]) -> None:
    kprobes(False)
    module, undo = Cleaned(), contextlib.ExitStack()
    _follow_cleanups(module, undo)  # type: ignore[arg-type]
    assert module.trusted
    assert module.followed[0] == "begin_cleanup p9_client_clunk"
    assert len(module.followed) == 4
    undo.close()
    assert module.followed == []


def test_what_cannot_be_followed_as_a_whole_is_told_by_each_stack(
    kprobes: Callable[[bool], None],
) -> None:
    kprobes(False)
    module, undo = Cleaned(refused="end_cleanup p9_client_remove"), contextlib.ExitStack()
    _follow_cleanups(module, undo)  # type: ignore[arg-type]
    assert (module.trusted, module.followed) == (False, [])
    kprobes(True)  # they would be attached, and never run
    module = Cleaned()
    _follow_cleanups(module, undo)  # type: ignore[arg-type]
    assert (module.trusted, module.followed) == (False, [])


def test_calls_near_that_the_kernel_lets_nobody_count_are_left_out() -> None:
    module, undo = RacingModule(), contextlib.ExitStack()
    near = tuple(
        Near(call, Probe(f"__x64_sys_{call}", Mechanism.FMOD_RET))
        for call in ("msync", "fdatasync")
    )
    placement = Placement((hook_at("__x64_sys_fsync"),), (), near=near)
    counted = _counted(module, placement, undo)  # type: ignore[arg-type]
    assert counted == [(1, "fdatasync")]
    fault = Fault("x", Kind.FUNCTION, Scope(pids=(42,)), function="sys_fsync", errno=5)
    follows = Follows(near=counted)
    made = Armed(fault, placement, (), module, undo, 1, "called", follows)  # type: ignore[arg-type]
    assert made.counters()["near"] == [{"call": "fdatasync", "count": 11}]
