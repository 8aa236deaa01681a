"""`chaoskernel render`: the program that a fault would be on this kernel."""

from __future__ import annotations

from typing import Any

import click

from chaoskernel.bpf import bcc_text, text
from chaoskernel.cli import options
from chaoskernel.cli.wanted import from_options
from chaoskernel.compiler import objects
from chaoskernel.engine.bcc import on_this_kernel
from chaoskernel.engine.choice import engine_for
from chaoskernel.engine.core import planned
from chaoskernel.engine.place import placements
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.kernel import cgroups, features, symbols
from chaoskernel.terminal import document, shown


@click.command(name="render")
@options.describing_a_fault
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def command(as_json: bool, **given: Any) -> None:
    """Print the program that would run on this kernel, and run nothing.

    \b
    Examples:
      chaoskernel render -f kernelchaos.yaml --system-wide
      chaoskernel render --spec 'mount_subtree() => btrfs_mount()' --pid 4711
    """
    texts = {fault.name: program_text(fault) for fault in from_options(given).faults()}
    if as_json:
        rows = [{"name": name, "program": program} for name, program in texts.items()]
        click.echo(document(rows))
        return
    for program in texts.values():
        click.echo(shown(program, lines=True))


def program_text(fault: Fault) -> str:
    """Return the C of a fault's program for the running kernel, and the engine that takes it.

    :raises ChaosKernelError: the kernel does not have what the fault needs.
    """
    if fault.engine is EngineName.NONE:
        raise InvalidFault("engine", "none", "core, bcc or auto", hint="a rehearsal has no program")
    hierarchy, _ = cgroups.scoped(fault.scope.cgroups, fault.scope.containers)
    names = symbols.running()
    placement = next(placements(fault, names, features.running(), hierarchy))
    if engine_for(fault, objects.assigned(fault).object).name == "bcc":
        return text.whole(bcc_text.render(fault, on_this_kernel(placement)).text)
    said = text.shown(planned(fault, placement))
    users = f"/* what it includes as PREDICATES: */\n{objects.source(fault)}\n"
    return f"{said}{users if fault.has_predicates else ''}{text.core()}"
