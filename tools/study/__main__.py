"""`python -m tools.study`: explore the programs of the study, and write docs/study.md.

The document is written from the results that are there; each is a file of JSON beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from tools.study.programs import PROGRAMS, RUNS, Program, Run

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "docs/study"
TEXT = ROOT / "docs/study.md"
_BUILD = ROOT / "build/study"
_FINE = ("survived", "reported", "not reached")
_KEPT_BYTES = 400
_MARK = "<!-- The rest is written by python -m tools.study. -->\n"


@click.command()
@click.option("--program", "names", multiple=True, type=click.Choice([p.name for p in PROGRAMS]))
@click.option("--kernel", "kernels", multiple=True, type=click.Choice([r.name for r in RUNS]))
@click.option("--budget", default="15m", show_default=True, help="For each.")
@click.option("--memory", default="2G", show_default=True, help="Of a guest.")
@click.option("--write-only", is_flag=True, help="Explore nothing; write the document anew.")
def main(
    names: tuple[str, ...], kernels: tuple[str, ...], budget: str, memory: str, write_only: bool
) -> None:
    """Explore programs in throwaway guests, and write what came of it."""
    for run in RUNS:
        for program in PROGRAMS:
            wanted = program.name in (names or [program.name]) and run.name in (
                kernels or [run.name]
            )
            if wanted and not write_only:
                _explore(program, run, budget, memory)
    text = TEXT.read_text(encoding="utf-8")
    head = text.partition(_MARK)[0]
    TEXT.write_text(head + _MARK + "".join(_document()), encoding="utf-8")


def command(program: Program, run: Run, *more: str) -> list[str]:
    """Return the words that explore a program."""
    faults = [word for fault in run.faults for word in ("--fault", fault)]
    lab = ["--lab", *run.lab]
    return ["explore", *lab, *faults, *more, *program.options, "--", *program.words]


def _explore(program: Program, run: Run, budget: str, memory: str) -> None:
    _BUILD.mkdir(parents=True, exist_ok=True)
    state = _BUILD / f"{program.name}-{run.name}.jsonl"
    state.unlink(missing_ok=True)
    tool = str(Path(sys.executable).with_name("chaoskernel"))
    limits = ("--budget", budget, "--memory", memory)
    words = command(program, run, "--json", *limits, "--state", str(state))
    done = subprocess.run([tool, *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 3):
        click.echo(f"{program.name} on {run.name}: status {done.returncode}", err=True)
        return
    PLACE.mkdir(exist_ok=True)
    found = _shortened(json.loads(done.stdout))
    file = PLACE / f"{program.name}-{run.name}.json"
    file.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


def _shortened(found: dict[str, Any]) -> dict[str, Any]:
    """Return the results with the beginnings of long outputs alone."""
    for site in found["sites"]:
        for each in (site, *site["attempts"]):
            each["output"] = each["output"][-_KEPT_BYTES:]
            each["replay"] = each["replay"].partition(" --state")[0]
    return found


def _document() -> Iterator[str]:
    """Yield the tables of the study, from the results that are there."""
    yield "\n## What was found\n\n"
    yield "| program | kernel | fails | sites | attempts | outcomes | time |\n"
    yield "|---|---|---|---|---|---|---|\n"
    there = [
        (program, run, json.loads(file.read_text(encoding="utf-8")))
        for program in PROGRAMS
        for run in RUNS
        if (file := PLACE / f"{program.name}-{run.name}.json").exists()
    ]
    for program, run, found in there:
        outcomes = ", ".join(f"{number} {name}" for name, number in found["outcomes"].items())
        number = sum(found["outcomes"].values())
        link = f"[{program.name}](study/{program.name}-{run.name}.json)"
        kernel = found["kernel"]["release"]
        ended = "" if found["ended_by"] == "complete" else f", until the {found['ended_by']}"
        faults = ", ".join(sorted({each["fault"] for each in found["sites"]}))
        yield (
            f"| {link} | {kernel} | {faults} | {len(found['sites'])} | {number} | "
            f"{outcomes} | {found['duration']:.0f} s{ended} |\n"
        )
    for program, _, found in there:
        yield from _of_program(program, found)


def _of_program(program: Program, found: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {program.name} on {found['kernel']['release']}\n\n"
    bad = [each for each in found["sites"] if each["outcome"] not in (None, *_FINE)]
    if not bad:
        tried = sum(found["outcomes"].values())
        yield f"Nothing crashed, hung or lost data in {tried} attempts.\n"
        return
    yield "| outcome | where | entered by | what was seen | replay |\n|---|---|---|---|---|\n"
    rows = Counter(
        (
            each["outcome"] + (" (flaky)" if each["flaky"] else ""),
            each["function"],
            each["entered"]["name"] or each["entered"]["by"],
            each["detail"].replace("|", "\\|")[:90],
        )
        for each in bad
    )
    first: dict[tuple[str, str], str] = {}
    for each in bad:
        first.setdefault((each["function"], each["outcome"]), each["attempts"][0]["attempt"])
    for row, number in rows.items():
        outcome, function, entered, detail = row
        attempt = first.get((function, outcome.removesuffix(" (flaky)")), "")
        times = f" ({number} sites)" if number > 1 else ""
        yield f"| {outcome} | `{function}`{times} | {entered} | {detail} | `--replay {attempt}` |\n"


if __name__ == "__main__":
    main()
