"""`python -m tests.fuzz`: try mutated inputs, and show what became of them."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from tests.fuzz.target import ACCEPTED, REFUSED, Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Tally, first_inputs, run, tried

FAILURES = Path("build/fuzz")
_SAY_SECONDS = 5.0


@click.command()
@click.option("--inputs", "count", default=200_000, show_default=True, help="Of all targets.")
@click.option("--seed", default=1, show_default=True, help="The same one makes the same inputs.")
@click.option(
    "--only", multiple=True, type=click.Choice(sorted(TARGETS)), help="Backends; all by default."
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Try the input of a file below {FAILURES}, whose folder names the target.",
)
def main(count: int, seed: int, only: tuple[str, ...], replay: Path | None) -> None:
    """Try mutated inputs; exit with 1 when one is neither accepted nor refused cleanly."""
    if replay:
        sys.exit(replayed(TARGETS[replay.parent.name], replay))
    chosen = [target for name, target in TARGETS.items() if not only or name in only]
    sys.exit(fuzz(chosen, count, seed, FAILURES))


def fuzz(targets: Sequence[Target], count: int, seed: int, failures: Path) -> int:
    """Try inputs, and print what became of them; return the exit status.

    :param count: of all targets together, beside those that are tried as they are.
    :param failures: a folder that gets the shortest input of each kind of failure.
    """
    parts = sum(target.share for target in targets)
    tallies: dict[str, Tally] = {}
    for target in targets:
        number = max(len(first_inputs(target)), round(count * target.share / parts))
        began = time.monotonic()
        tallies[target.name] = run(target, number, seed, _Progress(target.name, number))
        click.echo(f"{target.name}: {number} in {time.monotonic() - began:.1f} s", err=True)
        _keep(failures / target.name, tallies[target.name])
    Console().print(_table(tallies))
    return int(any(tally.examples for tally in tallies.values()))


def replayed(target: Target, file: Path) -> int:
    """Try the input of a file, and show why it fails; return the exit status."""
    given = file.read_bytes().decode("utf-8", "surrogatepass")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        kind, seconds = tried(target, given, Path(scratch), on_error=traceback.print_exception)
    click.echo(f"{kind}, {seconds * 1000:.0f} ms")
    return int(kind not in (ACCEPTED, REFUSED))


class _Progress:
    """Says every few seconds how far a target is."""

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._said = time.monotonic()

    def __call__(self, done: int, tally: Tally) -> None:
        if time.monotonic() - self._said > _SAY_SECONDS:
            self._said = time.monotonic()
            kinds = len(tally.examples)
            click.echo(f"{self._name}: {done} of {self._count}, {kinds} kinds of failure", err=True)


def _keep(folder: Path, tally: Tally) -> None:
    """Write the shortest input of each kind of failure to a file of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    for kind, given in tally.examples.items():
        content = given.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(content).hexdigest()[:8]
        file = folder / f"{re.sub(r'[^A-Za-z0-9.]+', '-', kind)[:60]}-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        click.echo(f"{folder.name}: {tally.kinds[kind]} × {kind}: {file}")


def _table(tallies: dict[str, Tally]) -> Table:
    table = Table("target", *(Column(name, justify="right") for name in _NUMBERS))
    for name, tally in [*tallies.items(), ("all", _sum(tallies))]:
        if name == "all":
            table.add_section()
        count = tally.kinds.total()
        accepted, refused = tally.kinds[ACCEPTED], tally.kinds[REFUSED]
        failed = f"{count - accepted - refused:,}"
        failed += f" ({len(tally.examples)} kinds)" if tally.examples else ""
        numbers = (f"{count:,}", f"{accepted:,}", f"{refused:,}")
        table.add_row(name, *numbers, failed, f"{tally.slowest * 1000:,.0f} ms")
    return table


_NUMBERS = ("inputs", "accepted", "refused", "failures", "slowest")


def _sum(tallies: dict[str, Tally]) -> Tally:
    whole = Tally()
    for tally in tallies.values():
        whole.add(tally)
    return whole


if __name__ == "__main__":
    main()
