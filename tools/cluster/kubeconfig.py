"""The file by which a client knows a cluster and proves who it is."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tools.cluster.certificates import Pair


def of_certificate(path: Path, url: str, authority: Path, pair: Pair) -> Path:
    """Write a kubeconfig for a client that has a certificate.

    :param url: of the API server.
    :param authority: the certificate that signed the server's.
    """
    user = {
        "client-certificate-data": _data(pair.certificate),
        "client-key-data": _data(pair.key),
    }
    return _write(path, url, authority, user)


def of_token(path: Path, url: str, authority: Path, token: str) -> Path:
    """Write a kubeconfig for a client that has a token, as service accounts do."""
    return _write(path, url, authority, {"token": token})


def _write(path: Path, url: str, authority: Path, user: dict[str, Any]) -> Path:
    cluster = {"server": url, "certificate-authority-data": _data(authority)}
    context = {"cluster": "test", "user": "test"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    # Every JSON document is one of YAML.
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def _data(file: Path) -> str:
    """Return a file in the file: it can be taken to another machine."""
    return base64.b64encode(file.read_bytes()).decode("ascii")
