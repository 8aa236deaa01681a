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
    ClusterError,
    EngineError,
    InvalidFault,
    NotPermitted,
    UnknownFault,
)
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import aggregate
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.retry import Patience
from tests.unit.k8s.fake_cluster import FakeCluster, Script, armed, counted, disarmed
from tests.unit.k8s.on_nodes import a_fault, target


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
    assert counters["near"] == [{"call": "move_mount", "count": 4}]
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
