"""Ticks inject, are forbidden, or are missed and counted; the clock is the test's."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import pytest

from chaoskernel.chaosmesh.cron import cron
from chaoskernel.chaosmesh.manifest import Concurrency, Plan
from chaoskernel.chaosmesh.schedule import ScheduleState, decide, remembered

START = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
TEN_MINUTES = Plan(cron("@every 10m"))


def at(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def played(
    plan: Plan, looks: Iterable[float], lasts: float = 0.0
) -> tuple[list[float], ScheduleState, list[float]]:
    """Look at a plan at these seconds; return when runs started, the books, and when to look.

    :param lasts: how long each run lasts, in seconds.
    """
    state = ScheduleState(START)
    starts: list[float] = []
    nexts: list[float] = []
    for seconds in looks:
        busy = bool(starts) and starts[-1] <= seconds < starts[-1] + lasts
        decision = decide(plan, state, at(seconds), busy=busy)
        state = decision.state
        nexts.append((decision.next - START).total_seconds())
        if decision.starts:
            starts.append(seconds)
    return starts, state, nexts


def test_each_tick_starts_a_run_and_nothing_does_between() -> None:
    starts, state, nexts = played(TEN_MINUTES, [0, 599.9, 600, 600.1, 1200.5, 1800])
    assert starts == [600, 1200.5, 1800]
    assert (state.started, state.missed, state.forbidden) == (3, 0, 0)
    assert nexts == [600, 600, 1200, 1200, 1800, 2400]


def test_a_run_that_starts_late_does_not_move_the_ticks_after_it() -> None:
    assert played(TEN_MINUTES, [607.5])[2] == [1200]


def test_ticks_that_were_slept_through_are_counted_and_not_replayed() -> None:
    starts, state, nexts = played(TEN_MINUTES, [600, 600 + 35 * 60, 4 * 600 + 600])
    assert starts == [600, 3000]
    assert (state.started, state.missed) == (2, 3)
    assert nexts[1] == 3000


def test_of_ticks_that_were_slept_through_the_last_may_be_just_in_time() -> None:
    starts, state, _ = played(TEN_MINUTES, [3 * 600 + 9])
    assert (starts, state.missed) == ([1809], 2)


@pytest.mark.parametrize(
    ("deadline", "late", "starts"),
    [(None, 10, 1), (None, 11, 0), (60.0, 60, 1), (60.0, 61, 0), (0.0, 0, 1), (0.0, 0.1, 0)],
)
def test_a_tick_may_be_acted_on_until_its_deadline(
    deadline: float | None, late: float, starts: int
) -> None:
    plan = Plan(cron("@every 10m"), deadline=deadline)
    _, state, _ = played(plan, [600 + late])
    assert (state.started, state.missed) == (starts, 1 - starts)


@pytest.mark.parametrize(
    ("concurrency", "started", "forbidden"),
    [(Concurrency.FORBID, 2, 2), (Concurrency.ALLOW, 4, 0)],
)
def test_a_tick_while_a_run_lasts(concurrency: Concurrency, started: int, forbidden: int) -> None:
    plan = Plan(cron("@every 10m"), concurrency)
    _, state, _ = played(plan, [600, 1200, 1800, 2400], lasts=1201)
    assert (state.started, state.forbidden) == (started, forbidden)


def test_a_tick_that_is_missed_while_a_run_lasts_is_counted_once() -> None:
    _, state, _ = played(TEN_MINUTES, [600, 1211], lasts=1000)
    assert (state.started, state.missed, state.forbidden) == (1, 1, 0)


def test_a_clock_that_is_set_back_is_followed() -> None:
    starts, _, nexts = played(TEN_MINUTES, [600, -3600, -3000])
    assert (starts, nexts) == ([600, -3000], [1200, -3000, -2400])


def test_a_clock_that_is_set_back_a_little_starts_nothing_twice() -> None:
    assert played(TEN_MINUTES, [600, 599.5, 600])[0] == [600]


def test_a_sleep_of_many_ticks_is_over_soon() -> None:
    _, state, nexts = played(Plan(cron("@every 1s")), [100 * 24 * 3600])
    assert (state.started, state.missed) == (0, 10_000)
    assert nexts == [100 * 24 * 3600 + 1]


def test_the_latest_runs_are_remembered() -> None:
    assert remembered([1, 2, 3, 4], Plan(cron("@daily"), history=3)) == [2, 3, 4]
    assert remembered([1, 2], Plan(cron("@daily"), history=3)) == [1, 2]
