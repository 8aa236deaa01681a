"""The API server: the only module that imports kubernetes, and it does so when it is used.

Answers are documents, and not the client's classes: those of five thousand pods take
more memory and time than all the rest.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from chaoskernel.errors import ClusterError, InvalidFault
from chaoskernel.k8s.connection import IN_POD, Connection, without_secrets
from chaoskernel.k8s.refusal import error_of

PAGE = 100
"""Objects of one answer: while it is read, a page of 500 pods takes 10 MB."""

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0
_CONNECTIONS = 1024
"""Kept open at most: a log is followed on each node at the same time."""

# What the client comes upon, without a look, in a document of another form.
_OF_ANOTHER_FORM = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
_SERVER = re.compile(r"https?://\S+", re.IGNORECASE)

Document = dict[str, Any]


class ApiCluster:
    """A cluster by its API server.  Every method may be called from any thread.

    :raises InvalidFault: what the connection names is not there, or something else.
    """

    def __init__(self, given: Connection) -> None:
        from kubernetes import client  # noqa: PLC0415 - see the module's text

        api = _client(given)
        try:
            _share_certificates(api)
        except (OSError, ValueError) as error:
            raise _unusable(given, str(error)) from error
        self._source = _source(given)
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)

    def pods(self, namespace: str, labels: str = "") -> Iterator[Document]:
        """Yield the pods of a namespace.

        :param labels: a label selector, which the server applies.
        """
        ask = self._core.list_namespaced_pod
        yield from self._pages(f"list pods of {namespace}", ask, namespace, label_selector=labels)

    def pod(self, namespace: str, name: str) -> Document:
        """Return a pod."""
        return self._asked(f"get pod {name}", self._core.read_namespaced_pod, name, namespace)

    def nodes(self) -> Iterator[Document]:
        """Yield the nodes."""
        yield from self._pages("list nodes", self._core.list_node)

    def jobs(self, namespace: str, labels: str) -> Iterator[Document]:
        """Yield the Jobs of a namespace that have these labels."""
        ask = self._batch.list_namespaced_job
        yield from self._pages(f"list Jobs of {namespace}", ask, namespace, label_selector=labels)

    def warnings(self, namespace: str) -> Iterator[Document]:
        """Yield the events that warn of Jobs."""
        yield from self._pages(
            f"list events of {namespace}",
            self._core.list_namespaced_event,
            namespace,
            field_selector="involvedObject.kind=Job,type=Warning",
        )

    def create_job(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create a Job."""
        self._asked("create a Job", self._batch.create_namespaced_job, namespace, manifest)

    def delete_job(self, namespace: str, name: str) -> None:
        """Delete a Job and its pod; one that is not there is no error."""
        with _absent_is_well():
            self._asked(
                f"delete Job {name}",
                self._batch.delete_namespaced_job,
                name,
                namespace,
                propagation_policy="Background",
            )

    def delete_jobs(self, namespace: str, labels: str) -> None:
        """Delete the Jobs that have these labels, and their pods, by one request.

        The server deletes one after the other, and stops at the first that it cannot.
        """
        answer = self._opened(
            f"delete Jobs of {namespace}",
            self._batch.delete_collection_namespaced_job,
            namespace,
            label_selector=labels,
            propagation_policy="Background",
            _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
        )
        with _errors(f"delete Jobs of {namespace}", self._source):
            answer.drain_conn()  # what was deleted, in full

    def watch_pods(
        self, namespace: str, labels: str, over: threading.Event
    ) -> Iterator[tuple[str, Document]]:
        """Yield what becomes of pods: ADDED, MODIFIED or DELETED, and the pod.

        It starts with those that are there, and does so again after an interruption.

        :param over: ends it, within the time that one answer of the server lasts.
        :raises NotPermitted: watching is not allowed.
        """
        while not over.is_set():
            with _interruption_is_well(over):
                stream = self._opened(
                    f"watch pods of {namespace}",
                    self._core.list_namespaced_pod,
                    namespace,
                    label_selector=labels,
                    watch=True,
                    timeout_seconds=_WATCH_SECONDS,
                    _request_timeout=(_CONNECT_SECONDS, _WATCH_SECONDS + _READ_SECONDS),
                )
                for line in _lines(stream, over):
                    event = json.loads(line)
                    if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
                        yield event["type"], event["object"]

    def log(self, namespace: str, pod: str, container: str, over: threading.Event) -> Iterator[str]:
        """Yield the lines of a container's log, as they are written, until it ends.

        The stream is held open while the pod is deleted: what it says last is in it.

        :raises ClusterError: there is no such pod, or no log yet.
        """
        stream = self._opened(
            f"read the log of pod {pod}",
            self._core.read_namespaced_pod_log,
            pod,
            namespace,
            container=container,
            follow=True,
            # An agent says something more often: a connection that is dead is made anew.
            _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
        )
        yield from _lines(stream, over)

    def _pages(
        self, what: str, ask: Callable[..., Any], *arguments: Any, **details: Any
    ) -> Iterator[Any]:
        """Yield the items of a list, page by page."""
        details = {key: value for key, value in details.items() if value}
        more: dict[str, Any] = {}
        while True:
            with _collector_paused():
                page = self._asked(what, ask, *arguments, limit=PAGE, **details, **more)
            # A page is let go before the next is asked for.
            yield from page.pop("items", None) or []
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            more = {"_continue": token}

    def _asked(
        self, what: str, ask: Callable[..., Any], *arguments: Any, **details: Any
    ) -> Document:
        with _errors(what, self._source):
            limit = (_CONNECT_SECONDS, _READ_SECONDS)
            answer = ask(*arguments, **details, _preload_content=False, _request_timeout=limit)
            _check(answer, what)
            found = json.loads(answer.data)
            return found if isinstance(found, dict) else {}

    def _opened(self, what: str, ask: Callable[..., Any], *arguments: Any, **details: Any) -> Any:
        with _errors(what, self._source):
            answer = ask(*arguments, **details, _preload_content=False)
            _check(answer, what)
            return answer


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


def _source(given: Connection) -> str:
    """Return the variable that names the server."""
    if given.in_pod:
        return "KUBERNETES_SERVICE_HOST"
    return "KUBERNETES_HOST" if given.host else "KUBECONFIG"


def _check_server(given: Connection, server: str) -> None:
    """Check the address of a server: the client takes any, and asks some other server.

    :raises InvalidFault: it is no URL of HTTP.
    """
    if not _is_url(server):
        key = f"server in {given.kubeconfig}" if given.kubeconfig else _source(given)
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
    else:
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


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Look for no cycles meanwhile: documents have none, and it takes as long as to read them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check(answer: Any, what: str) -> None:
    """Raise what the client does not: it leaves raw answers alone."""
    if not 200 <= answer.status < 300:
        body = answer.data
        answer.close()
        raise error_of(answer.status, body.decode(errors="replace"), what)


@contextlib.contextmanager
def _errors(what: str, source: str) -> Iterator[None]:
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
        raise error_of(error.status or 0, text, what) from error
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


def _lines(stream: Any, over: threading.Event) -> Iterator[str]:
    """Yield the lines of an answer as they come; one that breaks off ends."""
    from kubernetes.watch.watch import iter_resp_lines  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        with contextlib.suppress(HTTPError, OSError, ValueError):
            for line in iter_resp_lines(stream):
                if over.is_set():
                    return
                if line:
                    yield line
    finally:
        with contextlib.suppress(HTTPError, OSError):
            stream.close()
            stream.release_conn()


@contextlib.contextmanager
def _absent_is_well() -> Iterator[None]:
    try:
        yield
    except ClusterError as error:
        if error.status != 404:
            raise


@contextlib.contextmanager
def _interruption_is_well(over: threading.Event) -> Iterator[None]:
    """Wait a moment after an error that may pass; a missing right does not."""
    try:
        yield
    except ClusterError as error:
        if error.status and error.status < 500 and error.status not in (410, 429):
            raise
    over.wait(_RETRY_SECONDS)
