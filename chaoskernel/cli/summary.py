"""`chaoskernel summary`: what an experiment made the kernel do, from its journal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.table import Column, Table
from rich.text import Text

from chaoskernel.cli.pictures import sparkline, stack_tree
from chaoskernel.errors import ChaosKernelError
from chaoskernel.report.facts import OF_ANOTHER_FORM, STACKS, facts, left_out
from chaoskernel.report.reading import JOURNAL, read
from chaoskernel.terminal import document as as_document
from chaoskernel.terminal import shown
from chaoskernel.toolkit.evidence import JOURNAL_KEY

_PICTURE_COLUMNS = 80
_LONGEST = 10_000
"""Characters of one text of a journal that are shown."""


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
    except OF_ANOTHER_FORM as error:
        raise ChaosKernelError(
            f"{journal} has a part named {JOURNAL_KEY} that this version cannot read",
            hint="" if as_json else "--json prints it as it is",
        ) from error
    console = Console(record=bool(svg), width=_PICTURE_COLUMNS if svg else None)
    console.print(shown(f"{_cut(title)}: {_cut(outcome)}"), markup=False, highlight=False)
    for shortfall in short_of:
        line = f"short of its aim: {_cut(shortfall)}"
        console.print(shown(line), markup=False, highlight=False)
    for table in tables:
        console.print(table)
    if verdict:
        console.print(shown(_cut(verdict)), markup=False, highlight=False)
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
    document = read(journal, whole=True, wanted=JOURNAL)
    part = document.get(JOURNAL_KEY)
    if not isinstance(part, dict) or not isinstance(part.get("faults"), list):
        raise ChaosKernelError(
            f"{journal} has no part named {JOURNAL_KEY}",
            hint="declare the control chaoskernel.control in the experiment",
        )
    return document


def fault_table(fault: Mapping[str, Any]) -> Table:
    """Return one fault as rows: a terminal is too narrow for a column for each fact."""
    # Text, for a name or a reason may hold what looks like markup.
    title = Text(shown(f"fault {_cut(fault.get('name', ''))}"))
    table = Table("", Column(overflow="fold"), show_header=False, title=title, title_justify="left")
    over_time = sparkline(fault.get("series"))
    for label, value in facts(fault).items():
        if label == STACKS and (tree := stack_tree(fault.get("stacks"))):
            table.add_row(label, Group(tree, *filter(None, [left_out(fault)])))
            continue
        # Lines of our own: each was made harmless when it was written.
        table.add_row(label, Text(_cut(value, lines=label == STACKS)))
        if label == "injected" and over_time:
            table.add_row("over time", over_time)
    return table


def _cut(value: object, *, lines: bool = False) -> str:
    text = shown(value, lines=lines)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
