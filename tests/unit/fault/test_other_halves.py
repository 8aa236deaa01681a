"""The one table of hooks agrees with the tables that are its other halves."""

from __future__ import annotations

import pytest

from chaoskernel.chaosmesh.manifest.reader import _FAILTYPES
from chaoskernel.cli.options import KIND_OF
from chaoskernel.fault import predicate
from chaoskernel.fault.hooks import MAX_HOOKS, TABLE, Kind
from chaoskernel.kernel import report
from tests.unit.kernel.types import symbols_of


def test_kernel_chaos_knows_the_kinds_that_have_a_failtype() -> None:
    named = {row.failtype: kind for kind, row in TABLE.items() if row.failtype is not None}
    assert tuple(named[number] for number in sorted(named)) == _FAILTYPES
    assert sorted(named) == list(range(len(_FAILTYPES)))


def test_inject_py_knows_the_kinds_that_have_a_mode() -> None:
    named = [row.inject_py for row in TABLE.values() if row.inject_py]
    assert len(set(named)) == len(named), "fault/hooks.py: TABLE has a mode of inject.py twice"
    assert set(named) == set(KIND_OF)
    assert [name for name in named if name in set(Kind)] == [
        name for name, kind in KIND_OF.items() if name == kind
    ], "fault/hooks.py: a mode of inject.py is another kind's name"


@pytest.mark.parametrize("kind", Kind)
def test_every_hook_names_the_option_that_a_report_asks_for(kind: Kind) -> None:
    for hook in TABLE[kind].hooks:
        assert hook.option.startswith("CONFIG_") or not hook.option, (
            f"fault/hooks.py: {kind}: {hook.symbol} names {hook.option!r}"
        )
        assert hook.option or hook.symbol.startswith("sys_"), (
            f"fault/hooks.py: {kind}: {hook.symbol} names no option"
        )


def test_a_report_has_every_kind_that_has_hooks() -> None:
    found = report.hooks(symbols_of(b""), None)
    assert set(found) >= {kind for kind, row in TABLE.items() if row.hooks}


@pytest.mark.parametrize("kind", Kind)
def test_hooks_of_a_kind_stand_once_and_fit_into_the_program(kind: Kind) -> None:
    hooks = [(hook.symbol, hook.bits) for hook in TABLE[kind].hooks]
    assert len(set(hooks)) == len(hooks) <= MAX_HOOKS
    assert bool(hooks) is (kind is not Kind.FUNCTION), f"fault/hooks.py: {kind} has no hook"


@pytest.mark.parametrize("kind", [kind for kind in Kind if TABLE[kind].takes_predicate])
def test_the_parameters_of_a_hook_are_canonical(kind: Kind) -> None:
    (hook,) = TABLE[kind].hooks
    assert predicate.parameters(hook.parameters, key="parameters") == hook.parameters
