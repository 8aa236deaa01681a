"""`chaoskernel check`: what this kernel and host offer to faults, and what is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chaoskernel import process
from chaoskernel.backend.launch import agent_python
from chaoskernel.backend.local import LocalBackend
from chaoskernel.backend.record import Backend
from chaoskernel.cli.statuses import Status
from chaoskernel.compiler import objects
from chaoskernel.engine import core
from chaoskernel.errors import ChaosKernelError, DeadHook
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits
from chaoskernel.fault.where import Where
from chaoskernel.kernel import report
from chaoskernel.kernel.report import Finding
from chaoskernel.terminal import document, shown

_PROOF_SECONDS = 600.0
_LONGEST_FOUND = 20
_LONGEST_OPTION = len("CONFIG_FUNCTION_ERROR_INJECTION")
_MARKS = {True: "yes", False: "no", None: "?"}


@click.command(name="check")
@click.option(
    "--prove/--no-prove",
    default=True,
    show_default=True,
    help="Provoke the hooks of each fault, by a dry run, to see that they are alive; "
    "this takes a second or so for each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def command(prove: bool, as_json: bool) -> None:
    """Show what this kernel and host offer to faults, and what is missing.

    The first line says which faults can be injected here; `chaoskernel faults` describes each.
    The exit status is 0 when at least one can.

    \b
    Examples:
      sudo chaoskernel check
      sudo chaoskernel check --no-prove --json
    """
    kernel = report.kernel_features()
    hooks = report.hooks(report.kernel_symbols(), kernel)
    others = [*report.mechanisms(kernel), *report.tracing(), *_engines(), *report.host()]
    if prove:
        hooks = dict(_proven(hooks, LocalBackend()))
    found = [*hooks.values(), *others]
    if as_json:
        click.echo(document([finding._asdict() for finding in found]))
    else:
        console = Console()
        console.print(report.in_one_line(hooks), markup=False, highlight=False)
        console.print(_table(found))
    sys.exit(0 if any(finding.usable for finding in hooks.values()) else Status.FAILED)


def _proven(hooks: dict[Kind, Finding], target: Backend) -> Iterator[tuple[Kind, Finding]]:
    """Yield the hooks again, those that are present as alive or dead."""
    with process.spawn(["sleep", str(_PROOF_SECONDS)]) as bystander:
        for hook, finding in hooks.items():
            if finding.state != report.PRESENT or hook is Kind.FUNCTION:
                yield hook, finding
                continue
            click.echo(f"proving {finding.subject}", err=True)
            yield hook, _tried(hook, finding, bystander.pid, target)


def _tried(kind: Kind, finding: Finding, pid: int, target: Backend) -> Finding:
    """Return what became of a dry run on a process that does nothing."""
    name = f"check-{kind.value}"
    try:
        target.start(
            Fault(
                name,
                kind,
                Scope(pids=(pid,)),
                limits=Limits(duration=60),
                dry_run=True,
                where=Where(any_file=TABLE[kind].needs_place),
            )
        )
        target.stop(name)
    except DeadHook as error:
        return Finding(finding.subject, "dead", False, error.needs)
    except ChaosKernelError as error:
        return Finding(finding.subject, "not proven", None, str(error))
    return Finding(finding.subject, "live")


def _engines() -> Iterator[Finding]:
    """Yield what is found of the engines, and of what compiles predicates for core."""
    try:
        core.require_core()
        yield Finding("engine core", report.PRESENT)
    except ChaosKernelError as error:
        yield Finding("engine core", error.message, False, error.hint)
    try:
        objects.require_tools()
        yield Finding("predicates with core", report.PRESENT)
    except ChaosKernelError as error:
        yield Finding("predicates with core", error.message, False, error.hint)
    try:
        yield Finding("engine bcc", agent_python())
    except ChaosKernelError as error:
        yield Finding("engine bcc", error.message, False, error.hint)


def _table(found: list[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("what", no_wrap=True)
    table.add_column("usable")
    table.add_column("found", overflow="fold", max_width=_LONGEST_FOUND)
    table.add_column("what would give it", overflow="fold", min_width=_LONGEST_OPTION)
    for finding in found:
        cells = (finding.subject, _MARKS[finding.usable], finding.state, finding.remedy)
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table
