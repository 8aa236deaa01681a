"""What the benchmark says of the facts that it is given."""

from __future__ import annotations

from typing import Any

from benchmarks import report


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
