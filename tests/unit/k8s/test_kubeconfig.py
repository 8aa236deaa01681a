"""What the client makes of a kubeconfig, certificates, and addresses from the environment."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.errors import ClusterError, InvalidFault
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection, without_secrets
from tests.unit.k8s.api_server import Answer, Server
from tools.cluster import kubeconfig
from tools.cluster.certificates import Authority


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
        b"[\n" * 5000,
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
