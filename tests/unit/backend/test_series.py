"""A fault's counters over time: what they show, and how large they get."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest

from chaoskernel.agent.protocol import checked
from chaoskernel.backend.series import MOST, MOST_OF_A_PART, MOST_PARTS, Series
from chaoskernel.moment import iso

BEGIN = 1_800_000_000.0
DAY = 24 * 3600


def armed(at: float = 0) -> dict[str, Any]:
    return {"type": "armed", "armed_at": iso(BEGIN + at)}


def point(at: float, injected: int, since: float | None = None, **more: Any) -> dict[str, Any]:
    counters = {"reached": 2 * injected, "matched": injected, "injected": injected, **more}
    message = {"type": "counters", "at": iso(BEGIN + at), "counters": counters}
    return checked(message if since is None else {**message, "since": iso(BEGIN + since)})


def series_of(*messages: dict[str, Any]) -> dict[str, Any]:
    series = Series()
    series.begin(armed())
    for message in messages:
        series.take(message)
    return series.to_json()


def test_a_short_fault_has_a_point_a_second() -> None:
    found = series_of(*(point(n, n * n) for n in range(1, 11)))
    assert found["from"] == iso(BEGIN)
    assert found["columns"] == ["seconds", "reached", "matched", "injected"]
    assert found["points"] == [[n, 2 * n * n, n * n, n * n] for n in range(11)]


def test_what_came_after_a_quiet_time_is_not_spread_over_it() -> None:
    found = series_of(point(5, 5), point(60, 100, since=59))
    assert [(at, injected) for at, _, _, injected in found["points"]] == [
        *((0, 0), (5, 5), (59, 5), (60, 100))
    ]


def test_the_end_is_the_last_point() -> None:
    end = {"type": "disarmed", "ended_at": iso(BEGIN + 30), "since": iso(BEGIN + 29.5)}
    found = series_of(point(5, 5), checked({**end, "counters": {"injected": 9}}))
    assert [(at, hit) for at, *_, hit in found["points"]] == [(0, 0), (5, 5), (29.5, 5), (30, 9)]


@pytest.mark.parametrize(
    "seconds", [599, 600, 601, 1500, pytest.param(DAY, marks=pytest.mark.slow)]
)
def test_a_long_fault_is_thinned_evenly(seconds: int) -> None:
    points = series_of(*(point(n, n) for n in range(1, seconds + 1)))["points"]
    assert MOST / 2 - 1 <= len(points) <= MOST
    assert points[0][0] == 0
    assert points[-1] == [seconds, 2 * seconds, seconds, seconds]
    apart = [b[0] - a[0] for a, b in itertools.pairwise(points)]
    assert max(apart) <= 2 * max(1.0, seconds / (MOST / 2))
    assert all(at == injected for at, _, _, injected in points)


def test_a_dry_run_shows_what_would_have_failed() -> None:
    found = series_of(point(1, 0, held_dry_run=4))
    assert found["points"][-1] == [1, 0, 0, 4]


def test_nodes_are_added_up_whatever_their_clocks_and_order() -> None:
    series, sums = Series(), {"a": 0, "b": 0}
    series.begin(armed(), "a")
    series.begin(armed(-3), "b")
    numbers = random.Random(1)
    for second in range(1, 200):
        node = numbers.choice("ab")
        sums[node] += numbers.randrange(9)
        series.take(point(second - (7 if node == "b" else 0), sums[node]), node)
    series.take(point(1, 1), "a")  # a log that is read again
    found = series.to_json()
    assert found["points"][-1][-1] == sum(sums.values())
    assert found["points"] == sorted(found["points"])
    assert {each["node"]: each["points"][-1][1] for each in found["nodes"]} == sums


def test_the_size_in_a_journal_is_bounded_on_any_number_of_nodes() -> None:
    series = Series()
    big = 2**40
    for node in range(100):
        series.begin(armed(), f"a-node-with-a-long-name-{node:04}")
    for second in range(1, 1300):
        node = second % 100
        pods = [{"pod": f"a-name-space/a-stateful-set-{node}-{n}", "injected": big} for n in "123"]
        name = f"a-node-with-a-long-name-{node:04}"
        series.take(point(second, big + second, pods=pods), name)
    found = series.to_json()
    assert len(found["points"]) <= MOST
    for parts in (found["nodes"], found["pods"]):
        assert len(parts) == MOST_PARTS
        assert all(len(each["points"]) <= MOST_OF_A_PART for each in parts)
    # As the toolkit writes its journal: a line for each number.
    assert len(json.dumps(found, indent=2)) < 150_000


@pytest.mark.parametrize("seconds", [10, 600, pytest.param(DAY, marks=pytest.mark.slow)])
def test_the_size_in_a_journal_is_bounded_on_this_host(seconds: int) -> None:
    found = series_of(*(point(n, n * 10_000) for n in range(1, seconds + 1)))
    assert len(json.dumps(found)) < 26_000
    assert len(json.dumps(found, indent=2)) < 50_000


def test_what_has_no_moment_or_no_beginning_is_left_out() -> None:
    series = Series()
    series.take(point(1, 1))
    assert series.to_json() == {}
    series.begin({"type": "armed"})
    assert series.to_json() == {}
    series.begin(armed())
    series.take({"type": "counters", "counters": {"injected": 3}, "id": 1})
    assert series.to_json()["points"] == [[0, 0, 0, 0]]


@pytest.mark.parametrize("reached", [[], {}, [1]])
def test_a_counter_of_another_version_counts_as_none(reached: Any) -> None:
    message = {"type": "counters", "at": iso(BEGIN), "counters": {"reached": reached}}
    assert series_of(checked(message))["points"][-1][1:] == [0, 0, 0]
