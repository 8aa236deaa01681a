"""What the benchmark says of the facts that it is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import document, report
from benchmarks.guest.peers import bpftrace_program

DOCS = Path(__file__).resolve().parents[2] / "docs"


def cost(name: str, *ns: float) -> dict[str, Any]:
    return {"group": "cost", "name": name, "ns": list(ns)}


def facts(out_of_scope: float, in_scope: float) -> list[dict[str, Any]]:
    return [
        cost(report.NOTHING, 20_000, 20_100),
        cost(report.FLOOR, 22_000, 22_010),
        cost("core, out of scope", 20_000 + 2_000 * out_of_scope),
        cost("core, in scope, a frame is never entered", 20_000 + 2_000 * in_scope),
    ]


def test_added_cost_is_counted_in_instructions() -> None:
    assert report.added(facts(1.5, 2))[report.FLOOR] == 1000
    assert report.added(facts(1.5, 2))["core, out of scope"] == 1500


def test_ratios_as_they_were_are_not_off() -> None:
    expected = report.EXPECTED.values()
    assert report.off(facts(*expected)) == []
    assert report.off(facts(*(ratio * 1.2 for ratio in expected))) == []


def test_a_ratio_that_is_off_by_more_than_a_quarter_is_named() -> None:
    out_of_scope, in_scope = report.EXPECTED.values()
    (said,) = report.off(facts(out_of_scope * 1.3, in_scope))
    assert said.startswith("core, out of scope: ")
    assert len(report.off(facts(out_of_scope, in_scope * 0.7))) == 1


def test_a_contender_that_failed_is_off_and_told() -> None:
    broken = facts(*report.EXPECTED.values())
    broken[2] = {"group": "cost", "name": "core, out of scope", "error": "no"}
    assert len(report.off(broken)) == 1
    (table,) = report.tables(broken)
    assert table.row_count == len(broken)


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
    more = report.added(facts)
    for name, expected in report.EXPECTED.items():
        assert more[name] / more[report.FLOOR] == pytest.approx(expected, rel=0.02)


def test_only_what_stands_between_the_marks_is_written_anew() -> None:
    text = "a\n<!-- facts: cost -->\nold\n<!-- end -->\nb\n"
    written = document.updated(text, facts(1, 2))
    assert written.startswith("a\n<!-- facts: cost -->\n| attached to should_failslab |")
    assert f"| {report.FLOOR} | 11000 | 1000 | 1.00 |\n" in written
    assert written.endswith("<!-- end -->\nb\n")
    assert document.updated(written, facts(1, 2)) == written


def test_a_mark_that_means_nothing_is_an_error() -> None:
    with pytest.raises(KeyError, match="costs"):
        document.updated("<!-- facts: costs -->\n<!-- end -->\n", facts(1, 2))


def test_bpftrace_watches_a_frame_as_inject_py_does() -> None:
    assert bpftrace_program(test="pid == 1") == (
        "kprobe:should_failslab /pid == 1/ { override(-12); }"
    )
    assert bpftrace_program("f").startswith("kprobe:f /1/ { @in[tid] = 1; } kretprobe:f ")
