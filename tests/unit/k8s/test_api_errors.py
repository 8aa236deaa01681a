"""What the API server's refusals become: one line that says what is missing."""

from __future__ import annotations

import json

import pytest

from chaoskernel.errors import ClusterError, NotPermitted
from chaoskernel.k8s.api_errors import error_of, pod_trouble


def status(message: str) -> str:
    return json.dumps({"kind": "Status", "message": message})


def test_a_right_that_is_missing_is_named() -> None:
    body = status(
        'jobs.batch is forbidden: User "system:serviceaccount:c:x" cannot create resource "jobs" '
        'in API group "batch" in the namespace "chaoskernel"'
    )
    error = error_of(403, body, "create a Job")
    assert isinstance(error, NotPermitted)
    assert str(error) == (
        "system:serviceaccount:c:x may not create jobs.batch in namespace chaoskernel; grant the "
        "verb create on jobs.batch; deploy/rbac.yaml has every right that is needed"
    )


def test_a_right_in_the_whole_cluster_is_named() -> None:
    body = status(
        'nodes is forbidden: User "u" cannot list resource "nodes" in API group "" '
        "at the cluster scope"
    )
    assert "u may not list nodes in the cluster" in str(error_of(403, body, "list nodes"))


def test_what_admission_refuses_is_no_matter_of_rights() -> None:
    body = status('jobs.batch "x" is forbidden: exceeded quota: few')
    error = error_of(403, body, "create a Job")
    assert isinstance(error, ClusterError)
    assert str(error) == (
        'the cluster refused to create a Job: jobs.batch "x" is forbidden: exceeded quota: few'
    )


@pytest.mark.parametrize(
    ("code", "body", "said"),
    [
        (401, status("Unauthorized"), "does not know who asks"),
        (404, status('namespaces "chaoskernel" not found'), "there is no namespace chaoskernel"),
        (500, "<html>", "<html>"),
        (503, "", "HTTP status 503"),
    ],
)
def test_other_refusals(code: int, body: str, said: str) -> None:
    assert said in str(error_of(code, body, "list pods"))


def test_a_pod_that_is_well_has_no_trouble() -> None:
    assert pod_trouble({"status": {"phase": "Pending"}}) == ""
    assert pod_trouble({"status": {"phase": "Running", "containerStatuses": None}}) == ""


def test_a_pod_that_its_node_refuses() -> None:
    failed = {"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}}
    assert pod_trouble(failed) == "Evicted: low on memory"


@pytest.mark.parametrize("body", ["no \x1b[2J\x9b1m\r\n\u202e", status("no \x1b[2J\x9b")])
def test_what_a_terminal_would_obey_is_not_in_a_refusal(body: str) -> None:
    said = str(error_of(500, body, "create a Job"))
    assert said.isprintable()
    assert said.startswith("the cluster refused to create a Job: no [2J")


def test_what_a_terminal_would_obey_is_not_in_the_trouble_of_a_pod() -> None:
    pod = {"status": {"phase": "Failed", "message": "a\x1b[2Jb", "reason": "x" * 9999}}
    assert pod_trouble(pod).isprintable()
    assert len(pod_trouble(pod)) <= 500
