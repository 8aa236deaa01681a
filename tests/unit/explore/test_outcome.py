"""Which outcome a run has."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.explore.observation import Baseline, Ending, Observation
from chaoskernel.explore.outcome import FINE, Outcome, differences, judge, severity
from tests.unit.explore.samples import BASELINE, WELL

SEEN = st.builds(
    Observation,
    ending=st.builds(
        Ending,
        status=st.sampled_from([0, 1, None]),
        signal=st.sampled_from(["", "SIGSEGV"]),
        hung=st.booleans(),
        seconds=st.floats(0, 9),
        not_started=st.sampled_from([0, 12]),
    ),
    output=st.sampled_from(["same", "other"]),
    ready=st.none() | st.booleans(),
    workload=st.sampled_from([None, 0, 1]),
    steady=st.none() | st.booleans(),
    intact=st.none() | st.booleans(),
    failed=st.sampled_from([(), (0,), (1,), (3, 0), (1, 1)]),
    kernel=st.sampled_from([(), ("BUG: x",)]),
    log=st.sampled_from([(), ("x[1]: segfault at 0",)]),
    descriptors=st.none() | st.integers(0, 9),
    memory=st.integers(0, 1 << 30),
    lost=st.booleans(),
)


def changed(**facts: Any) -> Observation:
    return dataclasses.replace(WELL, **facts)


@pytest.mark.parametrize(
    ("seen", "outcome", "detail"),
    [
        (WELL, Outcome.SURVIVED, ""),
        (changed(failed=(0,)), Outcome.NOT_REACHED, ""),
        (changed(failed=(1, 0)), Outcome.NOT_REACHED, "site 2 of 2 was not reached"),
        (changed(ending=Ending(status=3)), Outcome.REPORTED, "exit status 3"),
        (changed(output="other"), Outcome.REPORTED, "another output"),
        (changed(workload=1), Outcome.REPORTED, "the workload exits with status 1"),
        (changed(ready=False), Outcome.REPORTED, "never ready"),
        (changed(ending=Ending(signal="SIGSEGV")), Outcome.CRASHED, "killed by SIGSEGV"),
        (changed(log=("db[9]: segfault at 0",)), Outcome.CRASHED, "db[9]: segfault at 0"),
        (changed(ending=Ending(hung=True, seconds=5)), Outcome.HUNG, "ended after 5.0 s"),
        (changed(steady=False), Outcome.DEGRADED, "the check does not hold"),
        (
            changed(steady=False, steady_again=False),
            Outcome.DEGRADED,
            "the check does not hold, not even after a restart",
        ),
        (
            changed(intact=False, ending=Ending(signal="SIGABRT")),
            Outcome.CORRUPTED,
            "the verification fails; killed by SIGABRT",
        ),
        (changed(kernel=("WARNING: x",), intact=False), Outcome.KERNEL, "WARNING: x"),
        (changed(lost=True), Outcome.KERNEL, "the guest was lost"),
    ],
)
def test_each_outcome_is_named_with_what_shows_it(
    seen: Observation, outcome: Outcome, detail: str
) -> None:
    verdict = judge(seen, BASELINE)
    assert (verdict.outcome, verdict.detail) == (outcome, detail)


@given(SEEN)
def test_survived_says_that_nothing_differs_from_the_baseline(seen: Observation) -> None:
    verdict = judge(seen, BASELINE)
    survived = verdict.outcome is Outcome.SURVIVED
    harmless = all(seen.failed) and seen.failed and not (seen.kernel or seen.log or seen.lost)
    assert survived == bool(harmless and not differences(seen, BASELINE))
    assert verdict.outcome is not Outcome.DAMAGED


@given(SEEN)
def test_what_failed_nowhere_is_never_held_against_the_program(seen: Observation) -> None:
    verdict = judge(dataclasses.replace(seen, failed=(0,)), BASELINE)
    assert verdict.outcome in (Outcome.NOT_REACHED, Outcome.KERNEL)


@given(SEEN)
def test_lost_data_is_worse_than_how_the_program_ended(seen: Observation) -> None:
    lost = dataclasses.replace(seen, intact=False)
    assert severity(judge(lost, BASELINE).outcome) >= severity(judge(seen, BASELINE).outcome)


@given(SEEN, SEEN)
def test_every_run_of_a_baseline_survives_it(one: Observation, other: Observation) -> None:
    quiet = [
        dataclasses.replace(
            each,
            ending=dataclasses.replace(each.ending, signal="", hung=False, not_started=0),
            ready=True,
            steady=True,
            intact=True,
            kernel=(),
            log=(),
            lost=False,
            failed=(1,),
        )
        for each in (one, other)
    ]
    baseline = Baseline(tuple(quiet))
    assert {judge(each, baseline).outcome for each in quiet} == {Outcome.SURVIVED}
    assert all(judge(each, baseline).leaks == () for each in quiet)


@given(SEEN)
def test_observations_survive_json(seen: Observation) -> None:
    assert Observation.from_json(seen.to_json()) == seen


def test_leaks_stand_beside_the_outcome() -> None:
    baseline = Baseline((changed(descriptors=4, memory=1 << 20),))
    verdict = judge(changed(descriptors=6, memory=40 << 20), baseline)
    assert verdict.outcome is Outcome.SURVIVED
    assert verdict.leaks == ("2 descriptors", "39 MB of memory")


def test_what_is_fine_is_not_worse_than_what_needs_a_look() -> None:
    assert max(map(severity, FINE)) < min(severity(each) for each in set(Outcome) - FINE)
