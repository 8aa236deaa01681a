"""What came of a fault, in words and in stacks."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.backend.outcome import injection_times, top_stacks, verdict, with_stacks


def event(at: int, *stack: str) -> dict[str, Any]:
    return {"at": f"2026-01-01T00:00:{at:02}+00:00", "hook": stack[0].split("+")[0], "stack": stack}


def test_the_stacks_of_most_injections_come_first_by_the_names_of_functions() -> None:
    events = [
        event(1, "h+0x1", "a+0x2"),
        event(2, "h+0x1", "b+0x2"),
        event(3, "h+0x1", "b+0x9"),
        *(event(4, "h+0x1", f"c{number}+0x2") for number in range(20)),
    ]
    found = top_stacks(events)
    assert found[0] == {"count": 2, "hook": "h", "stack": ["h", "b"]}
    assert len(found) == 10


def test_injections_whose_stacks_were_not_kept_are_of_no_stack() -> None:
    without = {**event(1, "h+0x1"), "stack": [], "stack_kept": False}
    kept = {**event(2, "h+0x1", "a+0x2"), "stack_kept": True}
    assert top_stacks([without, kept, without]) == [{"count": 1, "hook": "h", "stack": ["h", "a"]}]
    assert top_stacks([without]) == []
    assert with_stacks([without, kept]) == [kept]


def test_the_first_injection_is_known_while_none_was_dropped() -> None:
    events = [event(5, "h+0x1"), event(3, "h+0x1")]
    first, last = events[1]["at"], events[0]["at"]
    assert injection_times(events, 0) == (first, last)
    assert injection_times(events, 1) == ("", last)
    assert injection_times([], 0) == ("", "")


NEAR = [
    {"call": "msync", "count": 1},
    {"call": "fdatasync", "count": 12},
    {"call": "sync_file_range", "count": 0},
]
FRAME = {"symbol": "path_mount", "entered": 0, "matched": 0}


@pytest.mark.parametrize(
    ("counters", "flags", "words"),
    [
        ({"reached": 7, "injected": 3}, {}, "3 calls failed, of 7 that the scope made"),
        ({"reached": 7, "injected": 1}, {}, "1 call failed, of 7 that the scope made"),
        (
            {"reached": 7, "held_dry_run": 5},
            {"dry_run": True},
            "5 calls would have failed, of 7 that the scope made",
        ),
        ({}, {"rehearsal": True}, "a rehearsal: nothing was attached"),
        ({}, {}, "nothing failed: its counters are unknown"),
        ({"reached": 0}, {}, "nothing failed: nothing in scope made such a call"),
        (
            {"reached": 0, "hooks": [{"symbol": "__x64_sys_fsync"}]},
            {},
            "nothing failed: nothing in scope made such a call; it may make fdatasync or "
            "sync_file_range or msync, which the fault fsync fails too",
        ),
        (
            {"reached": 0, "hooks": [{"symbol": "__x64_sys_fsync"}], "near": NEAR},
            {},
            "nothing failed: nothing in scope made such a call; it made 12 fdatasync "
            "(fault fsync), 1 msync (fault fsync)",
        ),
        (
            {"reached": 0, "near": [{"call": "sendto", "count": 0}]},
            {},
            "nothing failed: nothing in scope made such a call, nor one near it: sendto",
        ),
        ({"reached": 0, "frames": [FRAME]}, {}, "nothing failed: path_mount was never called"),
        (
            {"reached": 2, "matched": 0},
            {},
            "nothing failed: such calls were made 2 times, none at the place that was asked for "
            "(`chaoskernel watch` shows theirs)",
        ),
        (
            {"reached": 9, "matched": 2, "held_probability": 2, "held_times": 0},
            {},
            "nothing failed: all were held back: 2 by probability",
        ),
        (
            {"reached": 1, "injected": 1},
            {"lost": True},
            "1 call failed, of 1 that the scope made; its agent was lost, so these are the last "
            "counts that it reported",
        ),
    ],
)
def test_the_verdict_says_what_came_of_a_fault(
    counters: dict[str, Any], flags: dict[str, bool], words: str
) -> None:
    all_flags = {"dry_run": False, "rehearsal": False, "lost": False, **flags}
    assert verdict(counters, **all_flags) == words
