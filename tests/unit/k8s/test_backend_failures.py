"""A fault on nodes that cannot start or end as it should: what is reported, and what stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from chaoskernel.backend.record import State
from chaoskernel.errors import (
    ChaosKernelError,
    ClusterError,
    EngineError,
    NotPermitted,
    TimeLimit,
)
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.retry import Patience
from tests.unit.k8s.fake_cluster import FakeCluster, Script, disarmed
from tests.unit.k8s.on_nodes import a_fault, refused, target
from tests.waiting import within


def test_an_image_that_is_missing_is_reported_with_node_and_pods_and_everything_is_undone() -> None:
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    missing = {
        "phase": "Pending",
        "containerStatuses": [{"name": "agent", "image": "i:1", "state": {"waiting": waiting}}],
    }
    error = refused(FakeCluster({"worker-2": Script(first=(), last=(), status=missing)}))
    assert str(error) == (
        "fault 'x' is not armed on node worker-2 (pods shop/db-1): "
        "image i:1 is missing (ErrImagePull: not found)"
    )


def test_a_missing_right_to_read_events_is_reported() -> None:
    cluster = FakeCluster({"worker-1": Script(first=(), last=(), status=None)})
    cluster.refuse["warnings"] = lambda *_: NotPermitted("u may not list events")
    error = refused(cluster, Waits(start=0.3, stop=0.5, retry=0.01))
    assert "its Job has made no pod, and why cannot be told: u may not list events" in str(error)


def test_an_unsupported_kernel_is_reported_in_its_agents_words() -> None:
    said = {"type": "error", "error": "DeadHook", "message": "it is not called", "hint": "boot X"}
    error = refused(FakeCluster({"worker-1": Script(first=(said,))}))
    assert str(error) == (
        "fault 'x' is not armed on node worker-1 (pods shop/db-0): it is not called; boot X"
    )


def test_the_agents_error_is_reported_instead_of_its_exit_status() -> None:
    said = {"type": "error", "error": "DeadHook", "message": "it is not called", "hint": ""}
    ended = {
        "phase": "Failed",
        "containerStatuses": [{"name": "agent", "state": {"terminated": {"exitCode": 1}}}],
    }
    error = refused(FakeCluster({"worker-1": Script(first=(said,), status=ended)}))
    assert "it is not called" in str(error)


def test_a_job_whose_pod_is_not_admitted_is_reported_by_its_events() -> None:
    cluster = FakeCluster({"worker-1": Script(first=(), last=(), status=None)})

    def warn(*_: str) -> None:
        job = next(n for n in cluster.manifests if n.endswith("-0"))
        cluster.warned = [
            {"involvedObject": {"name": job}, "reason": "FailedCreate", "message": "PodSecurity"}
        ]

    cluster.refuse["warnings"] = warn
    error = refused(cluster, Waits(start=0.3, stop=0.5, retry=0.01))
    assert isinstance(error, TimeLimit)
    assert "not armed within 0.3 s: FailedCreate: PodSecurity" in str(error)


def test_a_pod_that_goes_before_it_is_armed_is_reported() -> None:
    cluster = FakeCluster({"worker-1": Script(first=(), last=())})
    made = cluster.create_job

    def create(
        namespace: str, manifest: Mapping[str, Any], patience: Patience | None = None
    ) -> str:
        uid = made(namespace, manifest)
        if manifest["metadata"]["name"].endswith("-0"):
            cluster.end(manifest["metadata"]["name"])
        return uid

    cluster.create_job = create  # type: ignore[method-assign]
    assert "its agent's pod is gone" in str(refused(cluster))


def test_a_right_that_is_missing_is_reported_once_for_the_first_node() -> None:
    cluster = FakeCluster()
    cluster.refuse["create_job"] = lambda node: NotPermitted("u may not create jobs.batch")
    error = refused(cluster)
    assert "u may not create jobs.batch" in str(error)


def test_watching_that_is_not_allowed_fails_the_start_and_does_not_wait() -> None:
    cluster = FakeCluster()
    cluster.refuse["watch_pods"] = lambda *_: NotPermitted("u may not watch pods")
    assert "u may not watch pods" in str(refused(cluster, Waits(start=60, stop=0.5)))


def test_a_stop_goes_on_past_a_node_that_is_cut_off_and_lists_it() -> None:
    cluster = FakeCluster({"worker-1": Script(deletes=False)})
    here = target(cluster)
    here.start(a_fault())
    with pytest.raises(EngineError) as caught:
        here.stop("x")
    assert str(caught.value) == (
        "node worker-1 (pods shop/db-0) could not be confirmed: its agent did not answer; "
        "it ends by itself at 2999-01-01T00:05:00+00:00; "
        "`chaoskernel ps --kubernetes` shows what is left"
    )
    assert len(cluster.deleted) == 2


@pytest.mark.parametrize(
    "error",
    [
        *(ClusterError("down", status=status) for status in (0, 429, 503)),
        NotPermitted("u may not"),
    ],
    ids=["0", "429", "503", "rights"],
)
def test_a_server_that_restarts_or_knows_nobodys_rights_yet_is_asked_again(
    error: ChaosKernelError,
) -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault("worker-1"))
    answers: list[ChaosKernelError] = [error] * 3
    cluster.refuse["delete_job"] = lambda node: answers.pop() if answers else None
    (record,) = here.stop("x")
    assert record.state is State.ENDED


def test_a_log_and_a_watch_that_break_off_are_taken_up_again() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    cluster.breaks = 3
    here.start(a_fault("worker-1"))
    answers: list[ChaosKernelError] = [NotPermitted("u may not"), ClusterError("down")]
    cluster.refuse["log"] = lambda node: answers.pop() if answers else None
    assert within(5, lambda: not answers, 0.01)
    (record,) = here.stop("x")
    assert (record.state, record.counters["injected"]) == (State.ENDED, 4)


def test_a_job_that_cannot_be_deleted_is_listed() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault())
    cluster.refuse["delete_job"] = lambda node: (
        NotPermitted("u may not delete jobs.batch") if node == "worker-2" else None
    )
    with pytest.raises(EngineError, match=r"node worker-2 .* u may not delete jobs.batch"):
        here.stop("x")


def test_a_job_that_somebody_deletes_ends_the_fault_with_its_last_counters() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault("worker-1"))
    (job,) = cluster.manifests
    cluster.delete_job("chaoskernel", job)
    assert within(5, lambda: here.record("x").state is State.ENDED, 0.01)
    assert here.counters("x")["injected"] == 4


def test_an_agent_that_goes_without_a_word_is_lost_and_its_last_counters_stay() -> None:
    cluster = FakeCluster({"worker-1": Script(last=())})
    here = target(cluster)
    here.start(a_fault("worker-1"))
    assert within(5, lambda: here.counters("x") != {}, 0.01)
    (job,) = cluster.manifests
    cluster.end(job)
    assert within(5, lambda: here.record("x").state is State.LOST, 0.01)
    assert here.counters("x")["injected"] == 3
    assert "pod is gone" in here.record("x").reason


def test_programs_that_stay_loaded_are_listed_by_node() -> None:
    last = (disarmed(1, leftovers=[77]),)
    here = target(FakeCluster({"worker-1": Script(last=last)}))
    here.start(a_fault("worker-1"))
    with pytest.raises(EngineError, match="on node worker-1 .* loaded still: 77"):
        here.stop()
