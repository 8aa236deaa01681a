"""Pictures for a terminal: wide ones, narrow ones, without colours, and into a pipe."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from chaoskernel.cli.pictures import drawn, rates, sparkline, stack_tree
from tests.unit.report import made


def printed(what: Any, width: int = 80, encoding: str = "utf-8") -> list[str]:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width).print(what)
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_rates_keep_the_sum_whatever_the_width() -> None:
    points = [(0.0, 0.0), (5.0, 5.0), (59.0, 5.0), (60.0, 100.0)]
    for columns in (1, 7, 60):
        found = rates(points, columns)
        assert len(found) == columns
        assert sum(found) * 60 / columns == pytest.approx(100)
    assert rates(points, 60)[4:7] == [pytest.approx(1), 0, 0]


def test_a_mark_above_the_lowest_says_that_something_failed() -> None:
    assert drawn([0, 0.001, 4, 8], "▁▂▃▄▅▆▇█") == "▁▂▅█"
    assert drawn([0, 0], "▁▂") == "▁▁"


@pytest.mark.parametrize("width", [20, 40, 200])
def test_a_sparkline_is_as_wide_as_there_is_room(width: int) -> None:
    line, *_ = printed(sparkline(made.fault()["series"]), width)
    assert len(line) == min(width, 60)
    assert line.count("█") >= 1


def test_where_there_are_no_blocks_letters_do() -> None:
    line, *_ = printed(sparkline(made.fault()["series"]), encoding="ascii")
    assert set(line) <= set("_.:-=+*#")


@pytest.mark.parametrize(
    "series", [None, {}, 7, {"points": 3}, {"points": [[0, 0], [9, 0]]}, {"points": [["x"], None]}]
)
def test_what_shows_nothing_has_no_picture(series: object) -> None:
    assert sparkline(series) is None


def test_the_first_three_stacks_are_a_tree_from_the_call_to_the_hook() -> None:
    found = [
        {"count": 9 - n, "hook": "h", "stack": ["h", f"inner_{n}", "common", "sys_call"]}
        for n in range(5)
    ]
    assert printed(stack_tree(found)) == [
        "(24) sys_call → common",
        "├── (9) inner_0 → h",
        "├── (8) inner_1 → h",
        "└── (7) inner_2 → h",
    ]
    assert stack_tree([]) is None
    assert stack_tree([{"count": "x"}, 3]) is None
