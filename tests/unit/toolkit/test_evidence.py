"""What a run was short of, and why."""

from __future__ import annotations

from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, probes
from chaoskernel.backend.backends import sharing
from chaoskernel.backend.outcome import chain_end
from chaoskernel.toolkit.evidence import shortfalls
from tests.unit.fakes import FakeBackend


def frame(symbol: str, entered: int, matched: int) -> dict[str, Any]:
    return {"symbol": symbol, "entered": entered, "matched": matched}


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([], ""),
        ([frame("a", 3, 3), frame("b", 2, 1)], ""),
        ([frame("a", 0, 0), frame("b", 2, 0)], "a was never called"),
        (
            [frame("a", 3, 3), frame("b", 1, 0)],
            "b was called once, never in its place or as its predicate says",
        ),
        (
            [frame("a", 4, 0), frame("b", 0, 0)],
            "a was called 4 times, never in its place or as its predicate says",
        ),
    ],
)
def test_the_first_function_that_did_not_match_is_where_a_chain_ends(
    frames: list[dict[str, Any]], why: str
) -> None:
    assert chain_end({"frames": frames}) == why


def test_a_fault_without_effect_is_reported_with_the_end_of_its_chain() -> None:
    counters = {"reached": 9, "matched": 0, "injected": 0, "frames": [frame("a", 0, 0)]}
    with sharing(target := FakeBackend(counters)):
        actions.start_injection("mount", pids=[12])
        line = "(reached 9, matched 0): a was never called"
        assert shortfalls([], [], target.records()) == [f"fault 'mount' injected nothing {line}"]
        with pytest.raises(ActivityFailed, match=r"reached 9, matched 0; a was never called$"):
            probes.ensure_injected("mount")
