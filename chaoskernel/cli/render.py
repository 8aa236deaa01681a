"""`chaoskernel render`: the program that a fault would be on this kernel."""

from __future__ import annotations

import json
from typing import Any

import click

from chaoskernel.bpf import program
from chaoskernel.cli import options
from chaoskernel.engine.place import placements
from chaoskernel.kernel import btf, cgroups, features, symbols
from chaoskernel.spec import Fault


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
    texts = {fault.name: program_text(fault) for fault in options.wanted(given).faults()}
    if as_json:
        rows = [{"name": name, "program": text} for name, text in texts.items()]
        click.echo(json.dumps(rows, indent=2))
        return
    for text in texts.values():
        click.echo(text)


def program_text(fault: Fault) -> str:
    """Return the C of a fault's program for the running kernel.

    :raises ChaosKernelError: the kernel does not have what the fault needs.
    """
    hierarchy, _ = cgroups.scoped(fault.scope.cgroups, fault.scope.containers)
    placement = next(
        placements(fault, symbols.running(), features.running(), btf.running(), hierarchy)
    )
    return program.render(fault, placement).text
