"""How a cluster is reached: the settings of chaostoolkit-kubernetes, and their order.

Both extensions share a configuration: the same keys of secrets, which come before the environment
variables of the same names.  A kubeconfig that is there comes before everything else, and a pod's
own account (CHAOSTOOLKIT_IN_POD) before KUBERNETES_HOST.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chaoskernel.errors import InvalidFault

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its account's token and namespace."""

IN_POD = "CHAOSTOOLKIT_IN_POD"

_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[^:/?#]*)(?::\d*(?=/|\Z))?(?:/[^:?#]*)?")
"""Host, port and path of a URL, as far as they are no more than that."""


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """Where the API server is, and who asks.

    Its repr, which a log or a traceback may show, has no URL (one may hold a password) and nothing
    of who asks.

    :param kubeconfig: a file, or a list of them as in PATH; everything but `context` is in it.
    :param context: of the kubeconfig; empty is its current one.
    :param in_pod: the pod's own account is used.
    :param host: a URL, where there is neither.
    :param verify_ssl: whether the server's certificate is checked at that host; of the others the
        configuration says.
    """

    kubeconfig: str = ""
    context: str = ""
    in_pod: bool = False
    host: str = dataclasses.field(default="", repr=False)
    verify_ssl: bool = False
    ca_cert_file: str = ""
    api_key: str = dataclasses.field(default="", repr=False)
    api_key_prefix: str = "Bearer"
    cert_file: str = ""
    key_file: str = ""
    username: str = dataclasses.field(default="", repr=False)
    password: str = dataclasses.field(default="", repr=False)
    proxy: str = dataclasses.field(default="", repr=False)
    no_proxy: str = ""


def without_secrets(url: str) -> str:
    """Return a URL, or what was meant to be one, without what may be a password or a token.

    That is everything up to the last @; a port that is no number and what follows it, which may be
    a password whose @ is missing; and a query.
    """
    scheme, mark, rest = url.partition("://")
    if not re.fullmatch(r"\w+", scheme) or not mark:
        scheme, mark, rest = "", "", url
    _, at, address = rest.rpartition("@")
    plain = _ADDRESS.match(address)
    assert plain, "the pattern also matches nothing"
    left_out = "…" if plain.end() < len(address) else ""
    return f"{scheme}{mark}{'…@' if at else ''}{plain[0]}{left_out}"


@dataclasses.dataclass(frozen=True, slots=True)
class Self:
    """The pod that this process runs in."""

    namespace: str
    name: str


def connection(
    secrets: Mapping[str, str] | None = None, environment: Mapping[str, str] = os.environ
) -> Connection:
    """Return how the cluster is reached.

    :raises InvalidFault: nothing says where it is, or the secrets are no object.
    """
    given = _object(secrets)

    def look_up(key: str, default: str = "") -> str:
        return str(given.get(key, environment.get(key, default)) or "")

    proxies: dict[str, Any] = {
        "proxy": environment.get("HTTP_PROXY", ""),
        "no_proxy": environment.get("NO_PROXY", ""),
    }
    files = _kubeconfigs(environment)
    # One that cannot be looked at is not there either.
    if there := [file for file in files if os.path.exists(file)]:  # noqa: PTH110
        return Connection(
            kubeconfig=os.pathsep.join(there), context=look_up("KUBERNETES_CONTEXT"), **proxies
        )
    if environment.get(IN_POD) == "true":
        return Connection(in_pod=True, **proxies)
    host = look_up("KUBERNETES_HOST")
    if not host:
        raise InvalidFault(
            "KUBERNETES_HOST",
            "",
            problem="missing",
            hint=f"no {' or '.join(files)} is there; set KUBECONFIG, or {IN_POD}=true in a pod of "
            "the cluster, or KUBERNETES_HOST and KUBERNETES_API_KEY as secrets",
        )
    return Connection(
        host=host,
        verify_ssl=bool(look_up("KUBERNETES_VERIFY_SSL")),
        ca_cert_file=look_up("KUBERNETES_CA_CERT_FILE"),
        **_identity(look_up),
        **proxies,
    )


def own_pod(environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Self | None:
    """Return the pod that this process runs in; nothing outside of a cluster.

    POD_NAMESPACE and POD_NAME say it where the host's name is not the pod's (hostNetwork).
    """
    try:
        namespace = (account / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    name = environment.get("POD_NAME") or environment.get("HOSTNAME", "")
    return Self(environment.get("POD_NAMESPACE") or namespace, name) if name else None


def _object(secrets: Any) -> Mapping[str, Any]:
    """Return the secrets; None is none.

    :raises InvalidFault: they are no object.
    """
    if secrets is None:
        return {}
    if not isinstance(secrets, Mapping):
        # Its type says enough: what it is may be secret.
        raise InvalidFault(
            "secrets", type(secrets).__name__, "an object", hint="write it as {…}, or leave it out"
        )
    return secrets


def _kubeconfigs(environment: Mapping[str, str]) -> list[str]:
    """Return the files that KUBECONFIG lists, as in PATH; where it is empty, the usual one."""
    listed = environment.get("KUBECONFIG", "").split(os.pathsep)
    named = [each for each in listed if each] or ["~/.kube/config"]
    # Of Path, it raises where there is no such home.
    return [os.path.expanduser(each) for each in named]  # noqa: PTH111


def _identity(look_up: Callable[..., str]) -> dict[str, Any]:
    """Return who asks: by a key, else by a certificate, else by name and password."""
    if key := look_up("KUBERNETES_API_KEY"):
        prefix = look_up("KUBERNETES_API_KEY_PREFIX", "Bearer")
        return {"api_key": key, "api_key_prefix": prefix}
    if certificate := look_up("KUBERNETES_CERT_FILE"):
        return {"cert_file": certificate, "key_file": look_up("KUBERNETES_KEY_FILE")}
    name = look_up("KUBERNETES_USERNAME")
    return {"username": name, "password": look_up("KUBERNETES_PASSWORD")} if name else {}
