"""What the log of a node is told, and that the log of a day stays below a kubelet's limit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from chaoskernel.agent import protocol
from chaoskernel.agent.reports import ALIVE_SECONDS, MOST_HIT, Points, Reports
from chaoskernel.moment import iso

HOUR = 3600
CONTAINER_LOG_MAX_SIZE = 10 << 20


def counters(
    second: int, processes: int, pods: int = 1, frames: int = 2, **more: Any
) -> dict[str, Any]:
    """Return counters that are others each second."""
    return {
        **{f"held_by_reason_{number}": 10**9 + second for number in range(16)},
        "frames": [
            {"symbol": f"function_{n}", "entered": 10**9 + second, "matched": second}
            for n in range(frames)
        ],
        "processes": [
            {"pid": 4_000_000 - n, "command": "fifteen-letters", "injected": second + n}
            for n in range(processes)
        ],
        "pods": [
            {"pod": f"a-name-space/statefulset-{n}", "injected": second + n, **more}
            for n in range(pods)
        ],
    }


def said_in(seconds: int, *, changing: bool = True, **size: Any) -> list[tuple[int, Any]]:
    reports, base = Reports(), counters(0, **size)
    said = []
    for second in range(seconds):
        now = {**base, "reached": 10**9 + second} if changing else base
        message = reports.due(now, 1e6 + second)
        if message is not None:
            said.append((second, message))
    return said


SIZES: dict[str, dict[str, Any]] = {
    "nothing is hit": {"processes": 0},
    "one process": {"processes": 1},
    "as many as there can be": {"processes": 4096},
    "a full node": {"processes": 4096, "pods": 250, "frames": 16},
    "a rehearsal": {"processes": 0, "pods": 250, "control_groups": ["/kubepods" + "x" * 200] * 9},
}
LARGE = ("as many as there can be", "one process")


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(size, id=name, marks=pytest.mark.slow if name in LARGE else ())
        for name, size in SIZES.items()
    ],
)
def test_the_log_of_a_day_stays_below_what_a_kubelet_rotates(size: dict[str, Any]) -> None:
    hours = 24 if size["processes"] == 1 else 4
    said = said_in(hours * HOUR, **size)
    written = sum(len(protocol.encode(message)) for _, message in said)
    at_once = 2 << 20
    assert written <= at_once + (CONTAINER_LOG_MAX_SIZE - at_once) * hours / 24
    silences = [later - sooner for (sooner, _), (later, _) in itertools.pairwise(said)]
    assert max(silences) <= ALIVE_SECONDS
    for _, message in said[:3]:
        assert protocol.checked(message)


@pytest.mark.parametrize("processes", [0, 20, 4096])
def test_a_fault_of_ten_minutes_is_reported_each_second(processes: int) -> None:
    said = said_in(600, processes=processes)
    assert [message["type"] for _, message in said] == ["counters"] * 600


def test_what_has_not_changed_is_not_said_again() -> None:
    said = said_in(60, changing=False, processes=20)
    assert [(second, message["type"]) for second, message in said] == [
        (0, "counters"),
        *((second, "alive") for second in range(10, 60, 10)),
    ]


def test_a_change_that_had_no_room_is_reported_later() -> None:
    reports = Reports()
    now = 1e6
    while (message := reports.due(counters(int(now), 0), now)) and message["type"] == "counters":
        now += 0.001
    last = counters(1, 0)
    for second in range(60):
        message = reports.due(last, now + second)
        if message and message["type"] == "counters":
            assert message["counters"] == last
            return
    pytest.fail("the last counters were not reported")


def test_a_report_names_those_that_were_hit_most_and_counts_the_others() -> None:
    message = Reports().due(counters(5, 100), 1e6)
    assert message is not None
    told = message["counters"]
    assert [hit["injected"] for hit in told["processes"]] == list(range(104, 104 - MOST_HIT, -1))
    assert told["processes_left_out"] == 100 - MOST_HIT


def test_a_point_says_until_when_nothing_had_changed() -> None:
    clock = iter(range(1000, 2000))
    points = Points(lambda: float(next(clock)))
    said = [points.due({"reached": reached, "provoked": 1}, 0) for reached in (0, 0, 5, 5, 5, 6)]
    assert [bool(each) for each in said] == [False, False, True, False, False, True]
    changed = said[-1]
    assert changed is not None
    assert (changed["since"], changed["at"]) == (iso(1005), iso(1006))
    assert changed["counters"] == {"reached": 6, "matched": 0, "injected": 0, "held_dry_run": 0}


def test_a_report_says_until_when_nothing_had_changed() -> None:
    clock = iter(range(1000, 2000))
    reports = Reports(lambda: float(next(clock)))
    said = [reports.due({"reached": reached}, 1e6 + n) for n, reached in enumerate((1, 1, 1, 2))]
    last = said[-1]
    assert last is not None
    assert (last["since"], last["at"]) == (iso(1003), iso(1004))


def test_calls_near_the_faults_fill_no_log() -> None:
    reports, now = Reports(), counters(0, processes=0)
    assert reports.due({**now, "near": [{"call": "read", "count": 1}]}, 1e6)
    later = reports.due({**now, "near": [{"call": "read", "count": 9}]}, 1e6 + 1)
    assert later is None
