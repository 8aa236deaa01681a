"""Small pictures for a terminal: injections over time, and the stacks that were failed most."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text
from rich.tree import Tree

from chaoskernel.report import stacks
from chaoskernel.report.model import Stack
from chaoskernel.report.reading import count, items, number, objects, text
from chaoskernel.terminal import shown

MARKS = "▁▂▃▄▅▆▇█"
_LETTERS = "_.:-=+*#"
"""Where the terminal's encoding has no blocks."""

_LEAST, _MOST = 8, 60
_STACKS = 3

Document = Mapping[str, Any]


class Sparkline:
    """Injections a second over a fault's time, as wide as there is room.

    :param points: seconds, and how many calls had failed by then.
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._points = points

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        marks = _LETTERS if options.ascii_only else MARKS
        width = max(_LEAST, min(_MOST, options.max_width))
        yield Text(drawn(rates(self._points, width), marks), no_wrap=True, overflow="crop")
        seconds = self._points[-1][0] - self._points[0][0]
        highest = max(rates(self._points, width))
        yield Text(f"up to {highest:.1f} a second, over {seconds:.0f} s")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(_LEAST, options.max_width), min(_MOST, options.max_width))


def sparkline(series: object) -> Sparkline | None:
    """Return the picture of a record's `series`; None where nothing was hit."""
    found = items(series.get("points")) if isinstance(series, Mapping) else []
    points = [
        (number(point[0]), number(point[-1]))
        for point in found
        if isinstance(point, list) and len(point) > 1
    ]
    points.sort()
    has_hits = len(points) > 1 and points[-1][1] > 0 and points[-1][0] > points[0][0]
    return Sparkline(points) if has_hits else None


def rates(points: Sequence[tuple[float, float]], columns: int) -> list[float]:
    """Return the injections a second of each of so many equal parts of the time."""
    begin, end = points[0][0], points[-1][0]
    step = (end - begin) / columns
    totals = [_total(points, begin + step * column) for column in range(columns + 1)]
    return [max(0.0, later - sooner) / step for sooner, later in itertools.pairwise(totals)]


def drawn(values: Sequence[float], marks: str) -> str:
    """Return a mark for each value; the lowest is for nothing alone."""
    highest = max(values) or 1.0
    top = len(marks) - 1
    return "".join(marks[max(bool(value), round(value / highest * top))] for value in values)


def stack_tree(found: object) -> Tree | None:
    """Return the first stacks of a record's `stacks` as a tree; None where there are none."""
    best = [
        Stack(tuple(text(name, 200) for name in reversed(items(each.get("stack")))), many)
        for each in itertools.islice(objects(found), _STACKS)
        if (many := count(each.get("count")))
    ]
    if not best:
        return None
    tree = Tree("", hide_root=True)
    _grow(tree, stacks.tree(best).short_below())
    return tree


def _grow(tree: Tree, node: stacks.Node) -> None:
    for child in node.children:
        label = f"({child.count}) {' → '.join(child.names)}"
        _grow(tree.add(Text(shown(label))), child)


def _total(points: Sequence[tuple[float, float]], at: float) -> float:
    """Return how many calls had failed by a moment, on the line between two points."""
    after = bisect.bisect_left(points, (at, -1.0))
    if after <= 0:
        return points[0][1]
    if after >= len(points):
        return points[-1][1]
    (t0, n0), (t1, n1) = points[after - 1], points[after]
    return n0 + (n1 - n0) * (at - t0) / (t1 - t0) if t1 > t0 else n1
