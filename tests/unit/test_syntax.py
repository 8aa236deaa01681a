"""Text of the user's <-> parts of a fault."""

from __future__ import annotations

import pytest

from chaoskernel import syntax
from chaoskernel.errors import InvalidFault


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("250ms", 0.25),
        (" 5m ", 300.0),
        (10, 10.0),
        (0.5, 0.5),
    ],
)
def test_a_go_duration_or_a_number_is_seconds(text: str | float, seconds: float) -> None:
    assert syntax.duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "banana",
        "10",
        "-5s",
        "5 m",
        "5M",
        "1mm",
        "1d",
        "1h banana 30m",
        "1..5s",
        "\N{FULLWIDTH DIGIT ONE}s",
        -1,
        float("nan"),
        float("inf"),
        10**400,
        True,
        None,
        ["5m"],
        "9" * 400 + "h",
    ],
)
def test_anything_else_is_refused_with_key_and_remedy(text: object) -> None:
    with pytest.raises(InvalidFault, match=r"^duration: .* is not a duration; write .* 30s, 5m"):
        syntax.duration(text)


def test_process_ids_that_are_text_become_numbers() -> None:
    assert syntax.pids([12, "34"]) == (12, 34)


def test_what_is_no_process_id_is_left_for_the_scope_to_refuse() -> None:
    assert syntax.pids(["-1", "x", True]) == ("-1", "x", True)


def test_process_ids_that_are_no_list_are_refused() -> None:
    with pytest.raises(InvalidFault, match=r"pids: '12' is not a list"):
        syntax.pids("12")
