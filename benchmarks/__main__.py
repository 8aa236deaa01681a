"""`python -m benchmarks`: measure, print tables, and write figures and docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import document, report, work
from benchmarks.machine import HERE, Machine, make_image
from chaoskernel.compiler import objects
from chaoskernel.fault import syntax
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Limits
from chaoskernel.lab.kernel import Wanted, find_or_build
from chaoskernel.lab.progress import Lines
from chaoskernel.lab.stock import DEFAULT_PACKAGE

ROOT = HERE.parent
ARM64 = ("arm64", "arm64-place")
PARTS = ("cost", "frames", "growth", "threads", "start", "work", "place")

_LAB = Wanted()
_STOCK = Wanted(packages=(DEFAULT_PACKAGE,))
"""What has security hooks, which the lab's own kernel lacks."""

_ELSEWHERE = {
    "place": _STOCK,
    "arm64": Wanted(
        version="6.12",
        options=(ROOT / "tests/kernels/arm64.config").read_text(encoding="utf-8"),
        architecture="arm64",
    ),
    "arm64-place": Wanted(architecture="arm64"),
}
"""The kernels of those parts that the lab's does not serve; those of arm64 are measured when
they are named."""


@click.command()
@click.option("--short", is_flag=True, help="Only what tells whether the ratios are as they were.")
@click.option("--only", multiple=True, type=click.Choice([*PARTS, *ARM64]), help="Parts of it.")
@click.option("--repeat", default=1, help="How often to boot and measure all of it.")
@click.option("--figures", type=click.Path(path_type=Path), help="Where to write facts and plots.")
@click.option("--text", type=click.Path(path_type=Path), help="Whose tables to write anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON, and no table.")
def main(
    short: bool,
    only: tuple[str, ...],
    repeat: int,
    figures: Path | None,
    text: Path | None,
    as_json: bool,
) -> None:
    """Measure in an emulated machine what an injection costs; figures are instructions."""
    progress = Console(stderr=True)
    parts = ["short"] if short else [part for part in (*PARTS, *ARM64) if part in (only or PARTS)]
    kinds: dict[Wanted, list[str]] = {}
    for part in parts:
        kinds.setdefault(_ELSEWHERE.get(part, _LAB), []).append(part)
    facts = report.merged(
        fact
        for wanted, some in kinds.items()
        for machine in [_machine(progress, wanted)]
        for boot in range(1, repeat + 1)
        for fact in _measured(machine, some, progress, f"boot {boot} of {repeat}")
    )
    if as_json:
        click.echo(json.dumps(facts, indent=1))
    else:
        Console().print(*report.tables(facts))
    if figures:
        figures.mkdir(parents=True, exist_ok=True)
        facts = report.renewed(_known(figures), facts)
        (figures / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        from benchmarks import plot  # noqa: PLC0415 - matplotlib is of the extra `bench` alone

        plot.write(facts, figures)
    if text:
        text.write_text(document.updated(text.read_text(encoding="utf-8"), facts), encoding="utf-8")
    if short and (off := [*report.off(facts), *work.off(facts)]):
        raise click.ClickException(f"the ratios are not what they were: {'; '.join(off)}")


def _known(figures: Path) -> list[dict[str, Any]]:
    """Return the facts that were measured before."""
    place = figures / "facts.json"
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else []


def _measured(
    machine: Machine, parts: Sequence[str], progress: Console, boot: str
) -> Iterator[dict[str, Any]]:
    """Yield the facts of a boot, and show what is being measured."""
    with progress.status(f"{boot}: {', '.join(parts)}") as status:
        for fact in machine.run(parts):
            if "begun" not in fact:
                yield fact
                continue
            doing = f"{boot}: {fact['begun']}/{fact['of']} {fact['group']}: {fact['name']}"
            if progress.is_terminal:
                status.update(doing)
            else:
                progress.print(doing, highlight=False)


def _machine(console: Console, wanted: Wanted) -> Machine:
    with Lines(console.print) as progress:
        kernel = find_or_build(progress, wanted)
    with console.status("making an initramfs"):
        image = make_image(ROOT / "build" / "bench", kernel, json.dumps(_predicate().to_json()))
    return Machine(kernel, image)


def _predicate() -> Assignment:
    """Return a fault whose predicate never holds, with its object; the pid is set in the guest."""
    fault = Fault(
        name="bench",
        kind=Kind.SLAB,
        scope=Scope(pids=(2,)),
        limits=Limits(duration=3600),
        predicate=syntax.expression("s->object_size == 3 && gfpflags != 0"),
        engine=EngineName.CORE,
    )
    return objects.assigned(fault)


if __name__ == "__main__":
    main()
