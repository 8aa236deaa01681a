"""`chaoskernel faults`: what can be made to fail, in the user's words, and whether it can here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.hook_types import Row
from chaoskernel.fault.hooks import STAND_INS, TABLE, Kind
from chaoskernel.kernel import report
from chaoskernel.kernel.report import Offer
from chaoskernel.terminal import document, shown

_MARKS = {True: "yes", False: "no", None: "?"}
_SHOWN = 4
"""How many errors a row of the list has."""


def _complete(
    _context: click.Context, _argument: click.Parameter, begun: str
) -> list[CompletionItem]:
    return [
        CompletionItem(kind.value, help=row.fails)
        for kind, row in TABLE.items()
        if kind.value.startswith(begun)
    ]


@click.command(name="faults")
@click.argument("about", required=False, default="", shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def command(about: str, as_json: bool) -> None:
    """List what can be made to fail, and whether it can on this kernel.

    ABOUT is the name of a fault, which is shown in full, or a word that is looked for: a system
    call, an error or a hook.

    \b
    Examples:
      sudo chaoskernel faults
      chaoskernel faults write
      chaoskernel faults ENOSPC --json
    """
    kernel = report.kernel_features()
    offers = report.faults(report.kernel_symbols(), kernel)
    chosen = {kind: offers[kind] for kind in _about(about)}
    if as_json:
        click.echo(document([_described(kind, offer) for kind, offer in chosen.items()]))
    elif about in chosen:
        Console().print(_whole(_described(Kind(about), chosen[Kind(about)])))
    else:
        Console().print(_list(chosen))
    if any(offer.finding.usable is None for offer in chosen.values()):
        click.echo("? is for what only root can tell; run it as root", err=True)


def _about(word: str) -> Iterator[Kind]:
    """Yield the fault of that name, or else those that have to do with a word; empty is all.

    :raises ChaosKernelError: none has.
    """
    if word in TABLE:
        yield Kind(word)
        return
    found = [kind for kind, row in TABLE.items() if not word or _has(kind, row, word)]
    if not found:
        raise ChaosKernelError(
            f"no fault has to do with '{word[:60]}'", hint="`chaoskernel faults` lists them all"
        )
    yield from found


def _has(kind: Kind, row: Row, word: str) -> bool:
    texts = (kind.value, row.fails, *row.errors, *(hook.symbol for hook in row.hooks))
    return any(word.lower() in text.lower() for text in texts)


def _described(kind: Kind, offer: Offer) -> dict[str, Any]:
    """Return all that is known of a fault as one object of JSON types."""
    row, finding = TABLE[kind], offer.finding
    nearest = STAND_INS.get(kind)
    return {
        "fault": kind.value,
        "fails": row.fails,
        "usable": finding.usable,
        "found": finding.state,
        "remedy": finding.remedy,
        "errors": list(row.errors),
        "usual_error": row.errors[0] if row.errors else None,
        "note": row.note,
        "hooks": [
            {"symbol": hook.subject, "usable": hook.usable, "found": hook.state}
            for hook in offer.hooks
        ],
        "paths": row.takes_paths,
        "peers": row.takes_peers,
        "needs_place": row.needs_place,
        "predicate": row.hooks[0].parameters if row.takes_predicate else None,
        "stand_in": nearest.value if nearest else None,
    }


def _list(offers: Mapping[Kind, Offer]) -> Table:
    table = Table(
        Column("fault", no_wrap=True),
        Column("here", no_wrap=True),
        Column("what fails, with which errors, and by what", overflow="fold"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )
    for kind, offer in offers.items():
        row = TABLE[kind]
        lines = (row.fails, f"errors: {_errors(kind, row)}", _how(offer))
        cells = (kind.value, _MARKS[offer.finding.usable], "\n".join(lines))
        table.add_row(*(Text(shown(cell, lines=True)) for cell in cells))
    return table


def _errors(kind: Kind, row: Row) -> str:
    """Return the first errors of a fault, the usual one first."""
    if not row.errors:
        return "any" if kind is Kind.FUNCTION else "none to choose"
    more = len(row.errors) - _SHOWN
    return ", ".join(row.errors[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _how(offer: Offer) -> str:
    """Return by which hook a fault is injected here, or else why it is not."""
    finding = offer.finding
    if finding.usable is None:
        return f"{finding.state}: {finding.remedy}"
    if not finding.usable:
        return f"{finding.state}; needs {finding.remedy}"
    if not offer.hooks:
        return "; others need ".join(filter(None, (finding.state, finding.remedy)))
    more = f" and {len(offer.hooks) - 1} more" if len(offer.hooks) > 1 else ""
    return f"by {offer.hooks[0].subject}{more}"


def _whole(fault: Mapping[str, Any]) -> Table:
    """Return one fault in full."""
    table = Table("", Column(overflow="fold"), show_header=False, title=f"fault {fault['fault']}")
    table.title_justify = "left"
    if fault["paths"]:
        places = "paths, devices or any_file"
        where = f"{places}: one is required" if fault["needs_place"] else places
    else:
        where = "peers: addresses, networks, ports, Unix sockets" if fault["peers"] else "no"
    rows = {
        "what fails": fault["fails"],
        "here": f"{_MARKS[fault['usable']]}: {fault['found']}",
        "what would give it": fault["remedy"],
        "errors": ", ".join(fault["errors"])
        or ("any" if fault["fault"] == Kind.FUNCTION else "none to choose"),
        "what programs see": fault["note"],
        "hooks here": "\n".join(f"{hook['symbol']}: {hook['found']}" for hook in fault["hooks"]),
        "where": where,
        "predicate on": fault["predicate"]
        or ("the parameters that you name" if fault["fault"] == Kind.FUNCTION else "no"),
        "stand-in": fault["stand_in"],
    }
    for label, value in rows.items():
        if value:
            table.add_row(label, Text(shown(value, lines=True)))
    return table
