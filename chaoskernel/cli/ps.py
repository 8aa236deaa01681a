"""`chaoskernel ps`: the faults that are in force on this host, whoever started them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaoskernel.agent.notice import Notice, notices
from chaoskernel.cli.summary import chain, targets


@click.command(name="ps")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def command(as_json: bool) -> None:
    """Show the faults that are in force on this host.

    \b
    Examples:
      sudo chaoskernel ps
      sudo chaoskernel ps --json
    """
    found = notices()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(notice) for notice in found], indent=2))
        return
    if found:
        Console().print(_table(found))
    else:
        click.echo("no fault is in force")
    if os.geteuid() != 0:
        click.echo("faults that root started may be missing here; run it as root", err=True)


def _table(found: list[Notice]) -> Table:
    table = Table("fault", "hook", "call chain", "targets", "agent", "started by", "ends in")
    for notice in found:
        said = notice.message
        cells = (
            notice.name,
            f"{said.get('hook', '')} by {said.get('mechanism', '')}",
            chain(said.get("callchain", [])),
            targets(said.get("targets", [])),
            str(notice.pid),
            f"{notice.owner['command']} ({notice.owner['pid']})",
            _left(str(said.get("expires_at", ""))),
        )
        table.add_row(*(Text(cell) for cell in cells))  # a command may hold what looks like markup
    return table


def _left(expires_at: str) -> str:
    try:
        left = datetime.datetime.fromisoformat(expires_at) - datetime.datetime.now(datetime.UTC)
    except ValueError:
        return "unknown"
    return f"{max(0.0, left.total_seconds()):.0f} s"
