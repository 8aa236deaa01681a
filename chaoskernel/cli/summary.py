"""`chaoskernel summary`: what an experiment made the kernel do, from its journal."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from chaoskernel.backend.outcome import function_of
from chaoskernel.backend.record import in_words
from chaoskernel.bpf.program import MAX_HIT
from chaoskernel.errors import ChaosKernelError
from chaoskernel.terminal import document as as_document
from chaoskernel.terminal import shown
from chaoskernel.toolkit.evidence import JOURNAL_KEY

_HELD = "held_"
_SHOWN = 4
_STACKS, _STACKS_ROW = 3, "most often in"
_PICTURE_COLUMNS = 80
_MAX_BYTES = 2**28
_LONGEST = 10_000
"""Characters of one text of a journal that are shown."""
_MAX_DIGITS = 1000
_MAX_COUNT = 2**64
"""What a counter of the kernel's stays below."""

# What a journal of another form leads to, wherever in it the form is another.
_OF_ANOTHER_FORM = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@click.command(name="summary")
@click.argument("journal", type=click.Path(path_type=Path), default=Path("journal.json"))
@click.option("--json", "as_json", is_flag=True, help="Print the journal's part as JSON.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write what is shown to FILE, as a picture of a terminal.",
)
def command(journal: Path, as_json: bool, svg: Path | None) -> None:
    """Show what the experiment of a JOURNAL made the kernel do.

    \b
    Examples:
      chaoskernel summary
      chaoskernel summary journal.json --json
      chaoskernel summary journal.json --svg summary.svg
    """
    if as_json and svg:
        raise click.UsageError("--svg: a picture shows tables; leave --json out")
    document = _read(journal)
    outcome = "deviated" if document.get("deviated") else document.get("status")
    try:
        if as_json:
            click.echo(as_document({"status": outcome, **document[JOURNAL_KEY]}))
            return
        title = (document.get("experiment") or {}).get("title", "experiment")
        short_of = list(document[JOURNAL_KEY].get("shortfalls", []))
        verdict = document[JOURNAL_KEY].get("verdict")
        tables = [fault_table(fault) for fault in document[JOURNAL_KEY]["faults"]]
    except _OF_ANOTHER_FORM as error:
        raise ChaosKernelError(
            f"{journal} has a part named {JOURNAL_KEY} that this version cannot read",
            hint="" if as_json else "--json prints it as it is",
        ) from error
    console = Console(record=bool(svg), width=_PICTURE_COLUMNS if svg else None)
    try:
        console.print(shown(f"{_cut(title)}: {_cut(outcome)}"), markup=False, highlight=False)
        for shortfall in short_of:
            line = f"short of its aim: {_cut(shortfall)}"
            console.print(shown(line), markup=False, highlight=False)
        for table in tables:
            console.print(table)
        if verdict:
            console.print(shown(_cut(verdict)), markup=False, highlight=False)
    except UnicodeEncodeError as error:
        character = ascii(error.object[error.start])
        raise ChaosKernelError(
            f"{journal} cannot be shown: {error.encoding} has no character {character}",
            hint="--json prints it as it is",
        ) from error
    if svg:
        _draw(console, svg, f"chaoskernel summary {journal.name}")


def _draw(console: Console, svg: Path, title: str) -> None:
    """Write what a recording console has printed as a picture.

    :raises ChaosKernelError: the file cannot be written.
    """
    try:
        svg.write_text(console.export_svg(title=shown(title)), encoding="utf-8")
    except OSError as error:
        raise ChaosKernelError(
            f"{svg} cannot be written: {error.strerror}", hint="name another file with --svg"
        ) from error


def _read(journal: Path) -> Mapping[str, Any]:
    try:
        with journal.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES), parse_int=_integer)
    except OSError as error:
        raise ChaosKernelError(
            f"{journal} cannot be read: {error.strerror}",
            hint="name the journal that `chaos run` wrote; it is journal.json by default",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ChaosKernelError(
            f"{journal} is not a journal: it is no JSON document",
            hint="name the journal that `chaos run` wrote",
        ) from error
    part = document.get(JOURNAL_KEY) if isinstance(document, dict) else None
    if not isinstance(part, dict) or not isinstance(part.get("faults"), list):
        raise ChaosKernelError(
            f"{journal} has no part named {JOURNAL_KEY}",
            hint="declare the control chaoskernel.control in the experiment",
        )
    return dict(document)


def _integer(digits: str) -> int | float:
    """Return a whole number; one of thousands of digits, which Python refuses, is infinite."""
    return int(digits) if len(digits) <= _MAX_DIGITS else math.inf


def fault_table(fault: Mapping[str, Any]) -> Table:
    """Return one fault as rows: a terminal is too narrow for a column for each fact."""
    counters = fault.get("counters", {})
    # Text, for a name or a reason may hold what looks like markup.
    title = Text(shown(f"fault {_cut(fault.get('name', ''))}"))
    table = Table("", Column(overflow="fold"), show_header=False, title=title, title_justify="left")
    rows = {
        "asked for": fault.get("summary"),
        "stands in": _stands_in(fault),
        "hook": _hook(fault),
        "call chain": chain(counters.get("frames") or fault.get("callchain", [])),
        "targets": targets(fault.get("targets", [])),
        "left out": ", ".join(map(str, fault.get("left_out", []))) or None,
        "reached": count(counters.get("reached")),
        "matched": count(counters.get("matched")),
        "injected": count(counters.get("injected")),
        "would have failed": count(counters.get("held_dry_run")) if fault.get("dry_run") else None,
        "held back": _held_back(counters),
        "hit": _hit(counters),
        "not followed": _not_followed(counters),
        _STACKS_ROW: _stacks(fault),
        "last one": None if fault.get("stacks") else _last(fault.get("events", [])),
        "warning": "; ".join(fault.get("warnings", [])) or None,
        "in force": _lifetime(fault),
        "ended by": f"{fault.get('reason', '')} ({fault.get('state', '')})",
        "verdict": fault.get("verdict"),
    }
    for label, value in rows.items():
        if value is not None:
            # Lines of our own: each was made harmless when it was written.
            table.add_row(label, Text(_cut(value, lines=label == _STACKS_ROW)))
    return table


def count(value: object) -> str:
    """Return a counter as text; what cannot be one is unknown, as one that is missing is."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT
    return str(value) if is_count else "unknown"


def _cut(value: object, *, lines: bool = False) -> str:
    text = shown(value, lines=lines)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _stands_in(fault: Mapping[str, Any]) -> str | None:
    stands_for = fault.get("stand_in_for")
    return (
        f"{fault.get('fault', '')} for {stands_for}, which this kernel lacks"
        if stands_for
        else None
    )


def _hook(fault: Mapping[str, Any]) -> str:
    engine = fault.get("engine", "")
    how = f"by {fault.get('mechanism', '')} ({engine})"
    return f"{fault.get('hook', '')} {how if engine != 'none' else '(a rehearsal: not attached)'}"


def chain(frames: list[Mapping[str, Any]]) -> str:
    """Return a call chain in one line, outermost function first, and how often each matched."""
    return " → ".join(map(_frame, frames)) or "any"


def _frame(frame: Mapping[str, Any]) -> str:
    counted = ""
    if frame.keys() >= {"entered", "matched"}:
        counted = f" ({count(frame['matched'])} of {count(frame['entered'])})"
    return f"{frame.get('symbol', frame)}{counted}"


def targets(named: list[Mapping[str, Any]]) -> str:
    """Return in one line what a scope names."""
    return ", ".join(map(in_words, named))


def _hit(counters: Mapping[str, Any]) -> str | None:
    """Return who was hit, the most first; a table has room for a few."""
    found = sorted(counters.get("processes", []), key=lambda hit: -_number(hit["injected"]))
    named = [f"{hit['command']} ({hit['pid']}): {count(hit['injected'])}" for hit in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    if unlisted := counters.get("unlisted"):
        more.append(f"{unlisted} more requests, by processes beyond the {MAX_HIT} that are listed")
    return ", ".join(named + more) or None


def _number(value: object) -> int:
    return value if isinstance(value, int) and count(value) != "unknown" else 0


def _not_followed(counters: Mapping[str, Any]) -> str | None:
    number = counters.get("untracked")
    return f"{number} processes, threads or control groups: a table was full" if number else None


def _last(events: list[Mapping[str, Any]]) -> str | None:
    """Return where in the kernel the last injection was, the innermost function first."""
    return next((_inwards(event["stack"]) for event in events[-1:]), None) or None


def _inwards(stack: list[object]) -> str:
    """Return a stack in one line, the innermost function first."""
    return " ← ".join(map(function_of, stack))


def _stacks(fault: Mapping[str, Any]) -> str | None:
    """Return where in the kernel most of the kept injections were, a line for each stack."""
    found = [*fault.get("stacks", [])][:_STACKS]
    lines = [f"{count(each['count'])} times {_inwards(each['stack'])}" for each in found]
    if (kept := _number(fault.get("stacks_of"))) < _number(
        fault.get("counters", {}).get("injected")
    ):
        lines.append(f"(of the latest {kept})")
    return "\n".join(shown(line) for line in lines) if found else None


def _held_back(counters: Mapping[str, Any]) -> str:
    held = [
        f"{count(value)} by {key.removeprefix(_HELD)}"
        for key, value in counters.items()
        if key.startswith(_HELD) and value
    ]
    return ", ".join(held) or "none"


def _lifetime(fault: Mapping[str, Any]) -> str:
    try:
        start = datetime.datetime.fromisoformat(fault["armed_at"])
        end = datetime.datetime.fromisoformat(fault["ended_at"])
    except (KeyError, ValueError, TypeError):
        return "unknown"
    day, clock = f"{start:%Y-%m-%d}", "%H:%M:%S"
    seconds = (end - start).total_seconds()
    return f"{seconds:.1f} s, {day} from {start:{clock}} to {end:{clock}} {start:%Z}".rstrip()
