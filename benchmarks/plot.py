"""Facts of the machine -> plots, in PNG and SVG."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib import pyplot
from matplotlib.figure import Figure

from benchmarks.report import FLOOR, NOTHING, Facts, added, instructions, of

_OURS, _PEERS = "#1b6ca8", "#9aa5b1"
_OTHER_SCALE = re.compile("injecting|dry run|stack|recording")
"""What an injection or a walk of the stack costs, and a pipe(2) that fails is another job."""

_ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}


def write(facts: Facts, directory: Path) -> None:
    """Write a plot of each group that was measured."""
    pyplot.rcParams["svg.hashsalt"] = "chaoskernel"  # so that equal plots are equal files
    pyplot.rcParams["font.size"] = 9
    if added(facts):
        _save(_cost(facts), directory / "cost")
    if of(facts, "start"):
        _save(_start(facts), directory / "start")
    if of(facts, "faults, out of scope"):
        _save(_growth(facts), directory / "growth")


def _save(figure: Figure, place: Path) -> None:
    figure.savefig(place.with_suffix(".svg"), metadata={"Date": None})
    pyplot.close(figure)


def _cost(facts: Facts) -> Figure:
    """Draw what each contender adds."""
    more = added(facts)
    names = [name for name in more if name != NOTHING and not _OTHER_SCALE.search(name)][::-1]
    figure, axes = pyplot.subplots(figsize=(9, 0.3 * len(names) + 1), layout="constrained")
    bars = axes.barh(names, [more[name] for name in names], color=[*map(_colour, names)])
    axes.bar_label(bars, fmt="%.0f", padding=3, fontsize=8, bbox=_ON_WHITE)
    axes.axvline(more[FLOOR], color="#444444", linewidth=0.8, linestyle=":")
    axes.set_xlabel("instructions added to pipe(2) and two close(2); dotted: the floor")
    axes.margins(x=0.08, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _start(facts: Facts) -> Figure:
    """Draw the time until a fault is armed, and the memory that it takes."""
    started = [fact for fact in of(facts, "start") if "error" not in fact][::-1]
    names = [fact["name"] for fact in started]
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(9, 0.3 * len(names) + 1.2), layout="constrained", sharey=True
    )
    seconds = [min(fact["seconds"]) for fact in started]
    memory = [fact["memory"] / 1e6 for fact in started]
    for axes, values, label, shown in (
        (left, seconds, "seconds of the machine until armed", "%.2f"),
        (right, memory, "peak memory, MB", "%.0f"),
    ):
        bars = axes.barh(names, values, color=[*map(_colour, names)])
        axes.bar_label(bars, fmt=shown, padding=3, fontsize=8)
        axes.set_xlabel(label)
        axes.margins(x=0.14)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _growth(facts: Facts) -> Figure:
    """Draw how cost grows with the number of faults, and of control groups."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for group, label, colour in (
        ("faults, out of scope", "fmod_ret", _OURS),
        ("faults by kprobe, out of scope", "kprobe", _PEERS),
    ):
        known = [fact for fact in of(facts, group) if "error" not in fact]
        numbers = [int(fact["name"]) for fact in known]
        left.plot(numbers, [*map(instructions, known)], marker="o", color=colour, label=label)
    left.set_xlabel("faults that the job is out of scope of")
    left.set_ylabel("instructions an iteration")
    left.legend(frameon=False)
    known = of(facts, "control groups, out of scope")
    right.plot(
        [int(fact["name"]) for fact in known], [*map(instructions, known)], marker="o", color=_OURS
    )
    right.set_xscale("log")
    right.set_xlabel("control groups in the scope of one fault")
    for axes in (left, right):
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _colour(name: str) -> str:
    return _OURS if name.startswith("core") or name == "bcc" else _PEERS
