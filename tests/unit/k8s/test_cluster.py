"""The client against a server that answers as an API server does: pages, streams, refusals."""

from __future__ import annotations

import gc
import json
import os
import shutil
import ssl
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from chaoskernel.errors import ClusterError, InvalidFault, NotPermitted
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.client import raised
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection, without_secrets
from chaoskernel.k8s.job import Owner, Settings, job
from tests.unit.k8s.api_server import Answer, Make, Server, a_pod, refusal
from tools.cluster import kubeconfig
from tools.cluster.certificates import Authority


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


def config_of(server: str = "{server: 'http://h'}", user: str = "{}") -> str:
    return (
        f"apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {server}}}]\n"
        f"users: [{{name: u, user: {user}}}]\ncurrent-context: a\n"
        "contexts: [{name: a, context: {cluster: a, user: u}}]\n"
    )


def test_a_context_that_the_kubeconfig_has_not(tmp_path: Any) -> None:
    file = tmp_path / "config"
    file.write_text(config_of())
    ApiCluster(Connection(kubeconfig=str(file)))
    with pytest.raises(InvalidFault, match="KUBERNETES_CONTEXT: 'b' is not usable"):
        ApiCluster(Connection(kubeconfig=str(file), context="b"))


def test_certificates_are_read_once_for_all_connections(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates")
    own, client = authority.issue("server", hosts=["127.0.0.1"]), authority.issue("u")
    identity = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=authority.pair.certificate
    )
    identity.verify_mode = ssl.CERT_REQUIRED
    identity.load_cert_chain(own.certificate, own.key)
    both = threading.Barrier(2, timeout=10)

    def answer(*_: object) -> Answer:
        both.wait()  # so that there have to be two connections
        return 200, {"items": []}

    server = Server(answer, identity)
    file = tmp_path / "config"
    kubeconfig.of_certificate(file, server.url, authority.pair.certificate, client)
    cluster = ApiCluster(Connection(kubeconfig=str(file)))
    shutil.rmtree(tmp_path / "certificates")
    try:
        other = threading.Thread(target=lambda: list(cluster.nodes()))
        other.start()
        assert list(cluster.nodes()) == []
        other.join()
    finally:
        server.close()
    assert len(server.asked) == 2


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_server_that_another_authority_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    known, other = Authority(tmp_path / "known"), Authority(tmp_path / "other")
    own = other.issue("server", hosts=["127.0.0.1"])
    identity = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.load_cert_chain(own.certificate, own.key)
    server = Server(lambda *_: (200, {"items": []}), identity)
    try:
        ca = str(known.pair.certificate)
        checked = Connection(host=server.url, verify_ssl=True, ca_cert_file=ca, api_key="k")
        with pytest.raises(ClusterError, match="certificate verify failed"):
            list(ApiCluster(checked).nodes())
        unchecked = Connection(host=server.url, api_key="k")
        assert list(ApiCluster(unchecked).nodes()) == []
    finally:
        server.close()


def test_a_wrong_certificate_is_reported_before_the_first_request(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    with pytest.raises(InvalidFault, match="KUBERNETES_HOST: 'https://h' is not usable"):
        ApiCluster(Connection(host="https://h", verify_ssl=True, ca_cert_file=str(file)))


def refused(given: Connection) -> str:
    """Return the one line that a connection is refused with."""
    with pytest.raises(InvalidFault) as caught:
        ApiCluster(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"a: [",
        b"[]",
        b"plain text",
        b"\xff\xfe\xfa",
        b"[" * 5000,
        b"contexts: 5",
        config_of(server="{server: 5}").encode(),
        config_of(user="5").encode(),
        config_of(user="{username: 5, password: 6}").encode(),
    ],
)
def test_a_file_that_is_no_kubeconfig(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    for context in ("", "a"):
        line = refused(Connection(kubeconfig=str(file), context=context))
        assert line.startswith("KUBECONFIG: ")
        assert " is not usable: it is no kubeconfig" in line


def test_a_yaml_error_reports_its_line(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("a: 1\nb: ]\n")
    assert "it is no kubeconfig, see line 2;" in refused(Connection(kubeconfig=str(file)))


@pytest.mark.parametrize("content", [b"[" + b"[],[]," * 170_000 + b"]", b" " * ((16 << 20) + 1)])
def test_a_kubeconfig_that_is_too_much_is_refused_at_once(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_bytes(content)
    before = time.process_time()
    assert " is not usable: it is no kubeconfig" in refused(Connection(kubeconfig=str(file)))
    assert time.process_time() - before < 2


def test_kubeconfigs_of_a_list_are_put_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("apiVersion: v1\nkind: Config\n")
    second.write_text(config_of())
    ApiCluster(Connection(kubeconfig=os.pathsep.join([str(first), str(second)])))


@pytest.mark.parametrize(
    "server",
    ["abc", "abc:6443", " ", "ftp://h", "http://", "http://a b", "http://[x", "https://h:99999"],
)
@pytest.mark.filterwarnings("error")
def test_a_server_that_is_no_url(server: str) -> None:
    line = f"KUBERNETES_HOST: '{server}' is not the URL of an API server; write https://host:port"
    assert refused(Connection(host=server)) == line


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("https://u:hunter2@h:99999", "https://…@h:99999"),
        ("https://u:hunter2@h@i:99999", "https://…@i:99999"),
        ("https://u:p://hunter2@h:0", "https://…@h:0"),
        ("https://u:hunter2", "https://u…"),
        ("https://u:2hunter2", "https://u…"),
        ("https://u:hunter2%40h:6443", "https://u…"),
        ("https://u:hunter2\n@h:99999", "https://…@h:99999"),
        ("https://u:hunter2＠h", "https://u…"),
        ("https:/u:hunter2@h", "…@h"),
        ("https:/u:hunter2", "https:/u…"),
        ("u:hunter2@h", "…@h"),
        ("u:hunter2://h", "u…"),
        ("https://h:99999?token=hunter2", "https://h…"),
        ("https://h/a/b:hunter2", None),
        ("https://[fd00::1]:99999/x#hunter2", "https://[fd00::1]:99999/x…"),
        ("https://[fd00::1]:hunter2", "https://[fd00::1]…"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_password_in_a_server_that_is_no_url_is_not_shown(
    server: str, shown: str | None, tmp_path: Path
) -> None:
    assert "hunter2" not in without_secrets(server)
    if shown is None:  # it is a URL
        return
    assert without_secrets(server) == shown
    line = refused(Connection(host=server))
    assert (
        line
        == f"KUBERNETES_HOST: '{shown}' is not the URL of an API server; write https://host:port"
    )
    file = tmp_path / "config"
    file.write_text(config_of(f"{{server: {json.dumps(server)}}}"))
    assert "hunter2" not in refused(Connection(kubeconfig=str(file)))


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_password_in_a_server_that_is_one_is_not_shown_either(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text("no certificate")
    url = "https://u:hunter2@127.0.0.1:1"
    line = refused(Connection(host=url, verify_ssl=True, ca_cert_file=str(file)))
    assert line.startswith("KUBERNETES_HOST: 'https://…@127.0.0.1:1' is not usable")
    with pytest.raises(ClusterError) as caught:
        list(ApiCluster(Connection(host=url)).nodes())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("part", ["clusters", "users", "contexts"])
def test_a_part_of_another_form_is_not_shown(part: str, tmp_path: Path) -> None:
    document: dict[str, Any] = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://h"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    document[part] = [{"name": document[part][0]["name"], "other": {"token": "hunter2"}}]
    file = tmp_path / "config"
    file.write_text(json.dumps(document))
    assert "hunter2" not in refused(Connection(kubeconfig=str(file)))


def test_a_password_where_a_name_should_stand_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "config"
    context = {"name": "c", "context": {"cluster": "https://u:hunter2@h/x", "user": "u"}}
    document = {"current-context": "c", "contexts": [context], "clusters": [], "users": []}
    file.write_text(json.dumps(document))
    line = refused(Connection(kubeconfig=str(file)))
    assert "https://…@h/x" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("server", ["{}", "{server: ''}", "{server: abc}"])
@pytest.mark.filterwarnings("error")
def test_a_kubeconfig_whose_server_is_no_url(server: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(config_of(server))
    line = refused(Connection(kubeconfig=str(file)))
    assert line.startswith(f"server in {file}: '")
    assert line.endswith("' is not the URL of an API server; write https://host:port")


def test_a_pods_own_account_outside_of_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    line = refused(Connection(in_pod=True))
    assert line.startswith("CHAOSTOOLKIT_IN_POD: 'true' is not usable: Service host")


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("abc", "abc"),
        ("http://", "http://"),
        ("http://h:x", "http://h…"),
        ("ftp://u:hunter2@h", "ftp://…@h"),
        ("u:hunter2@h", "…@h"),
    ],
)
def test_a_proxy_that_is_no_url(
    proxy: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    line = f"HTTP_PROXY: '{shown}' is not the URL of a proxy; write http://host:port"
    assert refused(Connection(host="https://h", proxy=proxy)) == line
    file = tmp_path / "config"
    file.write_text(config_of(server=f"{{server: 'http://h', proxy-url: '{proxy}'}}"))
    assert refused(Connection(kubeconfig=str(file))).startswith(f"proxy-url in {file}: '{shown}'")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    file.write_text(config_of(server="{server: 'https://h'}"))
    assert refused(Connection(kubeconfig=str(file))).startswith(f"HTTPS_PROXY: '{shown}' is not")


def test_a_proxy_that_is_not_used_may_be_any() -> None:
    ApiCluster(Connection(host="https://h", proxy="abc", no_proxy="h"))
