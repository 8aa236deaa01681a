"""How a cluster is reached: as chaostoolkit-kubernetes reaches it."""

from __future__ import annotations

from pathlib import Path

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


def test_nothing_at_all_is_refused_in_one_line_with_what_to_set() -> None:
    with pytest.raises(InvalidFault, match=r"no /nowhere/config is there; set KUBECONFIG, or"):
        connection(None, NOWHERE)


def test_a_pod_knows_itself(tmp_path: Path) -> None:
    assert own_pod({"HOSTNAME": "chaos-1"}, tmp_path) is None
    (tmp_path / "namespace").write_text("faults")
    assert own_pod({"HOSTNAME": "chaos-1"}, tmp_path) == Self("faults", "chaos-1")
    assert own_pod({"HOSTNAME": "node", "POD_NAME": "chaos-2"}, tmp_path) == Self(
        "faults", "chaos-2"
    )
