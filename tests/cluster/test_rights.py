"""The rights of deploy/rbac.yaml: enough, as every test here shows, and each is needed."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions
from chaoskernel.errors import NotPermitted
from chaoskernel.k8s import leftovers
from chaoskernel.k8s.access import access
from chaoskernel.k8s.connection import ACCOUNT as MOUNTED
from tests.cluster import agents
from tests.cluster.conftest import ACCOUNT, ROOT, token
from tests.cluster.kubectl import apply, kubectl
from tests.waiting import within
from tools.cluster.cluster import Cluster

Rule = tuple[str, str, str]

DOCUMENTS: list[dict[str, Any]] = [
    *yaml.safe_load_all((ROOT / "deploy/rbac.yaml").read_text(encoding="utf-8"))
]
RULES: list[Rule] = [
    (document["kind"], rule["resources"][0], verb)
    for document in DOCUMENTS
    if "rules" in document
    for rule in document["rules"]
    for verb in rule["verbs"]
]


def start(space: str, **more: Any) -> None:
    """Start a rehearsal whose Jobs are in a namespace of their own."""
    given: dict[str, Any] = {"namespaces": ["shop"], "pods": {"shop": ["db-0"]}, **more}
    actions.start_pod_injection(
        "rights", engine="none", dry_run=True, mode="all", jobs_namespace=space, **given
    )


def delete(space: str) -> None:
    access(namespace=space).cluster.delete_job(space, "rights")


def look(space: str) -> None:
    leftovers.find(access(namespace=space).cluster, space)


def by_node_labels(space: str) -> None:
    labels = {"kubernetes.io/hostname": "node-1"}
    start(space, pods=None, label_selectors={"app": "db"}, node_selectors=labels)


def by_labels(space: str) -> None:
    start(space, pods=None, label_selectors={"app": "db"})


def against_a_quota(space: str) -> None:
    """Start where no pod can be made: only the cluster's events tell why."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "0"}}}
    apply({**quota, "metadata": {"name": "none", "namespace": space}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSKERNEL_START_SECONDS", "3")
        start(space)


OWN_PODS = ("Role", "pods", "list")

TRIES: dict[Rule, Callable[[str], None]] = {
    ("Role", "jobs", "create"): start,
    ("Role", "jobs", "delete"): delete,
    ("Role", "jobs", "list"): look,
    OWN_PODS: look,
    ("Role", "pods", "watch"): start,
    ("Role", "pods/log", "get"): start,
    ("Role", "events", "list"): against_a_quota,
    ("ClusterRole", "pods", "list"): by_labels,
    ("ClusterRole", "nodes", "list"): by_node_labels,
}
"""What comes upon the absence of each right; of the others, see the last two tests."""


@pytest.fixture
def space(request: pytest.FixtureRequest, shop: Cluster) -> Iterator[str]:
    """A namespace whose account has all the rights but one."""
    lacking: Rule = request.param
    name = f"rights-{RULES.index(lacking)}"
    apply(*(_without(lacking, document, name) for document in DOCUMENTS))
    file = shop.plane.kubeconfig_of_token(name, token(name, ACCOUNT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(file))
        yield name
    kubectl("delete", "jobs", "--all", "-n", name)
    assert within(30, lambda: not agents.running("rights"))


def _without(lacking: Rule, document: dict[str, Any], space: str) -> dict[str, Any]:
    """Return a document of rbac.yaml for another namespace, without a right."""
    made = copy.deepcopy(document)
    metadata = made["metadata"]
    if "namespace" in metadata:
        metadata["namespace"] = space
    else:
        metadata["name"] = space
    for subject in made.get("subjects", []):
        subject["namespace"] = space
    if made["kind"] == "ClusterRoleBinding":
        made["roleRef"]["name"] = space
        if lacking == OWN_PODS:
            # As the file's own text has it: else the right to all pods is one to these.
            made["kind"] = "RoleBinding"
            metadata["namespace"] = "shop"
    for rule in made.get("rules", []):
        if (made["kind"], rule["resources"][0]) == lacking[:2]:
            rule["verbs"].remove(lacking[2])
    if "rules" in made:
        made["rules"] = [rule for rule in made["rules"] if rule["verbs"]]
    return made


def test_each_rule_has_what_needs_it() -> None:
    costs = {("Role", "pods", "get"), ("Role", "jobs", "deletecollection")}
    assert set(RULES) == {*TRIES, *costs}


@pytest.mark.parametrize(
    ("space", "rule"), [(rule, rule) for rule in TRIES], indirect=["space"], ids="-".join
)
def test_a_right_that_is_missing_is_named_in_one_line(space: str, rule: Rule) -> None:
    kind, resource, verb = rule
    with pytest.raises((ActivityFailed, NotPermitted)) as caught:
        TRIES[rule](space)
    said = str(caught.value)
    name = f"{resource}.batch" if resource == "jobs" else resource
    where = f"in namespace {space}" if kind == "Role" else "in the cluster"
    if rule == ("ClusterRole", "pods", "list"):
        where = "in namespace shop"
    account = f"system:serviceaccount:{space}:{ACCOUNT}"
    assert f"{account} may not {verb} {name} {where}" in said
    assert f"grant the verb {verb} on {name}; deploy/rbac.yaml" in said
    assert "\n" not in said


@pytest.mark.parametrize("space", [("Role", "pods", "get")], indirect=True, ids="-".join)
def test_without_the_right_to_see_its_own_pod_a_run_inside_says_what_that_costs(
    space: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # What a kubelet mounts into a pod; /run is that of the cluster's namespaces.
    MOUNTED.mkdir(parents=True)
    (MOUNTED / "namespace").write_text(space, encoding="utf-8")
    monkeypatch.setenv("HOSTNAME", "chaos")
    try:
        start(space)
    finally:
        shutil.rmtree(MOUNTED)
    (warning,) = caplog.messages
    assert warning.startswith("Jobs of faults will outlive this pod, until their deadline: ")
    assert f"may not get pods in namespace {space}; grant the verb get on pods" in warning
    actions.stop_pod_injection("rights")


@pytest.mark.parametrize(
    "space", [("Role", "jobs", "deletecollection")], indirect=True, ids="-".join
)
def test_without_the_right_to_delete_many_at_once_each_job_is_deleted_by_itself(
    space: str, caplog: pytest.LogCaptureFixture
) -> None:
    start(space)
    *_, stopped = actions.stop_pod_injection("rights")["faults"]  # of each namespace
    assert stopped["reason"] == "stop"
    (warning,) = caplog.messages
    assert warning.startswith("Jobs are deleted one by one: ")
    assert f"may not deletecollection jobs.batch in namespace {space}; grant the verb" in warning
