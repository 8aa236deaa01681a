"""The client against a server that answers as an API server does: pages, streams, refusals."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from chaoskernel.errors import ClusterError, NotPermitted
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.client import raised
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection
from chaoskernel.k8s.job import Owner, Settings, job
from tests.unit.k8s.api_server import Answer, Make, a_pod, refusal


def names(found: Iterable[dict[str, Any]]) -> list[str]:
    return [document["metadata"]["name"] for document in found]


def test_a_list_is_read_page_by_page_with_the_labels_and_the_key(serving: Make) -> None:
    def answer(_: str, path: str, query: dict[str, str]) -> Answer:
        if "continue" in query:
            return 200, {"items": [a_pod("2")], "metadata": {}}
        return 200, {"items": [a_pod("0"), a_pod("1")], "metadata": {"continue": "more"}}

    cluster, server = serving(answer)
    assert names(cluster.pods("shop", "app=db")) == ["0", "1", "2"]
    path, limit = "/api/v1/namespaces/shop/pods", {"limit": "100", "labelSelector": "app=db"}
    assert server.asked == [("GET", path, limit), ("GET", path, {**limit, "continue": "more"})]
    assert server.headers[0]["authorization"] == "Bearer secret"


def test_a_job_is_created_and_deleted_with_its_pod(serving: Make) -> None:
    cluster, server = serving(lambda *_: (200, {"kind": "Job"}))
    scope = Scope(pods=(PodScope("shop", "db-0", "1234abcd", "n"),))
    fault = Fault(name="x", kind=Kind.SLAB, scope=scope)
    owner = Owner("chaos", "u")
    manifest = job(Assignment(fault), "r", 0, Settings("c", "i"), start_seconds=9, owner=owner)
    cluster.create_job("c", manifest)
    cluster.delete_job("c", "j")
    assert server.bodies[0] == manifest
    method, path, query = server.asked[1]
    assert (method, path) == ("DELETE", "/apis/batch/v1/namespaces/c/jobs/j")
    assert query == {"propagationPolicy": "Background"}


def test_deleting_what_is_not_there_is_no_error(serving: Make) -> None:
    cluster, _ = serving(lambda *_: refusal(404, 'jobs.batch "j" not found'))
    cluster.delete_job("c", "j")
    with pytest.raises(ClusterError, match="not found"):
        cluster.create_job("c", {})


def test_jobs_are_deleted_by_their_labels_with_one_request(serving: Make) -> None:
    deleted = {"kind": "JobList", "items": [{"metadata": {"name": "j"}}] * 1000}
    cluster, server = serving(lambda *_: (200, deleted))
    cluster.delete_jobs("c", "a=b")
    cluster.delete_jobs("c", "a=d")
    selected = [query.pop("labelSelector") for *_, query in server.asked]
    path, query = "/apis/batch/v1/namespaces/c/jobs", {"propagationPolicy": "Background"}
    assert server.asked == [("DELETE", path, query)] * 2
    assert selected == ["a=b", "a=d"]


def test_a_missing_right_to_delete_many_jobs_is_named(serving: Make) -> None:
    message = 'User "u" cannot deletecollection resource "jobs" in API group "batch" in the '
    cluster, _ = serving(lambda *_: refusal(403, message + 'namespace "c"'))
    with pytest.raises(NotPermitted, match="u may not deletecollection jobs.batch in namespace c"):
        cluster.delete_jobs("c", "a=b")


def test_cycles_are_looked_for_again_after_a_list(serving: Make) -> None:
    cluster, _ = serving(lambda *_: (200, {"items": [a_pod("0")]}))
    assert gc.isenabled()
    assert [gc.isenabled() for _ in cluster.nodes()] == [True]
    refusing, _ = serving(lambda *_: refusal(500, "no"))
    with pytest.raises(ClusterError):
        list(refusing.nodes())
    assert gc.isenabled()


def test_a_missing_right_is_named(serving: Make) -> None:
    message = 'User "u" cannot list resource "nodes" in API group "" at the cluster scope'
    cluster, _ = serving(lambda *_: refusal(403, f"nodes is forbidden: {message}"))
    with pytest.raises(NotPermitted, match="u may not list nodes in the cluster; grant the verb"):
        list(cluster.nodes())


def test_a_refusal_is_read_from_the_bytes_that_older_clients_have_it_in() -> None:
    """Those before 34 do not decode it."""
    message = b'{"message": "User \\"u\\" cannot list resource \\"nodes\\" in API group \\"\\""}'
    refused = ApiException(status=403)
    refused.body = message
    with pytest.raises(NotPermitted, match="u may not list nodes"), raised("list nodes", "x"):
        raise refused


def test_a_server_that_is_not_there_is_reported_in_one_line() -> None:
    cluster = ApiCluster(Connection(host="http://127.0.0.1:1"))
    with pytest.raises(ClusterError, match="could not be asked to list nodes") as caught:
        list(cluster.nodes())
    assert "\n" not in str(caught.value)
    assert "KUBERNETES_HOST names" in str(caught.value)
    assert caught.value.status == 0


def test_a_key_with_a_line_break_is_reported_and_not_shown(serving: Make) -> None:
    _, server = serving(lambda *_: (200, {}))
    cluster = ApiCluster(Connection(host=server.url, api_key="hunter2\n"))
    with pytest.raises(ClusterError, match="the key or the token has a line break") as caught:
        list(cluster.nodes())
    assert "hunter2" not in str(caught.value)


def test_a_watch_yields_pods_and_goes_on_after_an_interruption(serving: Make) -> None:
    over = threading.Event()
    answers: list[Answer] = [
        (200, [json.dumps({"type": "ADDED", "object": a_pod("0")})]),
        refusal(503, "starting"),
        (
            200,
            [
                json.dumps({"type": "ERROR", "object": {"code": 410}}),
                json.dumps({"type": "DELETED", "object": a_pod("1")}),
            ],
        ),
    ]
    cluster, server = serving(lambda *_: answers.pop(0))
    seen = []
    for kind, document in cluster.watch_pods("c", "a=b", over):
        if kind != "ERROR":
            seen.append((kind, document["metadata"]["name"]))
        if kind == "DELETED":
            break
    assert seen == [("ADDED", "0"), ("DELETED", "1")]
    _, path, query = server.asked[0]
    assert path == "/api/v1/namespaces/c/pods"
    assert (query["watch"].lower(), query["labelSelector"]) == ("true", "a=b")


def test_a_watch_that_is_not_allowed_ends(serving: Make) -> None:
    message = 'User "u" cannot watch resource "pods" in API group "" in the namespace "c"'
    cluster, _ = serving(lambda *_: refusal(403, message))
    with pytest.raises(NotPermitted, match="u may not watch pods in namespace c"):
        next(cluster.watch_pods("c", "a=b", threading.Event()))


def test_a_log_is_followed_line_by_line(serving: Make) -> None:
    cluster, server = serving(lambda *_: (200, ['{"type":"armed"}', '{"type":"disarmed"}']))
    lines = list(cluster.log("c", "p", "agent", threading.Event()))
    assert lines == ['{"type":"armed"}', '{"type":"disarmed"}']
    _, path, query = server.asked[0]
    assert path == "/api/v1/namespaces/c/pods/p/log"
    assert (query["container"], query["follow"].lower()) == ("agent", "true")


def test_a_log_of_a_pod_that_is_gone(serving: Make) -> None:
    cluster, _ = serving(lambda *_: refusal(404, 'pods "p" not found'))
    with pytest.raises(ClusterError) as caught:
        list(cluster.log("c", "p", "agent", threading.Event()))
    assert caught.value.status == 404


def test_warnings_are_those_of_jobs(serving: Make) -> None:
    cluster, server = serving(lambda *_: (200, {"items": []}))
    assert list(cluster.warnings("c")) == []
    assert server.asked[0][2]["fieldSelector"] == "involvedObject.kind=Job,type=Warning"
