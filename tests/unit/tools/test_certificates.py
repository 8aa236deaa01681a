"""Certificates of a test cluster: signed by its authority, for who and where they say."""

from __future__ import annotations

import ipaddress
import json
import ssl
from base64 import b64decode
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from tools.cluster import kubeconfig
from tools.cluster.certificates import Authority, Pair


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_client_is_known_by_its_name_and_groups(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("system:node:node-1", groups=["system:nodes", "more"])
    found = read(pair.certificate)
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [name.value for name in names] == ["system:node:node-1"]
    assert [group.value for group in groups] == ["system:nodes", "more"]
    found.verify_directly_issued_by(read(authority.pair.certificate))
    assert pair.key.stat().st_mode & 0o777 == 0o600
    ssl.create_default_context().load_cert_chain(pair.certificate, pair.key)


def test_a_server_is_known_by_its_names_and_addresses(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("api", hosts=["localhost", "10.64.0.1"])
    names = read(pair.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.value.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.64.0.1")]


def test_a_kubeconfig_needs_no_other_file(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair: Pair = authority.issue("admin")
    path = kubeconfig.of_certificate(
        tmp_path / "config", "https://10.64.0.1:6443", authority.pair.certificate, pair
    )
    document = json.loads(path.read_text(encoding="utf-8"))
    (cluster,), (user,) = document["clusters"], document["users"]
    assert cluster["cluster"]["server"] == "https://10.64.0.1:6443"
    kept = cluster["cluster"]["certificate-authority-data"]
    assert b64decode(kept) == authority.pair.certificate.read_bytes()
    assert b64decode(user["user"]["client-key-data"]) == pair.key.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
