"""What a program gets when a hook fails: each hook of the table alone, every call of a program."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from chaoskernel.engine import ArmedFault
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import TABLE, Kind
from tests.caller import Caller
from tests.calls import ENDED_BY_SIGNAL, NAMES
from tests.stock.conftest import Arm

DOCUMENT = Path(__file__).parents[2] / "docs" / "hooks.md"

WITH_MASK = {Kind.READ: "for reading", Kind.WRITE: "for writing"}
"""Kinds that share a hook: without a place it would fail the very pipes of the test."""

SYMBOLS = sorted(
    {
        hook.symbol
        for kind, row in TABLE.items()
        for hook in row.hooks
        if kind not in WITH_MASK and hook.symbol.startswith("security_")
    }
)

SINCE_6_2 = "security_file_truncate"
LATER = "## From 6.12 on"
"""Of the document: the rows in which later kernels differ."""

LOADER_FAILED = 127
"""What a program exits with whose libraries cannot be loaded; no call here has that error."""

Seen = Mapping[str, int]
"""Error numbers by the calls that failed."""


def told(seen: Seen) -> str:
    """Return a cell of the table: the calls that failed, by what they got."""
    ended: dict[int, list[str]] = {}
    for name, number in seen.items():
        ended.setdefault(number, []).append(name)
    cells = [f"{_named(number)}: {', '.join(names)}" for number, names in sorted(ended.items())]
    return "; ".join(cells) or "none of these calls"


def _named(number: int) -> str:
    if number > ENDED_BY_SIGNAL:
        return f"killed by {signal.Signals(number - ENDED_BY_SIGNAL).name}"
    return "exits with 127" if number == LOADER_FAILED else errno.errorcode[number]


def calls_that_fail(caller: Caller, names: Iterable[str] = NAMES) -> Seen:
    ended = {name: caller.calls(name) for name in names}
    return {name: number for name, number in ended.items() if number}


@pytest.fixture(scope="module")
def victim(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """One for the whole table: what a hook breaks for good is seen by the next."""
    with Caller(tmp_path_factory.mktemp("victim")) as started:
        yield started


@pytest.fixture(scope="module")
def neighbour(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with Caller(tmp_path_factory.mktemp("neighbour")) as started:
        yield started


@pytest.fixture(scope="module")
def show(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """What prints a row of the table, whatever pytest captures."""
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    assert terminal is not None
    terminal.write_line(f"\non {os.uname().release}, each hook returning ENOMEM:")
    write: Callable[[str], None] = terminal.write_line
    return write


def rows(text: str) -> dict[str, str]:
    found = re.findall(r"^\| `(security_\w+)`([\w ]*) \| (.+) \|$", text, re.M)
    return {f"{symbol}{how}": cell for symbol, how, cell in found}


def documented(*, later: bool) -> dict[str, str]:
    """Return the document's table, of 6.1 or of later kernels."""
    first, _, differing = DOCUMENT.read_text().partition(LATER)
    return rows(first) | (rows(differing) if later else {})


def check(
    hook: str, fault: ArmedFault, victim: Caller, neighbour: Caller, show: Callable[[str], None]
) -> None:
    seen = calls_that_fail(victim)
    cell = told(seen)
    show(f"\n| `{hook}` | {cell} |")
    assert calls_that_fail(neighbour, seen) == {}
    assert fault.disarm() == []
    assert calls_that_fail(victim, seen) == {}
    assert cell == documented(later=not os.uname().release.startswith("6.1."))[hook]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_what_fails_with_a_hook(
    symbol: str, arm: Arm, victim: Caller, neighbour: Caller, show: Callable[[str], None]
) -> None:
    try:
        fault = arm(victim.pid, fault="function", function=symbol, errno="ENOMEM")
    except InvalidFault as absent:
        assert symbol == SINCE_6_2
        assert "is not" in str(absent)
        return
    check(symbol, fault, victim, neighbour, show)


@pytest.mark.parametrize("kind", WITH_MASK)
def test_what_fails_with_the_permission_to_use_a_file(
    kind: Kind, arm: Arm, victim: Caller, neighbour: Caller, show: Callable[[str], None]
) -> None:
    fault = arm(victim.pid, fault=kind.value, errno="ENOMEM", paths=[str(victim.directory)])
    check(f"security_file_permission {WITH_MASK[kind]}", fault, victim, neighbour, show)


def test_the_document_has_every_hook_and_no_other() -> None:
    wanted = {*SYMBOLS, *(f"security_file_permission {how}" for how in WITH_MASK.values())}
    assert set(documented(later=True)) == wanted
    assert set(documented(later=False)) == wanted - {SINCE_6_2}
