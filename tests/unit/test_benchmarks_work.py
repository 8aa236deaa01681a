"""What the benchmark says of programs in their work, of facts that it is given."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report, work
from benchmarks.guest.work import (
    ALL,
    NOTHING,
    OUT,
    SHORT,
    SHORT_JOB,
    TECHNIQUE,
    Work,
    contenders,
    group_of,
    steps,
)

FACTS = Path(__file__).resolve().parents[2] / "docs" / "figures" / "facts.json"


def measured(part: float) -> list[dict[str, Any]]:
    """Return facts of jobs that make so many operations, out of scope, as a part of nothing's."""
    return [
        {"group": group_of(job), "name": name, "ns": [ns, ns * 1.01]}
        for job in ALL
        for name, ns in ((NOTHING, 20_000.0), (OUT, 20_000 / part))
    ]


def short(changed: float) -> list[dict[str, Any]]:
    """Return facts of a short run whose ratios are so many times those that are expected."""
    parts = {NOTHING: 1.0, **{name: part * changed for name, part in work.EXPECTED.items()}}
    (job,) = (each for each in ALL if each.name == SHORT_JOB)
    return [
        {"group": group_of(job), "name": name, "ns": [20_000 / part]}
        for name, part in parts.items()
    ]


def test_operations_are_counted_by_a_million_instructions() -> None:
    rates = work.per_million(measured(0.5))
    assert rates[ALL[0].name] == {NOTHING: 100, OUT: 50}


def test_the_table_has_a_column_for_each_job() -> None:
    head, nothing, out = work.rows(measured(0.975))
    assert head == ("attached", *(job.name for job in ALL))
    assert nothing == (NOTHING, *["100 a million"] * len(ALL))
    assert out == (OUT, *["0.975"] * len(ALL))


def test_what_failed_leaves_its_cell_empty() -> None:
    facts = measured(0.975)
    facts[3] = {"group": group_of(ALL[1]), "name": OUT, "error": "no"}
    assert work.rows(facts)[2][1:3] == ("0.975", "")


@pytest.mark.parametrize(("part", "met"), [(0.981, "met"), (0.979, "missed")])
def test_out_of_scope_costs_a_fiftieth_at_most(part: float, met: str) -> None:
    assert {said for _, _, said in work.targets(measured(part))} == {met}


def test_a_ratio_that_is_off_by_more_than_a_tenth_is_named() -> None:
    assert work.off(short(1)) == work.off(short(1.09)) == []
    assert [said.split(": 0.8")[0] for said in work.off(short(0.89))] == [
        f"{SHORT_JOB}, {OUT}",
        f"{SHORT_JOB}, {TECHNIQUE}",
    ]


def test_a_job_that_was_not_measured_is_off() -> None:
    assert len(work.off([])) == len(work.EXPECTED)


def test_the_short_run_measures_what_is_expected_of_it() -> None:
    names = [(group, name) for group, name, _ in steps(1, short=True)]
    assert names == [(f"work: {SHORT_JOB}", name) for name in SHORT]
    assert set(work.EXPECTED) == {*SHORT} - {NOTHING}


def test_the_ratios_that_the_short_run_expects_are_those_of_the_document() -> None:
    found = work.ratios(json.loads(FACTS.read_text(encoding="utf-8")))
    for name, expected in work.EXPECTED.items():
        assert found[SHORT_JOB][name] == pytest.approx(expected, rel=0.02)


def test_all_contenders_of_all_jobs_are_in_the_document() -> None:
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    for job in ALL:
        names = [fact["name"] for fact in report.of(facts, group_of(job)) if "error" not in fact]
        assert names == [name for name, _ in contenders(job, 1)]


@pytest.mark.parametrize("job", ALL, ids=lambda job: job.name)
def test_the_words_of_a_job_are_a_shells(job: Work) -> None:
    subprocess.run(["/bin/sh", "-n", "-c", job.script], check=True)


def test_groups_that_were_measured_anew_take_the_place_of_the_old_ones() -> None:
    known = [{"group": "a", "ns": [1]}, {"group": "b", "ns": [2]}, {"group": "a", "ns": [3]}]
    new = [{"group": "b", "ns": [4]}, {"group": "c", "ns": [5]}]
    assert report.renewed(known, new) == [
        {"group": "a", "ns": [1]},
        {"group": "a", "ns": [3]},
        {"group": "b", "ns": [4]},
        {"group": "c", "ns": [5]},
    ]
