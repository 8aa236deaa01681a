"""All nodes are armed or none: what keeps one from it is told, and the others are undone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions
from chaoskernel.errors import ClusterError, TimeLimit
from tests.cluster import agents
from tests.cluster.conftest import ACCOUNT, Rehearse, fault, impatient
from tests.cluster.kubectl import apply, await_ready, get, jobs, kubectl, pod
from tests.waiting import within
from tools.cluster import groups, images, spaces
from tools.cluster.cluster import Cluster

DB = {"label_selectors": {"app": "db"}}
ON_NODE_2 = r"fault 'x' is not armed on node node-2 \(pods shop/db-1, shop/db-2\): "


@contextlib.contextmanager
def quota(hard: dict[str, str]) -> Iterator[None]:
    """Let the namespace of the Jobs have no more than this."""
    document = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": hard}}
    apply({**document, "metadata": {"name": "tight", "namespace": ACCOUNT}})
    assert within(20, lambda: bool(get("quota", "-n", ACCOUNT, "tight")["status"].get("used")))
    try:
        yield
    finally:
        kubectl("delete", "quota", "-n", ACCOUNT, "tight")


@pytest.fixture(autouse=True)
def undone(shop: Cluster) -> Iterator[None]:
    """Nothing may be left of a start that failed."""
    yield
    left = jobs()
    if left:  # of a start that did not fail
        kubectl("delete", "jobs", "-n", ACCOUNT, "--all")
    assert left == []
    assert within(60, lambda: agents.running() == [])


def test_an_image_that_one_node_does_not_have(shop: Cluster, rehearse: Rehearse) -> None:
    other = f"{images.AGENT}-elsewhere"
    ctr = ["ctr", "--address", str(shop.nodes[0].socket), "--namespace", "k8s.io"]
    spaces.run(*ctr, "images", "tag", images.AGENT, other)
    with pytest.raises(ActivityFailed, match=f"{ON_NODE_2}image {other} is missing"):
        rehearse("x", **DB, image=other)


def has_groups(uid: str) -> bool:
    """Tell whether a pod has control groups left: until then its kubelet may run it once more.

    Beside hierarchies of v1 a kubelet leaves the group of v2 behind, with nobody in it.
    """
    mounted = groups.hierarchies()
    kept = [each for each in mounted if not each.is_v2] or mounted
    return any(any(each.place.rglob(f"pod{uid}")) for each in kept)


def test_a_pod_that_went_in_the_meantime(shop: Cluster) -> None:
    apply(pod("brief", "node-1", labels={"app": "brief"}))
    await_ready("shop", "brief")
    chosen = fault("x", {"app": "brief"})
    kubectl("delete", "pod", "-n", "shop", "brief")
    (brief,) = chosen.scope.pods
    assert within(30, lambda: not has_groups(brief.uid))
    with pytest.raises(
        ClusterError, match=r"node node-1 \(pods shop/brief\): .* not a pod with app"
    ):
        impatient().start(chosen)


def test_admission_that_refuses_a_job(rehearse: Rehearse) -> None:
    with quota({"count/jobs.batch": "1"}), pytest.raises(ActivityFailed) as caught:
        rehearse("x", **DB)
    assert "refused to create a Job: " in str(caught.value)
    assert "exceeded quota: tight" in str(caught.value)


def test_admission_that_refuses_a_pod(rehearse: Rehearse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSKERNEL_START_SECONDS", "8")
    with quota({"pods": "1"}), pytest.raises(ActivityFailed) as caught:
        rehearse("x", **DB)
    assert "it was not armed within 8 s: FailedCreate: " in str(caught.value)
    assert "exceeded quota: tight" in str(caught.value)


def restarted(name: str) -> bool:
    """Tell whether every container of a pod of the shop has come to life again."""
    status = get("pod", "-n", "shop", name)["status"]
    return all(each["restartCount"] and each["ready"] for each in status["containerStatuses"])


def test_a_node_without_power_and_a_fault_that_was_in_force_when_it_went(
    shop: Cluster, rehearse: Rehearse
) -> None:
    rehearse("before", **DB)
    node = shop.nodes[1]
    node.stop()
    assert len(agents.running("before")) == 1
    with pytest.raises(TimeLimit, match=f"{ON_NODE_2}it was not armed within 5 s: .* node ready"):
        impatient(start=5, stop=2).start(fault("x", {"app": "db"}))
    node.start()
    assert within(120, lambda: restarted("db-1") and restarted("db-2"), pause=1)
    assert len(agents.running("before")) == 1
    (before,) = actions.stop_pod_injection("before")["faults"]
    assert before["leftovers"] == []
