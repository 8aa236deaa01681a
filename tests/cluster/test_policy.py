"""deploy/policy.yaml on a real API server: agents are admitted, and other pods are not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chaoskernel import actions
from tests.cluster.conftest import ROOT, Rehearse
from tests.cluster.kubectl import ADMIN, apply, get, jobs, kubectl, pod
from tests.waiting import within
from tools.cluster.cluster import Cluster

DOCUMENTS: list[dict[str, Any]] = [
    *yaml.safe_load_all((ROOT / "deploy/policy.yaml").read_text(encoding="utf-8"))
]
SPACE = "chaoskernel"
POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


@pytest.fixture
def policy(shop: Cluster) -> Iterator[None]:
    """The policy, in force."""
    if POLICIES not in kubectl("api-resources", "--output=name").split():
        pytest.skip("this API server has no ValidatingAdmissionPolicy: it is older than 1.30")
    apply(*DOCUMENTS)
    # It takes effect some time after it was made.
    assert within(30, lambda: "only one container" in refusal(pod("x", "node-1", space=SPACE)))
    yield
    document = {"apiVersion": "v1", "kind": "List", "items": DOCUMENTS}
    kubectl("delete", "-f", "-", document=document)


def refusal(document: dict[str, Any]) -> str:
    """Return why a pod is not admitted."""
    done = subprocess.run(
        ["kubectl", "--kubeconfig", os.environ[ADMIN], "create", "--dry-run=server", "-f", "-"],
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stderr


def test_agents_are_admitted_and_other_pods_are_not(policy: None, rehearse: Rehearse) -> None:
    rehearse("admitted", label_selectors={"app": "db"})
    assert len(jobs()) == 2
    other = pod("other", "node-1", space=SPACE)
    other["spec"]["containers"][0]["name"] = "agent"
    assert "only what the image runs, without command" in refusal(other)
    actions.stop_injection()


def test_the_network_is_denied_to_agents_also_where_there_is_no_admission_policy(
    shop: Cluster,
) -> None:
    (network,) = [document for document in DOCUMENTS if document["kind"] == "NetworkPolicy"]
    apply(network)
    try:
        made = get("networkpolicy", network["metadata"]["name"], "-n", SPACE)
        assert made["spec"] == network["spec"]
    finally:
        kubectl("delete", "networkpolicy", network["metadata"]["name"], "-n", SPACE)


def test_what_an_older_server_does_not_know_of_a_job_is_dropped_and_the_rest_is_kept(
    rehearse: Rehearse,
) -> None:
    rehearse("kept", label_selectors={"app": "db"})
    for document in get("pods", "-n", SPACE, "-l", "chaoskernel/fault=kept")["items"]:
        spec, (container,) = document["spec"], document["spec"]["containers"]
        assert document["status"]["qosClass"] == "Guaranteed"
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "cgroup"]
        assert mount["readOnly"] is True
        assert mount.get("recursiveReadOnly", "IfPossible") == "IfPossible"
        (tmp,) = [each for each in spec["volumes"] if each["name"] == "tmp"]
        assert tmp["emptyDir"] == {"sizeLimit": "16Mi"}
