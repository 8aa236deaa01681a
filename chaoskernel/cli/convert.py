"""`chaoskernel convert`: a KernelChaos document becomes an experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import yaml

from chaoskernel import terminal
from chaoskernel.chaosmesh import manifest
from chaoskernel.chaosmesh.manifest import KernelChaos
from chaoskernel.cli import logger, options
from chaoskernel.cli.wanted import scope_of
from chaoskernel.errors import ChaosKernelError
from chaoskernel.kernel import advice, symbols
from chaoskernel.toolkit.experiment import experiment


@click.command(name="convert")
@click.argument("documents", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it, as YAML when that is what the name ends in.",
)
@options.in_scope
def command(documents: Path, output: Path | None, **scope: Any) -> None:
    """Write an experiment that does what the KernelChaos documents of a FILE say.

    Its steady state is a placeholder.  Without an option that names a scope it takes the
    process whose id is in the file that CHAOSKERNEL_PID_FILE names.

    \b
    Examples:
      chaoskernel convert kernelchaos.yaml -o experiment.json
      chaoskernel convert kernelchaos.yaml -o experiment.yaml --command postgres
    """
    named = {
        key: list(value) if value is not True else True for key, value in scope.items() if value
    }
    if named:
        scope_of(scope)  # what is wrong with it is said now, and not by the experiment
    found = manifest.load_file(documents)
    written = experiment(found, named)
    for chaos in found:
        if chaos.plan:
            logger.warning("the schedule of %s is left out; run the experiment by cron", chaos.name)
        _warn_of_names(chaos)
    if output is None:
        click.echo(terminal.document(written, indent=4))
        return
    try:
        output.write_text(_text(written, output.suffix), encoding="utf-8")
    except OSError as error:
        raise ChaosKernelError(
            f"{output} cannot be written: {error.strerror}", hint="name another file by -o"
        ) from error


def _warn_of_names(chaos: KernelChaos) -> None:
    """Warn of frames that kernels will refuse; none is asked here."""
    for number, frame in enumerate(chaos.callchain):
        name = frame.funcname
        if advice.is_always_inline(name):
            instead = advice.allocation(name)
        elif call := symbols.system_call_meant(name):
            instead = f"for the system call write {call}"
        else:
            continue
        logger.warning(
            "%s: callchain[%d].funcname: '%s' is not a function, and a kernel will refuse it; %s",
            chaos.name,
            number,
            name,
            instead,
        )


def _text(document: dict[str, Any], suffix: str) -> str:
    if suffix in (".yaml", ".yml"):
        return yaml.safe_dump(document, sort_keys=False, width=100)
    return json.dumps(document, indent=4) + "\n"
