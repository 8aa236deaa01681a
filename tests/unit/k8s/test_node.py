"""What is known of one node's agent, from its pod and its log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaoskernel.backend.series import Series
from chaoskernel.k8s.node import LAST_WORDS_SECONDS, NodeAgent
from chaoskernel.k8s.progress import Roll
from chaoskernel.k8s.recent_events import Latest
from tests.unit.k8s.fake_cluster import armed, counted, disarmed

OURS = {"kind": "Job", "name": "j", "uid": "u", "controller": True}
RUNNING = {
    "metadata": {"name": "p", "ownerReferences": [OURS]},
    "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]},
}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def agent(clock: Clock) -> NodeAgent:
    found = NodeAgent("worker-1", "j", (), Roll(), Latest(), Series(), clock)
    found.belongs_to("u")
    return found


def test_an_agent_is_over_when_its_log_has_ended_after_its_pod() -> None:
    here = agent(Clock())
    assert here.see("ADDED", RUNNING)
    here.see("DELETED", RUNNING)
    assert not here.over
    here.log_ended(pod_is_gone=True)
    assert here.over


def test_a_log_that_does_not_end_is_not_waited_for_forever() -> None:
    clock = Clock()
    here = agent(clock)
    here.see("ADDED", RUNNING)
    here.see("DELETED", RUNNING)
    clock.now += LAST_WORDS_SECONDS - 1
    here.see("DELETED", RUNNING)  # told again, it has not ended later
    assert not here.over
    clock.now += 2
    assert here.over


def test_an_agent_that_runs_is_not_over_whatever_the_time() -> None:
    clock = Clock()
    here = agent(clock)
    here.see("ADDED", RUNNING)
    clock.now += 1000
    assert not here.over
    assert here.silent_for() == 1000


def test_a_pod_that_never_ran_has_no_last_words() -> None:
    here = agent(Clock())
    waiting: dict[str, Any] = {
        "metadata": {"name": "p", "ownerReferences": [OURS]},
        "status": {"phase": "Pending"},
    }
    assert not here.see("ADDED", waiting)
    here.see("DELETED", waiting)
    assert here.over


def test_a_pod_whose_container_cannot_start_is_over_once_it_is_to_go() -> None:
    here = agent(Clock())
    waiting: dict[str, Any] = {"state": {"waiting": {"reason": "ErrImagePull"}}}
    document: dict[str, Any] = {
        "metadata": {"name": "p", "ownerReferences": [OURS]},
        "status": {"phase": "Pending", "containerStatuses": [waiting]},
    }
    here.see("ADDED", document)
    assert not here.over  # the pull is tried again
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    here.see("MODIFIED", document)
    assert here.over


def test_pods_that_come_before_the_uid_of_the_job_are_taken_in_with_it() -> None:
    here = NodeAgent("worker-1", "j", (), Roll(), Latest(), Series(), Clock())
    assert not here.see("ADDED", RUNNING)
    assert here.pod == ""
    assert here.belongs_to("u")
    assert here.pod == "p"


@pytest.mark.parametrize(
    "owners",
    [None, [], [{**OURS, "uid": "v"}], [{**OURS, "controller": False}], [{**OURS, "kind": "X"}]],
)
def test_a_pod_that_its_job_does_not_control_is_passed_over(owners: Any) -> None:
    foreign = {**RUNNING, "metadata": {"name": "evil", "ownerReferences": owners}}
    here = agent(Clock())
    assert not here.see("ADDED", foreign)
    early = NodeAgent("worker-1", "j", (), Roll(), Latest(), Series(), Clock())
    early.see("ADDED", foreign)
    assert not early.belongs_to("u")
    assert (here.pod, early.pod) == ("", "")


def test_many_pods_that_come_early_take_bounded_memory() -> None:
    here = NodeAgent("worker-1", "j", (), Roll(), Latest(), Series(), Clock())
    for number in range(1000):
        here.see("ADDED", {"metadata": {"name": str(number), "ownerReferences": [OURS]}})
    here.belongs_to("u")
    assert here.pod == "999"


@pytest.mark.parametrize(
    "line", ["", "null", "[]", "17", "<html>", "[" * 100_000, "\x00\xff", "x" * 1_000_000, "{}"]
)
def test_a_line_that_is_no_message_changes_nothing_and_is_named(line: str) -> None:
    here = agent(Clock())
    here.see("ADDED", RUNNING)
    assert here.hear(line)
    assert (here.armed, here.disarmed, here.error()) == (False, False, None)
    assert len(here.waits_for()) < 300


def test_of_what_an_agent_said_the_latest_is_kept_alone() -> None:
    """With 500 agents, what nobody asks for any more is a quarter of the memory."""
    here = agent(Clock())
    here.hear(json.dumps({"type": "progress", "step": "loading"}))
    here.hear(json.dumps(armed()))
    here.hear(json.dumps({"type": "counters", "counters": counted(3)}))
    assert (here.said("progress"), here.counters()["injected"]) == ({}, 3)
    here.hear(json.dumps(disarmed(4)))
    assert (here.said("counters"), here.counters()["injected"]) == ({}, 4)
    assert here.armed and here.disarmed
