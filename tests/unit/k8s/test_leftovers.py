"""Jobs that are left are found by their labels, whoever started them, and removed."""

from __future__ import annotations

from chaoskernel.errors import ClusterError
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits
from chaoskernel.k8s import job, leftovers
from chaoskernel.k8s.job import Settings
from tests.unit.k8s.fake_cluster import FakeCluster


def left_by(name: str, node: str, cluster: FakeCluster) -> str:
    pod = PodScope("shop", "db-0", "1234abcd", node)
    fault = Fault(name=name, kind=Kind.SLAB, scope=Scope(pods=(pod,)), limits=Limits(duration=30))
    given = Settings("c", "i")
    manifest = job.job(Assignment(fault), "r", 0, given, start_seconds=10, started_by="me")
    manifest["metadata"]["name"] += node
    manifest["status"] = {"startTime": "2026-01-01T00:00:00Z"}
    cluster.create_job("c", manifest)
    return str(manifest["metadata"]["name"])


def test_those_of_a_fault_or_of_all_are_found() -> None:
    cluster = FakeCluster()
    first = left_by("a", "n1", cluster)
    left_by("b", "n2", cluster)
    (found,) = leftovers.find(cluster, "c", "a")
    assert (found.job, found.node, found.pods, found.state) == (first, "n1", "shop/db-0", "running")
    assert (found.started_by, found.ends_at) == ("me", "2026-01-01T00:01:40+00:00")
    assert [left.fault for left in leftovers.find(cluster, "c")] == ["a", "b"]


def test_a_pod_whose_job_is_gone_is_found() -> None:
    cluster = FakeCluster()
    labels = {"app.kubernetes.io/name": "chaoskernel", "chaoskernel/fault": "a", "job-name": "j"}
    cluster.documents = [
        {
            "metadata": {
                "name": "j-x",
                "namespace": "c",
                "labels": labels,
                "annotations": {"chaoskernel/node": "n9"},
                "ownerReferences": [{"kind": "Job", "name": "j", "uid": "u", "controller": True}],
            },
            "spec": {"activeDeadlineSeconds": 60},
            "status": {"startTime": "2026-01-01T00:00:00Z"},
        }
    ]
    (found,) = leftovers.find(cluster, "c")
    assert (found.job, found.node, found.state) == ("j", "n9", "terminating")
    assert found.ends_at == "2026-01-01T00:01:00+00:00"


def test_a_pod_whose_job_was_made_anew_is_found_too() -> None:
    cluster = FakeCluster()
    name = left_by("a", "n1", cluster)
    labels = {"app.kubernetes.io/name": "chaoskernel", "chaoskernel/fault": "a", "job-name": name}
    here = {"kind": "Job", "name": name, "uid": f"uid of {name}", "controller": True}
    cluster.documents = [
        {"metadata": {"name": "x", "namespace": "c", "labels": labels, "ownerReferences": owners}}
        for owners in ([here], [{**here, "uid": "another"}], [{**here, "controller": False}], None)
    ]
    states = [(left.job, left.state) for left in leftovers.find(cluster, "c")]
    assert sorted(states) == sorted(
        [(name, "running"), (name, "terminating"), ("x", "terminating"), ("x", "terminating")]
    )


def test_removing_goes_on_past_errors() -> None:
    cluster = FakeCluster()
    left_by("a", "n1", cluster)
    left_by("a", "n2", cluster)
    cluster.refuse["delete_job"] = lambda node: ClusterError("no") if node == "n1" else None
    outcome = leftovers.remove(cluster, "c", leftovers.find(cluster, "c"))
    assert [(left.node, trouble) for left, trouble in outcome] == [("n1", "no"), ("n2", "")]
    assert [left.node for left in leftovers.find(cluster, "c")] == ["n1"]
