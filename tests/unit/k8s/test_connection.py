"""How a cluster is reached: as chaostoolkit-kubernetes reaches it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.k8s.connection import Connection, Self, connection, own_pod

NOWHERE = {"KUBECONFIG": "/nowhere/config"}


def test_a_kubeconfig_comes_first_with_the_context_of_secrets_before_the_environments(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config"
    file.touch()
    environment = {
        "KUBECONFIG": str(file),
        "KUBERNETES_CONTEXT": "a",
        "CHAOSTOOLKIT_IN_POD": "true",
    }
    assert connection({}, environment) == Connection(kubeconfig=str(file), context="a")
    assert connection({"KUBERNETES_CONTEXT": "b"}, environment).context == "b"


def test_a_pods_own_account_comes_next() -> None:
    environment = {**NOWHERE, "CHAOSTOOLKIT_IN_POD": "true", "KUBERNETES_HOST": "https://h"}
    assert connection(None, environment) == Connection(in_pod=True)


def test_a_host_with_a_key_of_the_secrets() -> None:
    secrets = {"KUBERNETES_HOST": "https://h", "KUBERNETES_API_KEY": "k"}
    found = connection(secrets, {**NOWHERE, "HTTP_PROXY": "http://p", "NO_PROXY": "local"})
    assert found == Connection(host="https://h", api_key="k", proxy="http://p", no_proxy="local")
    assert "'k'" not in repr(found)


def test_who_asks_is_a_key_else_a_certificate_else_a_name() -> None:
    given = {
        "KUBERNETES_HOST": "https://h",
        "KUBERNETES_VERIFY_SSL": "true",
        "KUBERNETES_CA_CERT_FILE": "/ca",
        "KUBERNETES_USERNAME": "u",
        "KUBERNETES_PASSWORD": "p",
    }
    by_name = connection(given, NOWHERE)
    assert (by_name.username, by_name.password, by_name.verify_ssl) == ("u", "p", True)
    by_file = connection(
        {**given, "KUBERNETES_CERT_FILE": "/c", "KUBERNETES_KEY_FILE": "/k"}, NOWHERE
    )
    assert (by_file.cert_file, by_file.key_file, by_file.username) == ("/c", "/k", "")
    by_key = connection(
        {**given, "KUBERNETES_API_KEY": "k", "KUBERNETES_API_KEY_PREFIX": "Boom"}, NOWHERE
    )
    assert (by_key.api_key_prefix, by_key.username) == ("Boom", "")


def test_a_connection_shows_nobody_who_asks_or_how() -> None:
    given = Connection(
        host="https://user:hunter2@h",
        proxy="http://user:hunter2@p",
        username="user",
        password="hunter2",
        api_key="hunter2",
        ca_cert_file="/ca",
    )
    for text in (repr(given), str(given), f"{given}"):
        assert "user" not in text
        assert "hunter2" not in text
        assert "/ca" in text


def test_nothing_at_all_is_refused_in_one_line_with_what_to_set() -> None:
    with pytest.raises(InvalidFault, match=r"no /nowhere/config is there; set KUBECONFIG, or"):
        connection(None, NOWHERE)


def test_a_list_of_kubeconfigs_is_taken_without_those_that_are_not_there(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("a", "b", "c")]
    for file in files[::2]:
        Path(file).touch()
    found = connection(None, {"KUBECONFIG": os.pathsep.join(["", *files])})
    assert found.kubeconfig == os.pathsep.join(files[::2])
    with pytest.raises(InvalidFault, match="no /nowhere/a or /nowhere/b is there"):
        connection(None, {"KUBECONFIG": os.pathsep.join(["/nowhere/a", "/nowhere/b"])})


@pytest.mark.parametrize("empty", ["", os.pathsep])
def test_an_empty_kubeconfig_is_none(
    empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidFault, match=rf"no {tmp_path}/\.kube/config is there"):
        connection(None, {"KUBECONFIG": empty})


@pytest.mark.parametrize("file", ["~no-such-user/config", "/nowhere/" + "x" * 300])
def test_a_kubeconfig_that_cannot_be_is_not_there(file: str) -> None:
    with pytest.raises(InvalidFault, match=f"no {file} is there"):
        connection(None, {"KUBECONFIG": file})


@pytest.mark.parametrize("secrets", [5, 0, "hunter2", "", [1], []])
def test_secrets_that_are_no_object_are_refused_and_not_shown(secrets: Any) -> None:
    with pytest.raises(InvalidFault, match="secrets: '(int|str|list)' is not an object") as caught:
        connection(secrets, {"KUBERNETES_HOST": "https://h"})
    assert "hunter2" not in str(caught.value)


def test_a_pod_knows_itself(tmp_path: Path) -> None:
    assert own_pod({"HOSTNAME": "chaos-1"}, tmp_path) is None
    (tmp_path / "namespace").write_text("faults")
    assert own_pod({"HOSTNAME": "chaos-1"}, tmp_path) == Self("faults", "chaos-1")
    assert own_pod({"HOSTNAME": "node", "POD_NAME": "chaos-2"}, tmp_path) == Self(
        "faults", "chaos-2"
    )
