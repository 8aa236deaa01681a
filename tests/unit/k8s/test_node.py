"""What is known of one node's agent, from its pod and its log."""

from __future__ import annotations

from typing import Any

from chaoskernel.k8s.latest import Latest
from chaoskernel.k8s.node import LAST_WORDS_SECONDS, NodeAgent
from chaoskernel.k8s.roll import Roll

RUNNING = {
    "metadata": {"name": "p"},
    "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]},
}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def agent(clock: Clock) -> NodeAgent:
    return NodeAgent("worker-1", "j", (), Roll(), Latest(), clock)


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
    waiting: dict[str, Any] = {"metadata": {"name": "p"}, "status": {"phase": "Pending"}}
    assert not here.see("ADDED", waiting)
    here.see("DELETED", waiting)
    assert here.over


def test_a_pod_whose_container_cannot_start_is_over_once_it_is_to_go() -> None:
    here = agent(Clock())
    waiting: dict[str, Any] = {"state": {"waiting": {"reason": "ErrImagePull"}}}
    document: dict[str, Any] = {
        "metadata": {"name": "p"},
        "status": {"phase": "Pending", "containerStatuses": [waiting]},
    }
    here.see("ADDED", document)
    assert not here.over  # the pull is tried again
    document["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    here.see("MODIFIED", document)
    assert here.over
