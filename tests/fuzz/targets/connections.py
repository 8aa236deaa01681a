"""How a cluster is reached: kubeconfigs, and addresses from the environment."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from chaoskernel import errors
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection
from tests.fuzz import mutate
from tests.fuzz.target import Target, require

_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://user:s3cr3t@127.0.0.1:1/x"}}],
    "users": [{"name": "u", "user": {"token": "secret", "username": "a", "password": "b"}}],
}


def _try_kubeconfig(given: str, scratch: Path) -> None:
    file = scratch / "kubeconfig"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    with _no_password_told():
        ApiCluster(Connection(kubeconfig=str(file)))


_SERVERS = ("https://127.0.0.1:1 http://proxy:3128 key", "http://u:s3cr3t@[::1]:80/a?b#c")


def _try_server(given: str, _: Path) -> None:
    """Take an address, a proxy and a key from the environment."""
    host, proxy, key = [*given.split(" ", 2), "", ""][:3]
    with _no_password_told():
        ApiCluster(Connection(host=host, proxy=proxy, api_key=key))


@contextlib.contextmanager
def _no_password_told() -> Iterator[None]:
    """Check that a URL's password stays out of an error."""
    try:
        yield
    except errors.ChaosKernelError as error:
        require(":s3cr3t@" not in str(error), "a password is shown")
        raise


TARGETS = (
    Target(
        "kubeconfigs",
        2,
        mutate.documents(
            (_KUBECONFIG,),
            ("server", "https://x:99999", "proxy-url", "http://[::1", "token", "tls-server-name"),
        ),
        _try_kubeconfig,
        (json.dumps(_KUBECONFIG),),
        mutate.DEEP,
    ),
    Target(
        "servers",
        4,
        mutate.texts(
            _SERVERS,
            ("://", ":99999", ":0", "@", "user:s3cr3t@", "[", "]", "%zz", " ", "socks5://", "\\"),
        ),
        _try_server,
        _SERVERS,
        (
            "https://u:s3cr3t@h:99999",
            "https://u:s3cr3t@[::1",
            "https://h u:s3cr3t@proxy:99999",
            "https://h socks5://u:s3cr3t@h:1",
            "https://h http://u:s3cr3t@h:1\r\n",
            "https://" + "h" * 70_000,
            "u:s3cr3t@h",
        ),
    ),
)
