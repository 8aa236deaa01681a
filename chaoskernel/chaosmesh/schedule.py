"""Which ticks of a plan inject, and which are let go: pure, the clock is passed in.

A tick that nobody looked at in time, for the host slept, say, is counted and not replayed.
(Chaos Mesh starts the latest of those, however late, unless `startingDeadlineSeconds` is set.)
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Sequence
from typing import TypeVar

from chaoskernel.chaosmesh.manifest import Concurrency, Plan

GRACE_SECONDS = 10.0
"""How late a tick may be acted on where the plan does not say."""

_MAX_COUNTED = 10_000
"""Ticks of one sleep; a plan that ticks each second and sleeps for a week misses more."""

_Run = TypeVar("_Run")


@dataclasses.dataclass(frozen=True, slots=True)
class ScheduleState:
    """What has become of a plan's ticks.

    :param until: ticks up to here have been dealt with.
    :param started: began a run.
    :param missed: were looked at too late.
    :param forbidden: came while another run lasted.
    """

    until: datetime.datetime
    started: int = 0
    missed: int = 0
    forbidden: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What to do now.

    :param state: with everything up to now.
    :param starts: a run begins now.
    :param next: when to look again.
    """

    state: ScheduleState
    starts: bool
    next: datetime.datetime


def decide(plan: Plan, state: ScheduleState, now: datetime.datetime, *, busy: bool) -> Decision:
    """Return what to do about the ticks that have come since the last look.

    :param busy: a run of this plan lasts still.
    """
    since = state.until
    if now < since - datetime.timedelta(seconds=GRACE_SECONDS):
        since = now  # the clock was set back: the plan follows it
    ticks = plan.cron.ticks(since)
    due = list(itertools.islice(itertools.takewhile(lambda tick: tick <= now, ticks), _MAX_COUNTED))
    if not due:
        return Decision(
            dataclasses.replace(state, until=since), False, next(plan.cron.ticks(since))
        )
    allowed = GRACE_SECONDS if plan.deadline is None else plan.deadline
    in_time = (now - due[-1]).total_seconds() <= allowed
    forbidden = in_time and busy and plan.concurrency is Concurrency.FORBID
    starts = in_time and not forbidden
    until = due[-1] if len(due) < _MAX_COUNTED else now
    state = ScheduleState(
        until=until,
        started=state.started + starts,
        missed=state.missed + len(due) - in_time,
        forbidden=state.forbidden + forbidden,
    )
    return Decision(state, starts, next(plan.cron.ticks(until)))


def remembered(runs: Sequence[_Run], plan: Plan) -> Sequence[_Run]:
    """Return those of the runs that are over that are to be remembered, the oldest first."""
    return runs[-plan.history :]
