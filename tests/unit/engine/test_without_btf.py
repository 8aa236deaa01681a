"""A kernel without types (BTF): auto is bcc, and what core alone knows is refused in one line."""

from __future__ import annotations

import pytest

from chaoskernel.engine import watching
from chaoskernel.engine.bcc import BccEngine
from chaoskernel.engine.choice import engine_for
from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Sites
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.fault.where import Where
from chaoskernel.kernel import btf, processes

SCOPE = Scope(pids=(42,))
OF_BCC = [kind for kind, row in TABLE.items() if not row.needs_core]
OF_CORE = [kind for kind, row in TABLE.items() if row.needs_core]


@pytest.fixture(autouse=True)
def without_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf, "present", lambda: False)


def fault_of(kind: Kind, engine: EngineName = EngineName.AUTO) -> Fault:
    """Return a fault with the paths or peers that a kind takes."""
    row = TABLE[kind]
    where = Where(paths=("/tmp",)) if row.takes_paths else Where(peers=(":80",) * row.takes_peers)
    named = ("sys_openat", 5) if kind is Kind.FUNCTION else ("", 0)
    return Fault("x", kind, SCOPE, function=named[0], errno=named[1], where=where, engine=engine)


def refusal_of(why: str) -> str:
    return (
        "this kernel does not have its types; CONFIG_DEBUG_INFO_BTF has them; "
        f"the engine bcc, which needs none, is not enough when {why}"
    )


@pytest.mark.parametrize("kind", OF_BCC, ids=str)
def test_auto_is_bcc_for_what_bcc_knows(kind: Kind) -> None:
    assert isinstance(engine_for(fault_of(kind)), BccEngine)


@pytest.mark.parametrize("kind", OF_CORE, ids=str)
def test_a_fault_that_core_alone_knows_says_so(kind: Kind) -> None:
    fault = fault_of(kind)
    with pytest.raises(UnsupportedKernel) as refused:
        engine_for(fault).arm(fault, progress=print)
    assert str(refused.value) == refusal_of(f"the fault is {kind.value}")
    with pytest.raises(InvalidFault, match=f"^engine: .* when the fault is {kind.value} .*core"):
        fault_of(kind, EngineName.BCC)


def test_sites_say_so() -> None:
    fault = Fault("x", Kind.SLAB, SCOPE, sites=Sites())
    with pytest.raises(UnsupportedKernel) as refused:
        engine_for(fault).arm(fault, progress=print)
    assert str(refused.value) == refusal_of("it has sites")


def test_watching_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "require_kernels_ids", lambda: None)
    with pytest.raises(UnsupportedKernel) as refused, watching.watched(SCOPE):
        pass
    assert str(refused.value) == refusal_of("processes are watched")
