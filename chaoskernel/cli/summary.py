"""`chaoskernel summary`: what an experiment made the kernel do, from its journal."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from chaoskernel.errors import ChaosKernelError
from chaoskernel.evidence import JOURNAL_KEY
from chaoskernel.target import in_words

_HELD = "held_"
_SHOWN = 4
_MAX_BYTES = 2**28


@click.command(name="summary")
@click.argument("journal", type=click.Path(path_type=Path), default=Path("journal.json"))
@click.option("--json", "as_json", is_flag=True, help="Print the journal's part as JSON.")
def command(journal: Path, as_json: bool) -> None:
    """Show what the experiment of a JOURNAL made the kernel do.

    \b
    Examples:
      chaoskernel summary
      chaoskernel summary journal.json --json
    """
    document = _read(journal)
    outcome = "deviated" if document.get("deviated") else document.get("status")
    if as_json:
        click.echo(json.dumps({"status": outcome, **document[JOURNAL_KEY]}, indent=2))
        return
    try:
        title = (document.get("experiment") or {}).get("title", "experiment")
        short_of = list(document[JOURNAL_KEY].get("shortfalls", []))
        tables = [fault_table(fault) for fault in document[JOURNAL_KEY]["faults"]]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ChaosKernelError(
            f"{journal} has a part named {JOURNAL_KEY} that this version cannot read",
            hint="--json prints it as it is",
        ) from error
    console = Console()
    try:
        console.print(f"{title}: {outcome}", markup=False, highlight=False)
        for shortfall in short_of:
            console.print(f"short of its aim: {shortfall}", markup=False, highlight=False)
        for table in tables:
            console.print(table)
    except UnicodeEncodeError as error:
        character = ascii(error.object[error.start])
        raise ChaosKernelError(
            f"{journal} cannot be shown: {error.encoding} has no character {character}",
            hint="--json prints it as it is",
        ) from error


def _read(journal: Path) -> Mapping[str, Any]:
    try:
        with journal.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
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


def fault_table(fault: Mapping[str, Any]) -> Table:
    """Return one fault as rows: a terminal is too narrow for a column for each fact."""
    counters = fault.get("counters", {})
    # Text, for a name or a reason may hold what looks like markup.
    title = Text(f"fault {fault.get('name', '')}")
    table = Table("", Column(overflow="fold"), show_header=False, title=title, title_justify="left")
    rows = {
        "hook": _hook(fault),
        "call chain": chain(counters.get("frames") or fault.get("callchain", [])),
        "targets": targets(fault.get("targets", [])),
        "reached": counters.get("reached", "unknown"),
        "matched": counters.get("matched", "unknown"),
        "injected": counters.get("injected", "unknown"),
        "would have failed": counters.get("held_dry_run") if fault.get("dry_run") else None,
        "held back": _held_back(counters),
        "hit": _hit(counters),
        "last one": _last(fault.get("events", [])),
        "in force": _lifetime(fault),
        "ended by": f"{fault.get('reason', '')} ({fault.get('state', '')})",
    }
    for label, value in rows.items():
        if value is not None:
            table.add_row(label, Text(str(value)))
    return table


def _hook(fault: Mapping[str, Any]) -> str:
    engine = fault.get("engine", "")
    how = f"by {fault.get('mechanism', '')} ({engine})"
    return f"{fault.get('hook', '')} {how if engine != 'none' else '(a rehearsal: not attached)'}"


def chain(frames: list[Mapping[str, Any]]) -> str:
    """Return a call chain in one line, outermost function first, and how often each matched."""
    return " → ".join(map(_frame, frames)) or "any"


def _frame(frame: Mapping[str, Any]) -> str:
    counted = f" ({frame['matched']} of {frame['entered']})" if "entered" in frame else ""
    return f"{frame.get('symbol', frame)}{counted}"


def targets(named: list[Mapping[str, Any]]) -> str:
    """Return in one line what a scope names."""
    return ", ".join(map(in_words, named))


def _hit(counters: Mapping[str, Any]) -> str | None:
    """Return who was hit, the most first; a table has room for a few."""
    found = sorted(counters.get("processes", []), key=lambda hit: -int(hit["injected"]))
    named = [f"{hit['command']} ({hit['pid']}): {hit['injected']}" for hit in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return ", ".join(named + more) or None


def _last(events: list[Mapping[str, Any]]) -> str | None:
    """Return where in the kernel the last injection was, the innermost function first."""
    stack = [place.partition("+")[0] for event in events[-1:] for place in event["stack"]]
    return " ← ".join(stack) or None


def _held_back(counters: Mapping[str, Any]) -> str:
    held = [
        f"{value} by {key.removeprefix(_HELD)}"
        for key, value in counters.items()
        if key.startswith(_HELD) and value
    ]
    return ", ".join(held) or "none"


def _lifetime(fault: Mapping[str, Any]) -> str:
    try:
        start = datetime.datetime.fromisoformat(fault["armed_at"])
        end = datetime.datetime.fromisoformat(fault["ended_at"])
    except (KeyError, ValueError):
        return "unknown"
    return f"{(end - start).total_seconds():.1f} s"
