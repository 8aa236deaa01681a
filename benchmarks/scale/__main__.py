"""`python -m benchmarks.scale`: measure, print tables, and write the figures of the docs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.scale import cluster, report
from benchmarks.scale.contenders import CONTENDERS, FLOOR_WITH_STATUS, OURS
from chaoskernel.errors import ChaosKernelError
from chaoskernel.lab.progress import Lines
from tools.cluster import spaces

_NODES = (10, 100, 500)
_SHORT = (10,)


@click.command()
@click.option("--short", is_flag=True, help="Ten nodes; fails when they take too many calls.")
@click.option("--json", "as_json", is_flag=True, help="Print what was measured as JSON.")
@click.option("--figures", type=click.Path(path_type=Path), help="Where to write facts and plots.")
@click.option("--nodes", multiple=True, type=click.IntRange(1, 999), help="Else 10, 100 and 500.")
@click.option("--as-shipped", is_flag=True, help="Leave the controllers their own limits.")
@click.option(
    "--status", is_flag=True, help="Also a floor whose agents report by their pods' status."
)
@click.option("--runs", default=2, show_default=True, type=click.IntRange(1), help="Of each.")
def main(
    short: bool,
    as_json: bool,
    figures: Path | None,
    nodes: tuple[int, ...],
    as_shipped: bool,
    status: bool,
    runs: int,
) -> None:
    """Measure faults on many nodes against the bare client; kubelets are played, the rest is real.

    What it starts lives in namespaces of its own, and ends with this command.
    """
    console = Console(stderr=as_json)
    try:
        if not spaces.group():
            sys.exit(spaces.enter([sys.executable, "-m", "benchmarks.scale", *sys.argv[1:]]))
        spaces.settle()
        options = cluster.CALM if as_shipped else cluster.UNLIMITED
        with Lines(console.print, name="scale") as lines, cluster.running(lines, options) as here:
            if short:
                facts = list(_measured(console, here, _SHORT, [OURS], 1))
            else:
                sizes = sorted(nodes or _NODES)
                wanted = [each for each in CONTENDERS if status or each != FLOOR_WITH_STATUS]
                facts = list(_measured(console, here, sizes, wanted, runs))
    except ChaosKernelError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        console.print(*report.tables(facts))
    if figures:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / "scale.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        report.plot(facts, figures)
    if short and (missed := [str(target) for target in report.targets(facts) if not target.met]):
        raise click.ClickException("; ".join(missed))


def _measured(
    console: Console,
    here: cluster.Cluster,
    sizes: Sequence[int],
    contenders: Sequence[str],
    runs: int,
) -> Iterator[Mapping[str, Any]]:
    """Yield what each run took, the least nodes first: more of them are made as they are needed."""
    for nodes in sizes:
        with _bar(console) as bar:
            task = bar.add_task(f"making {nodes} nodes and their pods", total=nodes)
            here.register(nodes, lambda done, bar=bar, task=task: bar.update(task, completed=done))  # type: ignore[misc]
        for run in range(runs):
            for contender in contenders:
                with console.status(f"{nodes} nodes, run {run + 1} of {runs}: {contender}"):
                    fact = here.measure(contender, nodes)
                console.print(f"{nodes} nodes, run {run + 1}: {contender}: {fact['seconds']}")
                yield fact


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)


if __name__ == "__main__":
    main()
