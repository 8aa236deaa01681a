"""The client of kubernetes, made from a connection.

Only this module imports it, and it does so when it is used.
"""

from __future__ import annotations

import contextlib
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaoskernel.chaosmesh.manifest.document import count_quickly
from chaoskernel.errors import ClusterError, InvalidFault
from chaoskernel.k8s.api_errors import error_of
from chaoskernel.k8s.connection import IN_POD, Connection, without_secrets

_MAX_KUBECONFIG = 16 << 20
"""Bytes of a kubeconfig: one of a thousand clusters with certificates has some 8 MB."""
_CONNECTIONS = 1024
"""Kept open at most: a log is followed on each node at the same time."""

# What the client comes upon, without a look, in a document of another form.
_OF_ANOTHER_FORM = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
_PASSWORD = re.compile(r"(\w+://)[^\s'\"]*@")
_SERVER = re.compile(r"https?://\S+", re.IGNORECASE)


def apis(given: Connection) -> tuple[Any, Any]:
    """Return the client's CoreV1Api and BatchV1Api of a cluster.

    :raises InvalidFault: what the connection names is not there, or something else.
    """
    from kubernetes import client  # noqa: PLC0415 - see the module's text

    api = _client(given)
    try:
        _share_certificates(api)
    except (OSError, ValueError) as error:
        raise _unusable(given, str(error)) from error
    return client.CoreV1Api(api), client.BatchV1Api(api)


@contextlib.contextmanager
def raised(what: str, source: str) -> Iterator[None]:
    """Raise the client's errors as this package's.

    :param source: what named the cluster.
    """
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the client's own transport

    try:
        yield
    except ApiException as error:
        body = error.body or error.reason or ""
        text = str(body, "utf-8", "replace") if isinstance(body, bytes) else str(body)
        raise error_of(error.status or 0, text, what, error.headers) from error
    except (HTTPError, OSError, ValueError) as error:
        raise ClusterError(
            f"the cluster could not be asked to {what}: {_reason(error)}",
            hint=f"is its API server up, and is it the one that {source} names?",
        ) from error


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", None)
    text = str(inner if isinstance(inner, BaseException) else error)
    if text.startswith("Invalid header value"):  # which comes next, and is secret
        return "the key or the token has a line break in it"
    return re.sub(r"//\S*@", "//…@", text)[:200]  # a URL may hold a password


def source_of(given: Connection) -> str:
    """Return the variable that names the server."""
    if given.in_pod:
        return "KUBERNETES_SERVICE_HOST"
    return "KUBERNETES_HOST" if given.host else "KUBECONFIG"


def _client(given: Connection) -> Any:
    from kubernetes import client  # noqa: PLC0415 - see the module's text
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - the client's own transport

    found = _configuration(given)
    try:
        api = client.ApiClient(found)
        proxy = api.rest_client.pool_manager.proxy
        if proxy and not proxy.host:
            raise ValueError("no host")
    except (HTTPError, ImportError, *_OF_ANOTHER_FORM) as error:
        raise _no_proxy(given, str(found.proxy), error) from error
    return api


def _configuration(given: Connection) -> Any:
    import yaml  # noqa: PLC0415 - the client's own reader
    from kubernetes import client, config  # noqa: PLC0415 - see the module's text

    found: Any = client.Configuration()
    found.host = ""  # not the client's own default, where a kubeconfig names no server
    try:
        if given.kubeconfig:
            _check_sizes(given.kubeconfig)
            config.load_kube_config(
                given.kubeconfig, context=given.context or None, client_configuration=found
            )
        elif given.in_pod:
            config.load_incluster_config(client_configuration=found)
        else:
            _check_server(given, given.host)  # the client has trouble already with taking it
            _direct(found, given)
    except (config.ConfigException, OSError) as error:
        raise _unusable(given, str(error)) from error
    except (yaml.YAMLError, *_OF_ANOTHER_FORM) as error:
        raise _malformed(given, error) from error
    _check_server(given, found.host)
    found.connection_pool_maxsize = _CONNECTIONS
    found.retries = False  # the target knows what may be asked again, and for how long
    if given.proxy:
        found.proxy = given.proxy
    if given.no_proxy:
        found.no_proxy = given.no_proxy
    return found


def _check_sizes(kubeconfig: str) -> None:
    """Refuse files that the client would read for seconds.

    :raises OSError: one cannot be read.
    :raises ValueError: one is too long, or not UTF-8.
    :raises yaml.YAMLError: one has too many values.
    """
    for name in kubeconfig.split(os.pathsep):
        with Path(name).open("rb") as file:
            content = file.read(_MAX_KUBECONFIG + 1)
        if len(content) > _MAX_KUBECONFIG:
            raise ValueError(f"more than {_MAX_KUBECONFIG} bytes")
        count_quickly(content.decode("utf-8"))


def _check_server(given: Connection, server: str) -> None:
    """Check the address of a server: the client takes any, and asks some other server.

    :raises InvalidFault: it is no URL of HTTP.
    """
    if not _is_url(server):
        key = f"server in {given.kubeconfig}" if given.kubeconfig else source_of(given)
        hint = "write https://host:port"
        shown = without_secrets(server) if isinstance(server, str) else server
        raise InvalidFault(key, shown, "the URL of an API server", hint=hint)


def _is_url(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return bool(_SERVER.fullmatch(text) and parts.hostname and parts.port != 0)
    except ValueError:
        return False


def _unusable(given: Connection, why: str) -> InvalidFault:
    # The client shows what is not as it should be: users with their tokens, or URLs for names.
    why = _PASSWORD.sub(r"\1…@", why.partition("{")[0])
    if given.host:
        hint = "KUBERNETES_CA_CERT_FILE, _CERT_FILE and _KEY_FILE name files in PEM"
        host = without_secrets(given.host)
        why = why.replace(given.host, host)
        return InvalidFault("KUBERNETES_HOST", host, f"usable: {why}", hint=hint)
    if given.in_pod:
        hint = "unset it outside of the cluster's pods, and set KUBECONFIG"
        return InvalidFault(IN_POD, "true", f"usable: {why}", hint=hint)
    key = "KUBERNETES_CONTEXT" if given.context else "KUBECONFIG"
    value = given.context or given.kubeconfig
    hint = "kubectl config get-contexts shows what there is"
    return InvalidFault(key, value, f"usable: {why}", hint=hint)


def _malformed(given: Connection, error: Exception) -> InvalidFault:
    """Return what is wrong with a document that could not be read as what it should be."""
    if not given.kubeconfig:
        return _unusable(given, str(error))
    mark = getattr(error, "problem_mark", None)  # of YAML
    where = f", see line {mark.line + 1}" if mark else ""
    return InvalidFault(
        "KUBECONFIG",
        given.kubeconfig,
        f"usable: it is no kubeconfig{where}",
        hint="kubectl config view says what is wrong with it",
    )


def _no_proxy(given: Connection, proxy: str, error: Exception) -> InvalidFault:
    """Return that a proxy is none, by what named it."""
    named = (key for key, value in os.environ.items() if value == proxy and "proxy" in key.lower())
    key = "HTTP_PROXY" if given.proxy else next(named, f"proxy-url in {given.kubeconfig}")
    missing = isinstance(error, ImportError)
    hint = "pip install PySocks" if missing else "write http://host:port"
    shown = without_secrets(proxy)
    return InvalidFault(key, shown, "usable here" if missing else "the URL of a proxy", hint=hint)


def _share_certificates(api: Any) -> None:
    """Have all connections share what certificates say: the client reads them anew for each.

    With a log to follow on each node that is half of the time and a quarter of the memory.

    :raises OSError: a certificate cannot be read.
    """
    from urllib3.util.ssl_ import create_urllib3_context  # noqa: PLC0415

    pool = api.rest_client.pool_manager.connection_pool_kw
    context = create_urllib3_context(cert_reqs=pool["cert_reqs"])
    authority, data = pool.pop("ca_certs", None), pool.pop("ca_cert_data", None)
    if authority or data:
        context.load_verify_locations(cafile=authority, cadata=data)
    elif api.configuration.proxy or not api.configuration.host.lower().startswith("http:"):
        context.load_default_certs()
    certificate, key = pool.pop("cert_file", None), pool.pop("key_file", None)
    if certificate:
        context.load_cert_chain(certificate, key)
    pool["ssl_context"] = context


def _direct(found: Any, given: Connection) -> None:
    found.host = given.host
    found.verify_ssl = given.verify_ssl
    found.ssl_ca_cert = given.ca_cert_file or None
    if given.api_key:
        found.api_key["authorization"] = given.api_key
        found.api_key_prefix["authorization"] = given.api_key_prefix
    elif given.cert_file:
        found.cert_file, found.key_file = given.cert_file, given.key_file or None
    elif given.username:
        found.username, found.password = given.username, given.password
