"""A real cluster of two nodes, with a shop on it; `make test-cluster` runs what is here.

Experiments are those of the service account that deploy/rbac.yaml makes, with its rights and no
more.  The nodes have the host's kernel: faults are rehearsals, which say so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel import actions, probes
from chaoskernel.chaosmesh.manifest.arguments import selected_by
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.spec import EngineName, Fault, Limits
from chaoskernel.k8s.access import access
from chaoskernel.k8s.backend import ClusterBackend
from chaoskernel.k8s.injection import Waits
from chaoskernel.lab.progress import Lines
from tests.cluster.kubectl import ADMIN, apply, await_ready, get, kubectl, namespace, pod
from tests.place import require
from tests.waiting import within
from tools.cluster import images, spaces
from tools.cluster.cluster import Cluster

ROOT = Path(__file__).parents[2]
ACCOUNT = "chaoskernel"

Rehearse = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skip, or fail, a test that is not run in namespaces of a cluster's own."""
    inside = bool(spaces.group())
    require(inside, "these are not a cluster's namespaces; `make test-cluster` makes them")


@pytest.fixture(scope="session")
def cluster(namespaces: None) -> Iterator[Cluster]:
    """Bring a cluster up; its logs are in build/cluster."""
    with (
        Lines(print, name="cluster") as progress,
        Cluster(ROOT / "build/cluster", 2, progress) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PATH", cluster.environment["PATH"])
        patch.setenv(ADMIN, str(cluster.plane.kubeconfig))
        patch.setenv("CHAOSKERNEL_IMAGE", images.AGENT)
        kubectl("apply", "-f", str(ROOT / "deploy/rbac.yaml"))
        account = cluster.plane.kubeconfig_of_token(ACCOUNT, token(ACCOUNT, ACCOUNT))
        patch.setenv("KUBECONFIG", str(account))
        yield cluster


def token(space: str, account: str) -> str:
    """Return a token of a service account."""
    path = f"/api/v1/namespaces/{space}/serviceaccounts/{account}/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = json.loads(kubectl("create", "--raw", path, "-f", "-", document=asked))
    return str(answer["status"]["token"])


@pytest.fixture(scope="session")
def shop(cluster: Cluster) -> Cluster:
    """Three databases of two containers on both nodes, and a neighbour beside one of them."""
    both = ("app", "log")
    label = {"app": "db"}
    apply(
        namespace("shop"),
        pod("db-0", "node-1", containers=both, labels={**label, "tier": "one"}),
        pod("db-1", "node-2", containers=both, labels=label, annotations={"team": "blue"}),
        pod("db-2", "node-2", containers=both, labels=label),
        pod("web-0", "node-1", labels={"app": "web"}),
    )
    await_ready("shop")
    return cluster


@pytest.fixture
def rehearse(shop: Cluster) -> Iterator[Rehearse]:
    """Start a rehearsal of a fault; afterwards all of them are stopped."""

    def start(name: str, **more: Any) -> dict[str, Any]:
        given = {"namespaces": ["shop"], "mode": "all", "duration": "2m", **more}
        return dict(actions.start_pod_injection(name, engine="none", dry_run=True, **given))

    yield start
    actions.stop_injection()


def fault(name: str, labels: dict[str, str], *, duration: float = 60) -> Fault:
    """Return a rehearsal for pods of the shop, as they are now."""
    chosen = {"namespaces": ["shop"], "labelSelectors": labels}
    return Fault(
        name=name,
        kind=Kind.SLAB,
        scope=access().scope(selected_by("all", "", [], chosen)),
        limits=Limits(duration=duration),
        dry_run=True,
        engine=EngineName.NONE,
    )


def impatient(**waits: float) -> ClusterBackend:
    """Return the cluster as a target that waits for less long than activities do."""
    reached = access()
    return ClusterBackend(reached.cluster, reached.settings, waits=Waits(**waits))


def found(name: str) -> dict[str, set[str]]:
    """Return which containers of which pods the agents of a fault have found.

    A pod that is meant with all its containers has `*`.
    """
    assert within(10, lambda: bool(probes.counters(name).get("pods")))
    return {
        each["pod"]: {_named(each["pod"], Path(group).name) for group in each["control_groups"]}
        for each in probes.counters(name)["pods"]
    }


def _named(name: str, group: str) -> str:
    """Return which container of a pod a control group is, as the cluster knows it."""
    space, _, plain = name.partition("/")
    document = get("pod", "-n", space, plain)
    if group == f"pod{document['metadata']['uid']}":
        return "*"
    names = {
        each["containerID"].rpartition("/")[2]: str(each["name"])
        for each in document["status"]["containerStatuses"]
    }
    return names.get(group, group)
