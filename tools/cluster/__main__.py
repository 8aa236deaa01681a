"""`python -m tools.cluster`: a cluster for as long as a command runs."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console

from chaoskernel import process
from chaoskernel.errors import ChaosKernelError
from chaoskernel.lab.foreign import ARCHITECTURES
from chaoskernel.lab.progress import Bar, Lines, Progress
from tools.cluster import disk, source, spaces
from tools.cluster.cluster import Cluster


class Commands(click.Group):
    """Shows errors of this project as one line."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ChaosKernelError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
def main() -> None:
    """A Kubernetes cluster made of processes, in namespaces of its own.

    When the command ends, or is killed, so has everything of the cluster.
    """


def _inside(function: Callable[..., None]) -> Callable[..., None]:
    """Have a command run as the first process of a cluster's namespaces."""

    @functools.wraps(function)
    def wrapped(**arguments: object) -> None:
        if not spaces.group():
            again = [sys.executable, "-m", "tools.cluster", *sys.argv[1:]]
            sys.exit(spaces.enter(again))
        spaces.settle()
        function(**arguments)

    return wrapped


_NODES = click.option(
    "--nodes",
    default=2,
    show_default=True,
    type=click.IntRange(0, 9),
    help="How many kubelets; 0 is the control plane alone.",
)
_DIRECTORY = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep logs and kubeconfigs; without it they end with the cluster.",
)
_COMMAND = click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)


@main.command()
@click.option(
    "--arch",
    type=click.Choice(list(ARCHITECTURES)),
    help="Also what a node of this architecture needs.",
)
def build(arch: str | None) -> None:
    """Make sure that the programs of Kubernetes are there; build them if need be."""
    with _progress() as progress:
        source.binaries(progress)
        if arch:
            source.binaries(progress, architecture=ARCHITECTURES[arch])
            disk.unpacked(progress, ARCHITECTURES[arch])


@main.command()
@_COMMAND
@_inside
def enter(command: tuple[str, ...]) -> None:
    """Run COMMAND in the namespaces, and start nothing: for tests that do so themselves."""
    sys.exit(_foreground(command, {}))


@main.command()
@_NODES
@_DIRECTORY
@_COMMAND
@_inside
def run(nodes: int, directory: Path | None, command: tuple[str, ...]) -> None:
    """Bring the cluster up, run COMMAND with KUBECONFIG set, and take the cluster down."""
    with _cluster(nodes, directory) as environment:
        status = _foreground(command, environment)
    sys.exit(status)


@main.command()
@_NODES
@_DIRECTORY
@_inside
def shell(nodes: int, directory: Path | None) -> None:
    """Bring the cluster up, and open a shell in it."""
    with _cluster(nodes, directory) as environment:
        click.echo("kubectl reaches the cluster from this shell; it ends with the shell")
        _foreground([os.environ.get("SHELL", "/bin/sh")], environment)


@contextlib.contextmanager
def _cluster(nodes: int, directory: Path | None) -> Iterator[dict[str, str]]:
    """Bring a cluster up; yield what a client's environment needs."""
    place = (directory or spaces.STATE).absolute()
    with contextlib.ExitStack() as stack:
        with _progress() as progress:
            cluster = stack.enter_context(Cluster(place, nodes, progress))
        yield cluster.environment


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    console = Console(stderr=True)
    lines = Lines(console.print, name="cluster")
    with Bar(console) if console.is_terminal else lines as progress:
        yield progress


def _foreground(command: tuple[str, ...] | list[str], environment: dict[str, str]) -> int:
    """Run a command on this terminal; return its exit status as a shell would."""
    child = process.start(command, env={**os.environ, **environment}, stdin=None, own_group=False)
    while True:
        # A Ctrl-C is the command's as well: what is left to do is to wait for its end.
        with contextlib.suppress(KeyboardInterrupt):
            status = child.wait()
            return status if status >= 0 else 128 - status


if __name__ == "__main__":
    main()
