"""Facts of the machine -> tables, plots, and what is off."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.machine import NS_PER_INSTRUCTION

Facts = Sequence[Mapping[str, Any]]

NOTHING, FLOOR = "nothing attached", "floor: an empty fmod_ret"
EXPECTED = {
    "core, out of scope": 1.14,
    "core, in scope, a frame is never entered": 1.75,
}
"""Added cost as a multiple of the floor's, as docs/performance.md has it."""

_TOLERANCE = 0.25
_INJECTS = re.compile("injecting|dry run")
"""What an injection itself costs is another scale, and a pipe(2) that fails another job."""


def instructions(fact: Mapping[str, Any]) -> float:
    """Return how many instructions an iteration took: the lesser of the runs."""
    return float(min(fact["ns"])) / NS_PER_INSTRUCTION


def added(facts: Facts) -> dict[str, float]:
    """Return by how many instructions each contender makes an iteration longer."""
    cost = {fact["name"]: instructions(fact) for fact in facts if _of(fact, "cost")}
    return {name: value - cost[NOTHING] for name, value in cost.items()} if cost else {}


def tables(facts: Facts) -> Iterator[Table]:
    """Yield a table for each group of facts."""
    if more := added(facts):
        yield _costs(facts, more)
    growing = [fact for fact in facts if fact["group"] not in ("cost", "start")]
    for group, members in itertools.groupby(growing, key=lambda fact: fact["group"]):
        table = Table("", "instructions an iteration", title=group)
        for fact in members:
            table.add_row(fact["name"], _or_error(fact))
        yield table
    started = [fact for fact in facts if fact["group"] == "start"]
    if started:
        table = Table("", "seconds", "peak memory", title="from start to armed")
        for fact in started:
            if "error" in fact:
                table.add_row(fact["name"], fact["error"], "")
            else:
                memory = f"{fact['memory'] / 1e6:.1f} MB"
                table.add_row(fact["name"], f"{fact['seconds']:.2f}", memory)
        yield table


def _costs(facts: Facts, more: Mapping[str, float]) -> Table:
    table = Table(
        "", "instructions", "added", "times the floor", "spread", title="pipe(2) and two close(2)"
    )
    for fact in facts:
        if fact["group"] != "cost":
            continue
        if "error" in fact:
            table.add_row(fact["name"], fact["error"])
            continue
        spread = max(fact["ns"]) / min(fact["ns"]) - 1
        table.add_row(
            fact["name"],
            f"{instructions(fact):.0f}",
            f"{more[fact['name']]:.0f}",
            f"{more[fact['name']] / more[FLOOR]:.2f}",
            f"{spread:.2%}",
        )
    return table


def off(facts: Facts) -> list[str]:
    """Return which ratios to the floor are off by more than a quarter."""
    more = added(facts)
    found = {name: more[name] / more[FLOOR] if name in more else 0 for name in EXPECTED}
    return [
        f"{name}: {found[name]:.2f} times the floor, and it was {expected}"
        for name, expected in EXPECTED.items()
        if abs(found[name] / expected - 1) > _TOLERANCE
    ]


def plot(facts: Facts, directory: Path) -> None:
    """Write what each contender adds as a bar chart, in PNG and SVG."""
    from matplotlib import pyplot  # noqa: PLC0415 - slow to import, and not always wanted

    more = added(facts)
    names = [name for name in more if name != NOTHING and not _INJECTS.search(name)][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 0.36 * len(names) + 1), layout="constrained")
    colours = ["#1b6ca8" if name.startswith("core") else "#9aa5b1" for name in names]
    bars = axes.barh(names, [more[name] for name in names], color=colours)
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8)
    axes.axvline(more[FLOOR], color="#444444", linewidth=0.8, linestyle=":")
    axes.set_xlabel("instructions added to pipe(2) and two close(2); dotted: the floor")
    axes.spines[["top", "right"]].set_visible(False)
    for kind in ("png", "svg"):
        figure.savefig(directory / f"cost.{kind}", dpi=140, metadata=_UNDATED[kind])
    pyplot.close(figure)


_UNDATED: Mapping[str, Mapping[str, Any]] = {"png": {}, "svg": {"Date": None}}


def _of(fact: Mapping[str, Any], group: str) -> bool:
    return fact["group"] == group and "error" not in fact


def _or_error(fact: Mapping[str, Any]) -> str:
    return str(fact["error"]) if "error" in fact else f"{instructions(fact):.0f}"
