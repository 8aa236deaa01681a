"""Which pods are hit, on which nodes, and which must not be."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.chaosmesh.manifest import Mode, Selection, Selector
from chaoskernel.errors import InvalidFault, NothingSelected
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.k8s import nodes
from chaoskernel.k8s.connection import Self
from chaoskernel.k8s.nodes import Bounds
from chaoskernel.k8s.select import select
from tests.unit.k8s.fake_cluster import FakeCluster, pod

SHOP = Selector(namespaces=("shop",))


def chosen(
    *documents: dict[str, Any],
    bounds: Bounds | None = None,
    selection: Selection | None = None,
    **how: Any,
) -> tuple[PodScope, ...]:
    cluster = FakeCluster(None, *documents)
    return select(selection or Selection(Mode.ALL, SHOP), cluster, bounds or Bounds(), **how)


def test_a_pod_is_told_by_uid_node_and_the_container_that_is_meant() -> None:
    document = pod("db-0", "worker-1", containers=("app", "log"))
    (scope,) = chosen(document)
    assert scope == PodScope(
        "shop",
        "db-0",
        document["metadata"]["uid"],
        "worker-1",
        (PodContainer("app", f"containerd://0{'a' * 63}"),),
    )


def test_all_containers_are_meant_when_that_is_said() -> None:
    (scope,) = chosen(pod("db-0", containers=("app", "log")), all_containers=True)
    assert scope.containers == ()


def test_pods_are_grouped_by_node() -> None:
    found = chosen(pod("a", "n2"), pod("b", "n1"), pod("c", "n2"))
    grouped = {node: [p.name for p in pods] for node, pods in nodes.by_node(found).items()}
    assert grouped == {"n1": ["b"], "n2": ["a", "c"]}


@pytest.mark.parametrize(
    "document",
    [
        pod("a", phase="Pending"),
        pod("a", ""),
        pod("a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    ],
)
def test_what_does_not_run_is_not_selected(document: dict[str, Any]) -> None:
    with pytest.raises(NothingSelected, match="none of 1 pods is running"):
        chosen(document)


def test_a_container_that_does_not_run_is_reported() -> None:
    document = pod("a")
    document["status"]["containerStatuses"][0]["state"] = {"waiting": {}}
    with pytest.raises(NothingSelected, match="container app of pod shop/a is not running"):
        chosen(document)


def with_sidecars(*, ephemeral: str = "running") -> dict[str, Any]:
    """Return a pod with a native sidecar, an init container that is done, and one to debug it."""
    document = pod("web-1")
    document["spec"]["initContainers"] = [
        {"name": "migrate"},
        {"name": "proxy", "restartPolicy": "Always"},
    ]
    document["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    document["status"]["initContainerStatuses"] = [
        {"name": "migrate", "containerID": "containerd://m", "state": {"terminated": {}}},
        {"name": "proxy", "containerID": "containerd://p", "state": {"running": {}}},
    ]
    document["status"]["ephemeralContainerStatuses"] = [
        {"name": "debugger", "containerID": "containerd://d", "state": {ephemeral: {}}}
    ]
    return document


def named(*containers: str) -> Selection:
    return Selection(Mode.ALL, SHOP, containers=containers)


def test_native_sidecars_and_ephemeral_containers_are_selected_by_name() -> None:
    (scope,) = chosen(with_sidecars(), selection=named("proxy", "debugger"))
    assert scope.containers == (
        PodContainer("proxy", "containerd://p"),
        PodContainer("debugger", "containerd://d"),
    )
    (scope,) = chosen(with_sidecars())
    assert [each.name for each in scope.containers] == ["app"]


def test_a_finished_init_container_is_not_in_scope() -> None:
    with pytest.raises(NothingSelected, match="no container migrate; there are: app, proxy, debug"):
        chosen(with_sidecars(), selection=named("migrate"))


def test_an_ephemeral_container_that_has_ended_is_not_hit() -> None:
    with pytest.raises(NothingSelected, match="container debugger of pod shop/web-1 is not run.*"):
        chosen(with_sidecars(ephemeral="terminated"), selection=named("debugger"))


@pytest.mark.parametrize("key", ["initContainers", "ephemeralContainers"])
def test_lists_that_are_null_are_empty(key: str) -> None:
    document = pod("a")
    document["spec"][key] = document["status"]["initContainerStatuses"] = None
    assert len(chosen(document)) == 1


@pytest.mark.parametrize("namespace", nodes.SYSTEM_NAMESPACES)
def test_the_clusters_namespaces_are_refused_before_anything_is_asked(namespace: str) -> None:
    cluster = FakeCluster()
    selection = Selection(Mode.ALL, Selector(namespaces=("shop", namespace)))
    with pytest.raises(InvalidFault, match=f"'{namespace}' is not allowed"):
        select(selection, cluster, Bounds())
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (
            pod("a", metadata={"annotations": {"kubernetes.io/config.mirror": "f" * 32}}),
            "it is a static pod of its node",
        ),
        (
            pod("a", spec={"priorityClassName": "system-node-critical"}),
            "its priority class is system-node-critical",
        ),
    ],
)
def test_system_pods_are_refused_unless_allowed(document: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidFault, match=f"'shop/a' is not allowed: {why}"):
        chosen(document)
    assert len(chosen(document, bounds=Bounds(system_pods=True))) == 1


def test_a_static_pod_has_the_uid_that_its_node_knows() -> None:
    document = pod("a", metadata={"annotations": {"kubernetes.io/config.mirror": "f" * 32}})
    (scope,) = chosen(document, bounds=Bounds(system_pods=True))
    assert scope.uid == "f" * 32


def test_the_pod_of_the_experiment_is_refused() -> None:
    with pytest.raises(InvalidFault, match="the experiment itself runs in it"):
        chosen(pod("a"), bounds=Bounds(own=Self("shop", "a")))


def test_more_nodes_than_were_allowed_are_refused() -> None:
    documents = [pod(f"p{n}", f"n{n}") for n in range(3)]
    with pytest.raises(InvalidFault, match="max_nodes: 2 is not enough: the 3 selected pods"):
        chosen(*documents, bounds=Bounds(max_nodes=2))
    assert len(chosen(*documents, bounds=Bounds(max_nodes=3))) == 3


def test_pods_by_name_are_asked_for_in_their_namespaces_alone() -> None:
    cluster = FakeCluster(None, pod("a"), pod("b"))
    selector = Selector(namespaces=("default",), pods={"shop": ("b",)})
    (scope,) = select(Selection(Mode.ALL, selector), cluster, Bounds())
    assert (scope.name, cluster.calls) == ("b", ["pods"])


def test_nodes_are_asked_for_when_their_labels_matter() -> None:
    cluster = FakeCluster(None, pod("a", "n1"), pod("b", "n2"))
    cluster.node_documents = [
        {"metadata": {"name": "n1", "labels": {"disk": "ssd"}}},
        {"metadata": {"name": "n2"}},
    ]
    selector = Selector(namespaces=("shop",), node_labels={"disk": "ssd"})
    (scope,) = select(Selection(Mode.ALL, selector), cluster, Bounds())
    assert scope.name == "a"
