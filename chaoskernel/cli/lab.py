"""`chaoskernel lab`: a throwaway virtual machine whose kernel can be made to fail."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich import filesize
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from chaoskernel.cli import logger
from chaoskernel.cli.lab_options import guest_options, kernel_options
from chaoskernel.cli.statuses import Status
from chaoskernel.errors import LostGuest, TimeLimit
from chaoskernel.lab import accel, cache, guest, kernel, stock, tools
from chaoskernel.lab.progress import Bar, Lines
from chaoskernel.lab.script import Extras
from chaoskernel.terminal import shown

_LABELS = {"cache_bytes": "cache size"}


@click.group(name="lab")
def command() -> None:
    """Boot a throwaway virtual machine whose kernel can be made to fail.

    \b
    Examples:
      chaoskernel lab build
      chaoskernel gallery copy mount-enomem
      chaoskernel lab run -- chaos run experiments/mount-enomem.json
      chaoskernel lab shell
      chaoskernel lab status
    """


@command.command()
@kernel_options
def build(wanted: kernel.Wanted) -> None:
    """Make sure that there is a kernel to boot; build it if need be.

    With --package or --suite nothing is compiled: the newest version of the package is
    downloaded, unless the cache has it.

    \b
    Examples:
      chaoskernel lab build
      chaoskernel lab build --source 6.12
      chaoskernel lab build --package linux-image-amd64
      chaoskernel lab build --suite unstable
    """
    with exit_statuses():
        guest.acceleration(_kernel(wanted, newest=True))


@command.command(context_settings={"ignore_unknown_options": True})
@kernel_options
@guest_options(guest.DEFAULT_SECONDS)
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def run(
    wanted: kernel.Wanted,
    timeout: float,
    cpus: int,
    memory: str,
    rw: tuple[Path, ...],
    env: dict[str, str],
    extras: Extras,
    words: tuple[str, ...],
) -> None:
    """Run a command in a guest, and exit with its status.

    The guest sees this machine's files and may change them only in its own
    memory, save those below --rw.  Status 124 is the time limit, 125 a
    lost guest.

    \b
    Examples:
      chaoskernel lab run -- uname -r
      chaoskernel lab run --timeout 600 --rw build -- make check
      chaoskernel lab run --env MODE=slow -- chaos run experiment.json
      chaoskernel lab run --package linux-image-amd64 -- chaoskernel check
      chaoskernel lab run --disk 256M --copy app --port 8000 -- app/start.sh
    """
    with exit_statuses():
        found = _kernel(wanted)
        status = guest.run(
            found,
            words,
            seconds=timeout,
            machine=guest.Machine(cpus, memory),
            rw=rw,
            env=env,
            extras=extras,
            booting=lambda line: click.echo(line, err=True),
        )
    sys.exit(status)


@command.command()
@kernel_options
@guest_options(guest.DEFAULT_SHELL_SECONDS)
def shell(
    wanted: kernel.Wanted,
    timeout: float,
    cpus: int,
    memory: str,
    rw: tuple[Path, ...],
    env: dict[str, str],
    extras: Extras,
) -> None:
    """Open a shell in a guest.

    \b
    Examples:
      chaoskernel lab shell
      chaoskernel lab shell --memory 4G --rw /tmp/results
    """
    with exit_statuses():
        guest.shell(
            _kernel(wanted),
            seconds=timeout,
            machine=guest.Machine(cpus, memory),
            rw=rw,
            env=env,
            extras=extras,
        )


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show which kernel would be booted, on what, and what is missing.

    \b
    Examples:
      chaoskernel lab status
      chaoskernel lab status --json
    """
    facts = _facts()
    if as_json:
        click.echo(json.dumps(facts))
        return
    table = Table("", Column(overflow="fold"), show_header=False)
    for name, value in facts.items():
        cell = ", ".join(value) or "nothing" if isinstance(value, list) else str(value or "-")
        if name == "cache_bytes":
            cell = filesize.decimal(value)
        table.add_row(_LABELS.get(name, name), Text(shown(cell)))
    Console().print(table)


def _facts() -> dict[str, Any]:
    root = cache.root()
    found = kernel.find(root=root)
    hardware = accel.known(root, found.image) if found else None
    needs = tools.BOOT_NEEDS if found else tools.BOOT_NEEDS + tools.BUILD_NEEDS
    return {
        "kernel": found.origin if found else "none",
        "release": found.release if found else None,
        "image": str(found.image) if found else None,
        "packages": [f"{each.package} {each.version}" for each in stock.everything(root)],
        "cache": str(root),
        "cache_bytes": cache.size(root),
        "acceleration": hardware or "untried",
        "missing": [need.name for need in tools.missing(needs)],
    }


def _kernel(wanted: kernel.Wanted, *, newest: bool = False) -> kernel.Kernel:
    console = Console(stderr=True)
    progress = (
        Bar(console) if console.is_terminal else Lines(lambda line: click.echo(line, err=True))
    )
    with progress:
        return kernel.find_or_build(progress, wanted, newest=newest)


@contextlib.contextmanager
def exit_statuses() -> Iterator[None]:
    """Turn what ends a guest before its time into an exit status; let nothing linger."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        yield
    except TimeLimit as error:
        logger.error(error)
        sys.exit(Status.TIME_LIMIT)
    except LostGuest as error:
        logger.error(error)
        sys.exit(Status.LOST_GUEST)
    except KeyboardInterrupt:
        sys.exit(Status.SIGNALLED + signal.SIGINT)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(Status.SIGNALLED + number)
