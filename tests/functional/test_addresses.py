"""On a kernel that hides its addresses: what works without them, what does not, and who is told."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.backend.local import LocalBackend
from chaoskernel.errors import UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Frame, Limits, Mechanism
from tests.functional.agents import command
from tests.victim import Victim

RESTRICTION = Path("/proc/sys/kernel/kptr_restrict")


@pytest.fixture(autouse=True)
def hidden(lab: None) -> Iterator[None]:
    before = RESTRICTION.read_text()
    RESTRICTION.write_text("2")
    yield
    RESTRICTION.write_text(before)


def a_fault(victim: Victim, engine: EngineName, kind: Kind = Kind.SLAB) -> Fault:
    return Fault(
        name="hidden",
        kind=kind,
        callchain=(Frame("sys_mount"),),
        scope=Scope(pids=(victim.pid,)),
        limits=Limits(duration=300),
        mechanism=Mechanism.KPROBE,
        engine=engine,
    )


def test_a_fault_says_that_it_has_no_names_and_shows_no_addresses(victim: Victim) -> None:
    target = LocalBackend()
    started = target.start(a_fault(victim, EngineName.CORE)).to_json()
    try:
        (warning,) = started["warnings"]
        assert warning.startswith("kernel.kptr_restrict=2 hides kernel addresses: the stacks of ")
        assert "a return that a kretprobe misses shows" in warning
        assert victim.does("mount", 2) == [errno.ENOMEM] * 2
        (notice,) = json.loads(command("ps", "--json"))
        assert notice["message"]["warnings"] == [warning]
    finally:
        (ended,) = target.stop()
    told = ended.to_json()
    assert len(told["events"]) == told["counters"]["injected"] == 2
    assert {place for event in told["events"] for place in event["stack"]} == {"[unknown]"}
    assert not re.search("ffff[0-9a-f]{12}", json.dumps(told))


def test_the_engine_bcc_does_not_fail_slab_requests_without_its_guard(victim: Victim) -> None:
    with pytest.raises(UnsupportedKernel) as caught:
        LocalBackend().start(a_fault(victim, EngineName.BCC))
    assert str(caught.value) == (
        "the guard of the slab cache that caches are made from needs its address: "
        "kernel.kptr_restrict=2 hides kernel addresses; sysctl kernel.kptr_restrict=1 shows them "
        "to root; the engine core needs no address"
    )


def test_check_tells_it(victim: Victim) -> None:
    (found,) = [
        each
        for each in json.loads(command("check", "--no-prove", "--json"))
        if each["subject"] == "kernel addresses"
    ]
    assert (found["usable"], found["remedy"][:6]) == (False, "sysctl")
