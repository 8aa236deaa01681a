"""`python -m benchmarks`: measure, print a table, and write the figures of docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from benchmarks import report
from benchmarks.machine import HERE, Machine, make_image
from chaoskernel import objects, syntax
from chaoskernel.lab.kernel import find_or_build
from chaoskernel.lab.progress import Lines
from chaoskernel.scope import Scope
from chaoskernel.spec import EngineName, Fault, Hook, Limits

ROOT = HERE.parent


@click.command()
@click.option("--short", is_flag=True, help="Only what tells whether the ratios are as they were.")
@click.option("--figures", type=click.Path(path_type=Path), help="Where to write table and plots.")
@click.option("--only", multiple=True, type=click.Choice(["cost", "growth", "threads", "start"]))
def main(short: bool, figures: Path | None, only: tuple[str, ...]) -> None:
    """Measure in an emulated machine what an injection costs; figures are instructions."""
    console = Console()
    parts = ("short",) if short else only or ("cost", "growth", "threads", "start")
    machine = _machine(console)
    with console.status(f"measuring {', '.join(parts)}"):
        facts = list(machine.run(*parts))
    console.print(*report.tables(facts))
    if figures:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        report.plot(facts, figures)
    if short and (off := report.off(facts)):
        raise click.ClickException(f"the ratios are not what they were: {'; '.join(off)}")


def _machine(console: Console) -> Machine:
    with Lines(console.print) as progress:
        kernel = find_or_build(progress)
    with console.status("making an initramfs"):
        image = make_image(ROOT / "build" / "bench", kernel, json.dumps(_predicate().to_json()))
    return Machine(kernel, image)


def _predicate() -> Fault:
    """Return a fault whose predicate never holds, with its object; the pid is set in the guest."""
    fault = Fault(
        name="bench",
        hook=Hook.SLAB,
        scope=Scope(pids=(2,)),
        limits=Limits(duration=3600),
        predicate=syntax.expression("s->object_size == 3 && gfpflags != 0"),
        engine=EngineName.CORE,
    )
    return objects.with_object(fault)


if __name__ == "__main__":
    main()
