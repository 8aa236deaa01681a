"""Faults on nodes: all are armed or none, and each end is confirmed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from chaoskernel.backend.record import State
from chaoskernel.errors import (
    AgentError,
    ChaosKernelError,
    ClusterError,
    EngineError,
    InvalidFault,
    NotPermitted,
    TimeLimit,
    UnknownFault,
)
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import aggregate
from chaoskernel.k8s.backend import ClusterBackend
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.job import Settings
from chaoskernel.k8s.retry import Patience
from tests.unit.k8s.fake_cluster import FakeCluster, Script, armed, counted, disarmed
from tests.waiting import within

QUICK = Waits(start=2.0, stop=0.5, retry=0.01)


def a_fault(*nodes: str, name: str = "x") -> Fault:
    pods = tuple(
        PodScope("shop", f"db-{n}", f"{n:08x}-00", node, (PodContainer("app"),))
        for n, node in enumerate(nodes or ("worker-1", "worker-2"))
    )
    return Fault(name=name, kind=Kind.SLAB, scope=Scope(pods=pods))


def target(cluster: FakeCluster, waits: Waits = QUICK) -> ClusterBackend:
    return ClusterBackend(cluster, Settings("chaoskernel", "an-image"), waits=waits)


def refused(cluster: FakeCluster, waits: Waits = QUICK) -> ChaosKernelError:
    """Start a fault that cannot be armed, and check that nothing stays of it."""
    here = target(cluster, waits)
    with pytest.raises(ChaosKernelError) as caught:
        here.start(a_fault())
    assert sorted(cluster.deleted) == sorted(cluster.manifests)
    assert here.records() == []
    return caught.value


def test_one_job_for_each_node_is_armed_and_what_they_count_is_added_up() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    record = here.start(a_fault())
    assert (record.state, record.armed["nodes"]) == (State.ACTIVE, ["worker-1", "worker-2"])
    assert [each["node"] for each in record.armed["targets"]] == ["worker-1", "worker-2"]
    assert record.armed["left_out"] == ["32-bit callers: __ia32_sys_mount"]
    here.stop("x")
    counters = here.counters("x")
    assert (counters["injected"], counters["reached"]) == (8, 12)
    assert counters["frames"] == [{"symbol": "__x64_sys_mount", "entered": 8, "matched": 8}]
    assert [(p["node"], p["injected"]) for p in counters["pods"]] == [
        ("worker-1", 4),
        ("worker-2", 4),
    ]
    assert [(n["node"], n["injected"]) for n in counters["nodes"]] == [
        ("worker-1", 4),
        ("worker-2", 4),
    ]


def test_what_does_not_work_is_reported_with_its_nodes(caplog: pytest.LogCaptureFixture) -> None:
    one = Script(first=(armed(warnings=["no names"]),))
    two = Script(first=(armed(warnings=["no names", "slow"]),))
    cluster = FakeCluster({"worker-1": one, "worker-2": two, "worker-3": Script()})
    record = target(cluster).start(a_fault("worker-1", "worker-2", "worker-3"))
    told = ["on 2 nodes: no names", "on node worker-2: slow"]
    assert record.to_json()["warnings"] == told
    assert caplog.messages == [f"Fault 'x': {line}" for line in told]


def test_stopping_waits_for_the_last_word_of_each_agent() -> None:
    here = target(FakeCluster())
    here.start(a_fault())
    (record,) = here.stop("x")
    assert (record.state, record.reason) == (State.ENDED, "stop")
    assert here.stop("x") == [record]


def test_a_fault_takes_two_requests_for_each_node_one_watch_and_few_to_delete_them() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault(*(f"worker-{n}" for n in range(20))))
    here.stop()
    assert {call: cluster.calls.count(call) for call in set(cluster.calls)} == {
        "watch_pods": 1,
        "create_job": 20,
        "log": 20,
        "delete_jobs": 3,
    }
    assert len(cluster.deleted) == 20


def test_what_one_request_cannot_delete_is_deleted_one_by_one() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault(*(f"worker-{n}" for n in range(20))))
    message = "system:serviceaccount:c:c may not deletecollection jobs.batch in namespace c"
    cluster.refuse["delete_jobs"] = lambda labels: (
        NotPermitted(message) if labels.endswith("part=1") else None
    )
    (record,) = here.stop()
    assert record.state is State.ENDED
    assert len(cluster.deleted) == 20
    assert (cluster.calls.count("delete_jobs"), cluster.calls.count("delete_job")) == (3, 7)


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


def test_what_was_stopped_is_not_stopped_again() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault())
    here.stop()
    asked = list(cluster.calls)
    here.stop()
    assert cluster.calls == asked


class Slow(FakeCluster):
    """A cluster that answers the making of a Job when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.answers = threading.Event(), threading.Event()

    def create_job(
        self, namespace: str, manifest: Mapping[str, Any], patience: Patience | None = None
    ) -> str:
        self.asked.set()
        assert self.answers.wait(10)
        return super().create_job(namespace, manifest)


@pytest.mark.parametrize("patience", [5.0, 0.1])
def test_a_job_that_is_being_made_when_its_fault_is_stopped_is_deleted(patience: float) -> None:
    cluster = Slow()
    here = target(cluster, Waits(start=2.0, stop=patience, retry=0.01))
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(here.start, a_fault("worker-1"))
        assert cluster.asked.wait(5)
        stopping = pool.submit(here.stop)
        if patience < 1:
            with pytest.raises(EngineError, match="Jobs of fault 'x' are being made still"):
                stopping.result(5)
        else:
            assert not wait([stopping], 0.2).done
        cluster.answers.set()
        with pytest.raises(AgentError, match="was stopped before it was armed"):
            starting.result(5)
    assert len(cluster.manifests) == 1
    assert sorted(cluster.deleted) == sorted(cluster.manifests)


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


def test_a_stop_waits_longer_the_more_nodes_there_are() -> None:
    silent = Script(last=(), deletes=False)
    nodes = [f"worker-{n}" for n in range(4)]
    cluster = FakeCluster(dict.fromkeys(nodes, silent))
    here = target(cluster, Waits(start=2.0, stop=0.0, stop_node=0.1, retry=0.01))
    here.start(a_fault(*nodes))
    begun = time.monotonic()
    with pytest.raises(EngineError, match="worker-3 .* could not be confirmed"):
        here.stop()
    assert time.monotonic() - begun >= 0.4


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_server_that_restarts_is_asked_again(status: int) -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault("worker-1"))
    answers: list[ClusterError | None] = [ClusterError("down", status=status)] * 3
    cluster.refuse["delete_job"] = lambda node: answers.pop() if answers else None
    (record,) = here.stop("x")
    assert record.state is State.ENDED


def test_a_server_that_knows_nobodys_rights_yet_is_asked_again() -> None:
    cluster = FakeCluster()
    here = target(cluster)
    here.start(a_fault("worker-1"))
    answers = [NotPermitted("u may not")] * 3
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


def test_the_deadline_ends_it_without_a_stop() -> None:
    said = (
        *Script().first,
        {**disarmed(9, "deadline"), "counters": counted(9)},
    )
    here = target(FakeCluster({"worker-1": Script(first=said)}))
    with pytest.raises(ClusterError, match="its agent has ended: deadline"):
        here.start(a_fault("worker-1"))


def test_names_are_unique_among_active_faults_and_unknown_ones_are_refused() -> None:
    here = target(FakeCluster())
    here.start(a_fault())
    with pytest.raises(InvalidFault, match="a fault of that name is active"):
        here.start(a_fault())
    with pytest.raises(UnknownFault, match="there are: x"):
        here.record("y")
    here.stop()
    assert here.start(a_fault()).state is State.ACTIVE
    here.stop()


def test_events_are_known_at_the_end() -> None:
    events = [{"at": f"2026-01-01T00:00:0{n}+00:00", "pid": n} for n in range(3)]
    last = (disarmed(3, events=events, dropped=2),)
    here = target(FakeCluster({"worker-1": Script(last=last)}))
    here.start(a_fault("worker-1"))
    with pytest.raises(AgentError, match="known once it has ended"):
        here.events("x", 2)
    here.stop()
    assert here.events("x", 2) == {
        "events": [{**each, "node": "worker-1"} for each in events[1:]],
        "dropped": 2,
    }


def test_events_of_many_nodes_are_as_many_as_those_of_one() -> None:
    events = [{"at": f"2026-01-01T00:00:{n // 10:02}.{n % 10}+00:00"} for n in range(256)]
    last = (disarmed(300, events=events, dropped=44),)
    here = target(FakeCluster({node: Script(last=last) for node in ("worker-1", "worker-2")}))
    here.start(a_fault())
    (record,) = here.stop()
    assert (len(record.events), record.dropped) == (256, 44 + 44 + 256)
    assert {event["node"] for event in record.events} == {"worker-1", "worker-2"}
    assert record.events[0]["at"] == "2026-01-01T00:00:12.8+00:00"


def test_a_scope_without_pods_is_refused() -> None:
    with pytest.raises(InvalidFault, match="scope"):
        target(FakeCluster()).start(Fault(name="x", kind=Kind.SLAB, scope=Scope(pids=(42,))))


def test_a_stand_in_on_one_node_labels_the_whole() -> None:
    label = {"fault": "allocation", "stand_in_for": "slab"}
    fault = a_fault()
    agents = [SaysArmed("worker-1", armed()), SaysArmed("worker-2", armed(**label))]
    said = aggregate.armed(fault, agents)  # type: ignore[arg-type]
    assert {key: said[key] for key in label} == label
    assert not label.keys() & aggregate.armed(fault, agents[:1]).keys()  # type: ignore[arg-type]


class SaysArmed:
    """A node's agent that has said no more than that it is armed."""

    def __init__(self, node: str, message: Mapping[str, Any]) -> None:
        self.node = node
        self._message = message

    def said(self, _kind: str) -> Mapping[str, Any]:
        return self._message

    def expires_at(self) -> str:
        return str(self._message["expires_at"])
