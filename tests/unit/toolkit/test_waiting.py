"""Waiting until a fault has hit."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions
from chaoskernel.backend.backends import sharing
from chaoskernel.toolkit import waiting
from tests.unit.fakes import FakeBackend


class Counting(FakeBackend):
    """A fault that hits once at each look."""

    looks = 0

    def counters(self, name: str) -> dict[str, Any]:
        self.looks += 1
        return {"reached": self.looks, "matched": self.looks, "injected": self.looks}


def test_it_returns_at_once_when_the_fault_has_hit_often_enough() -> None:
    with sharing(target := Counting()):
        actions.start_injection("mount", pids=[12])
        found = actions.wait_for_injection("mount", minimum=3, timeout="10s")
    assert found == {"injected": 3, "held_dry_run": 0}
    assert target.looks == 3


def test_what_would_have_failed_counts_in_a_dry_run() -> None:
    with sharing(FakeBackend({"reached": 5, "matched": 5, "held_dry_run": 5})):
        actions.start_injection("mount", pids=[12], dry_run=True)
        assert actions.wait_for_injection("mount", 5)["held_dry_run"] == 5


def test_too_few_in_time_fail_with_what_is_known() -> None:
    with sharing(FakeBackend({"reached": 9, "matched": 0, "injected": 0})):
        actions.start_injection("mount", pids=[12])
        line = (
            r"fault 'mount' injected 0 of at least 1 within 500ms: such calls were made 9 times, "
            r"none at the place that was asked for \(`chaoskernel watch` shows theirs\); "
            r"see that the workload runs"
        )
        with pytest.raises(ActivityFailed, match=line):
            actions.wait_for_injection("mount", timeout=0.5)


def test_a_fault_that_has_ended_is_not_waited_for() -> None:
    with sharing(target := FakeBackend()):
        actions.start_injection("mount", pids=[12])
        target.stop()
        with pytest.raises(ActivityFailed, match="3 of at least 4 before it ended: reached 7"):
            actions.wait_for_injection("mount", 4, "1h")


def test_a_long_wait_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "_TELL_SECONDS", 0.1)
    with sharing(FakeBackend()), caplog.at_level(logging.INFO, logger="chaostoolkit"):
        actions.start_injection("mount", pids=[12])
        with pytest.raises(ActivityFailed):
            actions.wait_for_injection("mount", 4, 0.5)
    assert "Waiting for fault 'mount': 3 of 4 injected, 0 s left" in caplog.text
