"""`chaoskernel ps`: the faults of this host, or of a cluster, whoever started them."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from chaoskernel.agent.notice import Doubt, Notice, survey
from chaoskernel.cli.options import in_a_cluster
from chaoskernel.k8s import leftovers
from chaoskernel.k8s.access import access
from chaoskernel.k8s.leftovers import Left
from chaoskernel.report.facts import chain, targets
from chaoskernel.terminal import document, shown

_MAX_DOUBTS = 10


@click.command(name="ps")
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@in_a_cluster
def command(as_json: bool, kubernetes: bool, namespace: str) -> None:
    """Show the faults that are in force on this host, or those of a cluster.

    \b
    Examples:
      sudo chaoskernel ps
      sudo chaoskernel ps --json
      chaoskernel ps --kubernetes
    """
    if kubernetes:
        _show_jobs(as_json, namespace)
        return
    found, doubted = survey()
    tell_doubts(doubted)
    if as_json:
        click.echo(document([notice._asdict() for notice in found]))
        return
    if found:
        Console().print(_table(found))
    else:
        click.echo("no fault is in force")
    if os.geteuid() != 0:
        click.echo("faults that root started may be missing here; run it as root", err=True)


def tell_doubts(doubted: Sequence[Doubt]) -> None:
    """Print which notices are not believed, a line for each: anybody can make some."""
    for doubt in doubted[:_MAX_DOUBTS]:
        click.echo(shown(doubt), err=True)
    if len(doubted) > _MAX_DOUBTS:
        click.echo(f"and {len(doubted) - _MAX_DOUBTS} more of them", err=True)


def _show_jobs(as_json: bool, namespace: str) -> None:
    reached = access(namespace=namespace)
    found = leftovers.find(reached.cluster, reached.settings.namespace)
    if as_json:
        click.echo(document([dataclasses.asdict(left) for left in found]))
    elif found:
        Console().print(_jobs(found))
    else:
        click.echo(f"no fault has a Job in namespace {reached.settings.namespace}")


def _jobs(found: list[Left]) -> Table:
    table = _columns("fault", "node", "pods", "job", "state", "started by", "ends in")
    for left in found:
        cells = (left.fault, left.node, left.pods, left.job, left.state, left.started_by)
        table.add_row(*(Text(shown(cell)) for cell in (*cells, _left(left.ends_at))))
    return table


def _table(found: list[Notice]) -> Table:
    table = _columns("fault", "hook", "call chain", "targets", "agent", "started by", "ends in")
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
        # A command may hold what looks like markup, and anything else.
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table


def _columns(*headings: str) -> Table:
    """Return a table that breaks what has no room: a name is of no use without its end."""
    return Table(*(Column(heading, overflow="fold") for heading in headings))


def _left(expires_at: str) -> str:
    try:
        left = datetime.datetime.fromisoformat(expires_at) - datetime.datetime.now(datetime.UTC)
    except (ValueError, TypeError, OverflowError):  # TypeError: without a time zone
        return "unknown"
    return f"{max(0.0, left.total_seconds()):.0f} s"
