"""What was measured -> a table, the targets with what became of them, and a plot."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.scale.contenders import CONTENDERS, FLOOR, FLOOR_WITH_LOGS, OURS

Facts = Sequence[Mapping[str, Any]]

MOST_OF_THE_FLOOR = 1.3
MOST_CALLS = 3.0
MOST_BYTES_OF_A_POD = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One that was set, and what was measured against it.

    :param limit: the most that it may be.
    """

    what: str
    limit: float
    measured: float

    @property
    def met(self) -> bool:
        return self.measured <= self.limit

    def __str__(self) -> str:
        return f"{self.what}: {self.measured:.2f}, and {self.limit:g} is the most"


def sizes(facts: Facts) -> list[int]:
    """Return the numbers of nodes that were measured."""
    return sorted({fact["nodes"] for fact in facts})


def seconds(facts: Facts, contender: str, nodes: int, step: str) -> float:
    """Return how long a step took: the least of the runs, as the rest of it is the machine's."""
    return min(float(fact["seconds"][step]) for fact in _of(facts, contender, nodes))


def calls_of_a_node(facts: Facts, contender: str, nodes: int) -> float:
    """Return how many requests there were for each node, those for all of them included.

    The most of the runs.
    """
    most = max(sum(fact["calls"].values()) for fact in _of(facts, contender, nodes))
    return float(most) / nodes


def peak(facts: Facts, contender: str, nodes: int) -> int:
    """Return the most memory that the process had resident: the most of the runs."""
    return max(int(fact["peak_bytes"]["stopped"]) for fact in _of(facts, contender, nodes))


def bytes_of_a_pod(facts: Facts, contender: str, nodes: int) -> float | None:
    """Return what each further pod adds to the peak; None for the fewest nodes.

    What the process needs in any case is in both peaks, and drops out.
    """
    least = sizes(facts)[0]
    if nodes == least:
        return None
    pods: dict[int, int] = {fact["nodes"]: fact["pods"] for fact in facts}
    more = peak(facts, contender, nodes) - peak(facts, contender, least)
    return more / (pods[nodes] - pods[least])


def targets(facts: Facts) -> Iterator[Target]:
    """Yield each target for each number of nodes."""
    for nodes in sizes(facts):
        for floor in (FLOOR, FLOOR_WITH_LOGS):
            if not _of(facts, floor, nodes):
                continue
            ratio = seconds(facts, OURS, nodes, "start") / seconds(facts, floor, nodes, "start")
            what = f"start to armed at {nodes} nodes, times the {floor}"
            yield Target(what, MOST_OF_THE_FLOOR, ratio)
        what = f"API calls for each of {nodes} nodes"
        yield Target(what, MOST_CALLS, calls_of_a_node(facts, OURS, nodes))
        if (more := bytes_of_a_pod(facts, OURS, nodes)) is not None:
            what = f"bytes that a pod adds up to {nodes} nodes"
            yield Target(what, MOST_BYTES_OF_A_POD, more)


def tables(facts: Facts) -> Iterator[Table]:
    """Yield what was measured, and the targets."""
    table = Table(
        *("nodes", "pods", "", "start to armed", "stop", "calls a node", "peak memory", "a pod"),
        title="faults on a cluster",
    )
    for nodes in sizes(facts):
        for contender in CONTENDERS:
            if not (found := _of(facts, contender, nodes)):
                continue
            more = bytes_of_a_pod(facts, contender, nodes)
            table.add_row(
                *(str(nodes), str(found[0]["pods"]), contender),
                f"{seconds(facts, contender, nodes, 'start'):.2f} s",
                f"{seconds(facts, contender, nodes, 'stop'):.2f} s",
                f"{calls_of_a_node(facts, contender, nodes):.2f}",
                f"{peak(facts, contender, nodes) / 1e6:.1f} MB",
                "" if more is None else f"{more / 1e3:.1f} kB",
            )
    yield table
    against = Table("target", "at most", "measured", "")
    for target in targets(facts):
        verdict = "met" if target.met else "missed"
        against.add_row(target.what, f"{target.limit:g}", f"{target.measured:.2f}", verdict)
    yield against


def plot(facts: Facts, directory: Path) -> None:
    """Write time and memory over the number of nodes, in PNG and SVG."""
    from matplotlib import pyplot  # noqa: PLC0415 - slow to import, and not always wanted

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    nodes = sizes(facts)
    for contender, style in _STYLES.items():
        for place, step in zip(axes, ("start", "stop"), strict=False):
            values = [seconds(facts, contender, each, step) for each in nodes]
            place.plot(nodes, values, label=contender, **style)
        memory = [peak(facts, contender, each) / 1e6 for each in nodes]
        axes[2].plot(nodes, memory, label=contender, **style)
    for place, title in zip(axes, ("start to armed, s", "stop, s", "peak memory, MB"), strict=True):
        place.set_title(title, fontsize=10)
        place.set_xlabel("nodes, 10 pods each")
        place.set_ylim(bottom=0)
        place.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(directory / "scale.svg", metadata={"Date": None})
    pyplot.close(figure)


_STYLES: Mapping[str, Mapping[str, Any]] = {
    FLOOR: {"color": "#9aa5b1", "marker": "o", "linestyle": ":"},
    FLOOR_WITH_LOGS: {"color": "#9aa5b1", "marker": "o"},
    OURS: {"color": "#1b6ca8", "marker": "o"},
}


def _of(facts: Facts, contender: str, nodes: int) -> Facts:
    return [fact for fact in facts if (fact["contender"], fact["nodes"]) == (contender, nodes)]
