"""Which engine a fault gets: every combination of what the choice depends on."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from chaoskernel.backend import launch
from chaoskernel.compiler import objects
from chaoskernel.engine import choice as agents
from chaoskernel.errors import MissingTool, UnsupportedKernel
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.checks import packed
from chaoskernel.fault.choice import Facts, choose
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.fault.where import Where

AUTO, CORE, BCC, NONE = EngineName.AUTO, EngineName.CORE, EngineName.BCC, EngineName.NONE
IMAGE = packed(b"\x7fELF and so on")
BOTH, CORES = Kind.PAGE, Kind.WRITE

# kind, predicate, compiled, core works -> what auto is
TABLE_OF_AUTO = {
    (BOTH, False, False, False): BCC,
    (BOTH, False, False, True): CORE,
    (BOTH, False, True, False): BCC,
    (BOTH, False, True, True): CORE,
    (BOTH, True, False, False): BCC,
    (BOTH, True, False, True): BCC,
    (BOTH, True, True, False): BCC,
    (BOTH, True, True, True): CORE,
    (CORES, False, False, False): CORE,
    (CORES, False, False, True): CORE,
    (CORES, False, True, False): CORE,
    (CORES, False, True, True): CORE,
    (CORES, True, False, False): CORE,
    (CORES, True, False, True): CORE,
    (CORES, True, True, False): CORE,
    (CORES, True, True, True): CORE,
}


def can_name(kind: Kind, engine: EngineName) -> bool:
    """Tell whether a fault may ask for an engine: not for bcc where bcc does not know it."""
    return engine is not BCC or not TABLE[kind].needs_core


def fault_of(kind: Kind, engine: EngineName, *, predicate: bool) -> Fault:
    return Fault(
        "x",
        kind,
        Scope(pids=(42,)),
        predicate=("order == 1" if kind is BOTH else "mask == 4") if predicate else "",
        engine=engine,
        where=Where() if kind is BOTH else Where(any_file=True),
        dry_run=engine is NONE,
    )


def test_the_table_has_every_combination() -> None:
    flags = (False, True)
    assert set(TABLE_OF_AUTO) == set(itertools.product((BOTH, CORES), flags, flags, flags))
    assert (TABLE[BOTH].needs_core, TABLE[CORES].needs_core) == (False, True)


@pytest.mark.parametrize(("case", "chosen"), TABLE_OF_AUTO.items())
def test_auto_is_core_where_core_can(
    case: tuple[Kind, bool, bool, bool], chosen: EngineName
) -> None:
    kind, predicate, compiled, works = case
    fault = fault_of(kind, AUTO, predicate=predicate)
    assert choose(fault, Facts(compiled, lambda: works)) is chosen


@pytest.mark.parametrize(
    ("case", "engine"),
    [
        (case, engine)
        for case, engine in itertools.product(TABLE_OF_AUTO, (CORE, BCC, NONE))
        if can_name(case[0], engine)
    ],
)
def test_an_engine_that_was_named_is_taken_and_nothing_is_looked_at(
    case: tuple[Kind, bool, bool, bool], engine: EngineName
) -> None:
    kind, predicate, compiled, _ = case
    fault = fault_of(kind, engine, predicate=predicate)
    assert choose(fault, Facts(compiled, lambda: pytest.fail("looked"))) is engine


@pytest.mark.parametrize(("case", "chosen"), TABLE_OF_AUTO.items())
def test_the_agent_and_its_launcher_go_by_the_same_rule(
    monkeypatch: pytest.MonkeyPatch, case: tuple[Kind, bool, bool, bool], chosen: EngineName
) -> None:
    kind, predicate, compiled, works = case
    given = Assignment(fault_of(kind, AUTO, predicate=predicate), IMAGE if compiled else "")

    def require() -> None:
        if not works:
            raise UnsupportedKernel("no types", needs="them")

    monkeypatch.setattr(agents, "require_core", require)
    assert agents.engine_for(given.fault, given.object).name == chosen.value
    monkeypatch.setattr(launch, "_is_library", lambda _: works)
    assert launch.needs_bcc(given, types=Path("/")) is (chosen is BCC)


@pytest.mark.parametrize(
    ("kind", "engine"),
    [each for each in itertools.product((BOTH, CORES), EngineName) if can_name(*each)],
)
@pytest.mark.parametrize("predicate", [False, True])
def test_the_compiler_makes_what_core_needs(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, engine: EngineName, predicate: bool
) -> None:
    monkeypatch.setattr(objects, "require_tools", lambda **_: None)
    monkeypatch.setattr(objects, "compiled", lambda *_: b"\x7fELF")
    fault = fault_of(kind, engine, predicate=predicate)
    made = objects.assigned(fault).object
    assert bool(made) is (predicate and engine in (AUTO, CORE))


def test_without_a_compiler_what_bcc_knows_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    left = fault_of(BOTH, AUTO, predicate=True)
    assert objects.assigned(left) == Assignment(left)
    for fault in (fault_of(BOTH, CORE, predicate=True), fault_of(CORES, AUTO, predicate=True)):
        with pytest.raises(MissingTool, match="apt-get install clang") as refused:
            objects.assigned(fault)
        assert ("engine bcc" in str(refused.value)) is (fault.kind is BOTH)
