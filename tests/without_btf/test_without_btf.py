"""A kernel without types (BTF): what `engine: auto` is there, and what it cannot be."""

from __future__ import annotations

import errno
import sys

import pytest

from chaoskernel.engine.choice import engine_for
from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Sites
from chaoskernel.fault.spec import EngineName, Fault, Limits, Mechanism, frames_of
from chaoskernel.fault.where import Where
from chaoskernel.kernel import btf
from tests.functional.conftest import DIST_PACKAGES
from tests.victim import Victim

CORES = [kind for kind, row in TABLE.items() if row.needs_core]


@pytest.fixture(autouse=True)
def without_types(lab: None) -> None:
    assert not btf.present()
    if DIST_PACKAGES not in sys.path:
        sys.path.append(DIST_PACKAGES)


def test_auto_is_bcc_by_kprobe(victim: Victim) -> None:
    fault = Fault(
        name="auto",
        kind=Kind.SLAB,
        scope=Scope(pids=(victim.pid,)),
        callchain=frames_of(["sys_mount"]),
        limits=Limits(times=2, duration=600),
    )
    chosen = engine_for(fault)
    assert chosen.name == "bcc"
    armed = chosen.arm(fault, progress=print)
    assert armed.placement.mechanism is Mechanism.KPROBE
    assert victim.does("mount", 3) == [errno.ENOMEM, errno.ENOMEM, 0]
    assert armed.disarm() == []
    assert armed.counters()["injected"] == 2


def test_a_trampoline_is_refused_with_what_would_give_it(victim: Victim) -> None:
    fault = Fault("x", Kind.SLAB, Scope(pids=(victim.pid,)), mechanism=Mechanism.FMOD_RET)
    with pytest.raises(UnsupportedKernel, match="no fmod_ret to override.*CONFIG_DEBUG_INFO_BTF"):
        engine_for(fault).arm(fault, progress=print)


@pytest.mark.parametrize("kind", CORES, ids=str)
def test_a_fault_that_core_alone_knows_is_refused_in_one_line(kind: Kind, victim: Victim) -> None:
    """Paths and peers are parts of these faults."""
    row = TABLE[kind]
    where = Where(paths=("/tmp",)) if row.takes_paths else Where(peers=(":80",) * row.takes_peers)
    fault = Fault("x", kind, Scope(pids=(victim.pid,)), where=where)
    with pytest.raises(UnsupportedKernel) as refused:
        engine_for(fault).arm(fault, progress=print)
    assert str(refused.value) == (
        "this kernel does not have its types; CONFIG_DEBUG_INFO_BTF has them; the engine bcc, "
        f"which needs none, is not enough when the fault is {kind.value}"
    )
    with pytest.raises(
        InvalidFault, match=f"not possible when the fault is {kind.value} .*the engine core knows"
    ):
        Fault("x", kind, Scope(pids=(victim.pid,)), where=where, engine=EngineName.BCC)


def test_sites_are_refused_in_one_line(victim: Victim) -> None:
    fault = Fault("x", Kind.SLAB, Scope(pids=(victim.pid,)), sites=Sites())
    with pytest.raises(UnsupportedKernel, match="bcc, which needs none, is not .* it has sites$"):
        engine_for(fault).arm(fault, progress=print)
