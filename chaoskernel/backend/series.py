"""A fault's counters over time: bounded in size, however long it lasts and wherever it is.

Counters only grow, so that leaving a point out loses nothing but the moment between its
neighbours.
"""

from __future__ import annotations

import datetime
import heapq
from collections.abc import Iterable, Mapping
from typing import Any

from chaoskernel.agent.reports import KEPT
from chaoskernel.fault.checks import is_int
from chaoskernel.moment import iso

MOST = 600
"""How many points there are of a fault; of a shorter one there is one a second."""

MOST_OF_A_PART = 60
"""How many there are of a pod or a node."""

MOST_PARTS = 16
"""How many pods and nodes are kept, those that were hit most."""

COLUMNS = ("seconds", "reached", "matched", "injected")
"""What a point has; in a dry run `injected` is what would have been."""

Values = tuple[int, ...]
Point = tuple[float, Values]


class Thinned:
    """Points of which the first and the latest are always there.

    :param most: how many points to keep at most; when there are more, their distance doubles.
    """

    def __init__(self, begin: float, zero: Values, most: int) -> None:
        self.points: list[Point] = [(begin, zero)]
        self._most = most
        self._distance = 1.0

    def add(self, at: float, values: Values) -> None:
        """Take in the values of a moment; none is earlier or smaller than those before it.

        :param at: seconds.
        """
        last_at, last = self.points[-1]
        point = max(at, last_at), tuple(map(max, values, last))
        # The last one is kept for good once the next is far enough from the one before it.
        if len(self.points) > 1 and point[0] - self.points[-2][0] < self._distance:
            self.points[-1] = point
        else:
            self.points.append(point)
        while len(self.points) > self._most:
            self._distance *= 2
            self.points = self._farther_apart()

    def _farther_apart(self) -> list[Point]:
        first, *others, last = self.points
        kept = [first]
        for point in others:
            if point[0] - kept[-1][0] >= self._distance:
                kept.append(point)
        return [*kept, last]


class Series:
    """The counters of one fault over time, from all its agents; the caller guards it."""

    def __init__(self) -> None:
        self._total: Thinned | None = None
        self._latest: dict[str, Values] = {}
        self._nodes: dict[str, Thinned] = {}
        self._pods: dict[tuple[str, str], Thinned] = {}

    def begin(self, armed: Mapping[str, Any], node: str = "") -> None:
        """Note when a fault came into force.

        :param armed: the `armed` message of an agent.
        :param node: where it is; empty on this host.
        """
        at = _seconds(armed.get("armed_at"))
        if at is None or node in self._latest:
            return
        self._latest[node] = _ZERO
        if self._total is None:
            self._total = Thinned(at, _ZERO, MOST)
        if node:
            self._nodes[node] = Thinned(at, (0,), MOST_OF_A_PART)

    def take(self, message: Mapping[str, Any], node: str = "") -> None:
        """Take in a message with counters; one without a moment is of no use here.

        :param message: `point`, `counters` or `disarmed`; its `since` is the latest moment at
            which the counters were still those of the message before it.
        """
        at = _seconds(message.get("at", message.get("ended_at")))
        before, counters = self._latest.get(node), message.get("counters", {})
        if at is None or before is None or self._total is None:
            return
        now = tuple(map(max, _values(counters), before))
        total = self._total.points[-1][1]
        grown = tuple(t + n - b for t, n, b in zip(total, now, before, strict=True))
        since = _seconds(message.get("since"))
        _add(self._total, since, at, grown)
        self._latest[node] = now
        if node:
            _add(self._nodes[node], since, at, now[-1:])
        for pod in counters.get("pods", ()):
            key = str(pod["pod"]), node
            if key not in self._pods:
                begin = self._nodes[node] if node else self._total
                self._pods[key] = Thinned(begin.points[0][0], (0,), MOST_OF_A_PART)
            _add(self._pods[key], since, at, (int(pod["injected"]),))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types: `from`, `columns`, `points`, and `nodes` and `pods` if any.

        Seconds count from `from`.  Points of nodes and pods are seconds and injections.
        """
        if self._total is None:
            return {}
        begin = self._total.points[0][0]
        nodes = [({"node": name}, each) for name, each in self._nodes.items()]
        pods = [
            ({"pod": pod, **({"node": node} if node else {})}, each)
            for (pod, node), each in self._pods.items()
        ]
        return {
            "from": iso(begin),
            "columns": list(COLUMNS),
            "points": _rows(self._total, begin),
            **({"nodes": _parts(nodes, begin)} if nodes else {}),
            **({"pods": _parts(pods, begin)} if pods else {}),
        }


_ZERO: Values = (0,) * (len(COLUMNS) - 1)


def _add(series: Thinned, since: float | None, at: float, values: Values) -> None:
    """Add values that came about between two moments; until the first nothing changed."""
    last_at, last = series.points[-1]
    if since is not None and last_at < since < at:
        series.add(since, last)
    series.add(at, values)


def _values(counters: Mapping[str, Any]) -> Values:
    reached, matched, *hit = (_count(counters.get(name)) for name in KEPT)
    return reached, matched, sum(hit)


def _count(value: object) -> int:
    return int(value) if is_int(value) else 0  # type: ignore[call-overload]


def _parts(named: Iterable[tuple[dict[str, str], Thinned]], begin: float) -> list[dict[str, Any]]:
    hit = heapq.nlargest(MOST_PARTS, named, key=lambda part: part[1].points[-1][1])
    return [{**name, "points": _rows(each, begin)} for name, each in hit]


def _rows(series: Thinned, begin: float) -> list[list[float]]:
    return [[round(max(0.0, at - begin), 1), *values] for at, values in series.points]


def _seconds(moment: object) -> float | None:
    """Return seconds since the epoch of an ISO 8601 time; None where it is not one."""
    if not isinstance(moment, str):
        return None
    try:
        return datetime.datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError):
        return None
