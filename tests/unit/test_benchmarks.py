"""What the benchmark says of the facts that it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import document, report
from benchmarks.guest.peers import bpftrace_program

DOCS = Path(__file__).resolve().parents[2] / "docs"


NOTHING, FLOOR = 20_000.0, 22_000.0
"""Nanoseconds of an iteration with nothing attached, and with a floor."""


def cost(name: str, *ns: float, group: str = "cost") -> dict[str, Any]:
    return {"group": group, "name": name, "ns": list(ns)}


def facts(**times: float) -> list[dict[str, Any]]:
    """What is measured when each ratio is so many times what is expected of it."""
    found = {}
    for ratio in report.EXPECTED:
        floor = ratio.floor or report.floor_of(ratio.name)
        added = (FLOOR - NOTHING) * ratio.times * times.get(ratio.name, 1)
        for name, ns in (report.NOTHING, NOTHING), (floor, FLOOR), (ratio.name, NOTHING + added):
            found[ratio.group, name] = cost(name, ns, ns + 10, group=ratio.group)
    return [*found.values()]


def test_added_cost_is_counted_in_instructions() -> None:
    assert report.added(facts())[report.FLOOR] == 1000
    ratio = report.EXPECTED[0]
    twice = report.added(facts(**{ratio.name: 2}))[ratio.name]
    assert twice == pytest.approx(2 * ratio.times * 1000)


def test_ratios_as_they_were_are_not_off() -> None:
    assert report.off(facts()) == []


@pytest.mark.parametrize("ratio", report.EXPECTED, ids=lambda ratio: ratio.name)
def test_a_ratio_that_is_off_by_more_than_it_may_be_is_named(ratio: report.Ratio) -> None:
    for sign in (1, -1):
        assert report.off(facts(**{ratio.name: 1 + sign * ratio.within * 0.9})) == []
        (said,) = report.off(facts(**{ratio.name: 1 + sign * ratio.within * 1.1}))
        assert said.startswith(f"{ratio.name}: ")


def test_a_chain_is_compared_with_the_floor_of_as_many_frames() -> None:
    assert report.floor_of("8 frame(s): core, in scope") == "8 frame(s): floor"
    assert report.floor_of("8 frame(s): floor") == "8 frame(s): floor"
    assert report.floor_of("core, in scope, 8 frame(s) that do not match") == report.FLOOR


def test_a_contender_that_failed_is_off_and_told() -> None:
    broken = facts()
    (number,) = (n for n, fact in enumerate(broken) if fact["name"] == "core, out of scope")
    broken[number] = {"group": "cost", "name": "core, out of scope", "error": "no"}
    assert len(report.off(broken)) == 1
    tables = list(report.tables(broken))
    assert sum(table.row_count for table in tables) == len(broken)


def test_what_several_boots_have_measured_is_one_fact() -> None:
    started = {"group": "start", "name": "core", "memory": 5}
    boots = [cost("a", 10, 12), {**started, "seconds": [2.0]}]
    boots += [cost("a", 10, 12), {**started, "seconds": [2.1], "memory": 6}]
    first, second = report.merged(boots)
    assert first["ns"] == [10, 12, 10, 12]
    assert (second["seconds"], second["memory"]) == ([2.0, 2.1], 6)
    assert report.spread(first) == pytest.approx(0.2)
    assert report.spread(second) == pytest.approx(0.05)


def test_an_error_of_any_boot_is_shown() -> None:
    broken = {"group": "cost", "name": "a", "error": "it ended"}
    (fact,) = report.merged([cost("a", 10), broken])
    (_, row) = report.rows([fact], "cost")
    assert row == ("a", "it ended", "", "")


def test_the_document_says_what_the_facts_say() -> None:
    """`make bench` writes both."""
    facts = json.loads((DOCS / "figures" / "facts.json").read_text(encoding="utf-8"))
    text = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert document.updated(text, facts) == text
    assert all(f"<!-- facts: {name} -->" in text for name in document.BLOCKS)


def test_the_ratios_that_the_short_run_expects_are_those_of_the_document() -> None:
    facts = json.loads((DOCS / "figures" / "facts.json").read_text(encoding="utf-8"))
    for ratio in report.EXPECTED:
        assert report.times(facts, ratio) == pytest.approx(ratio.times, rel=0.02), ratio.name


def test_only_what_stands_between_the_marks_is_written_anew() -> None:
    text = "a\n<!-- facts: cost -->\nold\n<!-- end -->\nb\n"
    written = document.updated(text, facts())
    assert written.startswith("a\n<!-- facts: cost -->\n| attached to should_failslab |")
    assert f"| {report.FLOOR} | 11000 | 1000 | 1.00 |\n" in written
    assert written.endswith("<!-- end -->\nb\n")
    assert document.updated(written, facts()) == written


def test_a_mark_that_means_nothing_is_an_error() -> None:
    with pytest.raises(KeyError, match="costs"):
        document.updated("<!-- facts: costs -->\n<!-- end -->\n", facts())


def test_bpftrace_watches_a_frame_as_inject_py_does() -> None:
    assert bpftrace_program(test="pid == 1") == (
        "kprobe:should_failslab /pid == 1/ { override(-12); }"
    )
    assert bpftrace_program("f").startswith("kprobe:f /1/ { @in[tid] = 1; } kretprobe:f ")
