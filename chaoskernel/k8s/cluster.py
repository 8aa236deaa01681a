"""The API server: the only module that imports kubernetes, and it does so when it is used.

Answers are documents, and not the client's classes: those of five thousand pods take
more memory and time than all the rest.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chaoskernel.backend.launch import start_seconds
from chaoskernel.chaosmesh.manifest.document import count_quickly
from chaoskernel.errors import ClusterError, InvalidFault
from chaoskernel.k8s import forms, streams
from chaoskernel.k8s.api_errors import error_of, plain
from chaoskernel.k8s.asking import CONNECT_SECONDS, READ_SECONDS, Requests, decoded, fitting
from chaoskernel.k8s.connection import IN_POD, Connection, without_secrets
from chaoskernel.k8s.retry import Patience

_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0
_MAX_KUBECONFIG = 16 << 20
"""Bytes of a kubeconfig: one of a thousand clusters with certificates has some 8 MB."""
_CONNECTIONS = 1024
"""Kept open at most: a log is followed on each node at the same time."""

# What the client comes upon, without a look, in a document of another form.
_OF_ANOTHER_FORM = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
_PASSWORD = re.compile(r"(\w+://)[^\s'\"]*@")
_SERVER = re.compile(r"https?://\S+", re.IGNORECASE)

Document = dict[str, Any]


class ApiCluster:
    """A cluster by its API server.  Every method may be called from any thread.

    Of what a server answers, objects that are not what they have to be are left out, and logged.
    Requests that it is too busy for are made again, as long as a fault may take to start where no
    other patience is given.

    :raises InvalidFault: what the connection names is not there, or something else.
    """

    def __init__(self, given: Connection) -> None:
        from kubernetes import client  # noqa: PLC0415 - see the module's text

        api = _client(given)
        try:
            _share_certificates(api)
        except (OSError, ValueError) as error:
            raise _unusable(given, str(error)) from error
        source = _source(given)
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)
        self._ask = Requests(lambda what: _errors(what, source))

    def pods(self, namespace: str, labels: str = "") -> Iterator[Document]:
        """Yield the pods of a namespace.

        :param labels: a label selector, which the server applies.
        """
        ask = self._core.list_namespaced_pod
        what = f"list pods of {namespace}"
        yield from self._ask.listed(
            what, forms.SELECTABLE_POD, ask, namespace, label_selector=labels
        )

    def pod(self, namespace: str, name: str) -> Document:
        """Return a pod.

        :raises ClusterError: there is none, or it is not what a pod has to be.
        """
        what = f"get pod {name}"
        found = self._ask.document(what, self._core.read_namespaced_pod, name, namespace)
        return fitting(found, forms.SELECTABLE_POD, what)

    def nodes(self) -> Iterator[Document]:
        """Yield the nodes."""
        yield from self._ask.listed("list nodes", forms.NODE, self._core.list_node)

    def jobs(self, namespace: str, labels: str) -> Iterator[Document]:
        """Yield the Jobs of a namespace that have these labels."""
        ask = self._batch.list_namespaced_job
        what = f"list Jobs of {namespace}"
        yield from self._ask.listed(what, forms.JOB, ask, namespace, label_selector=labels)

    def warnings(self, namespace: str, patience: Patience | None = None) -> Iterator[Document]:
        """Yield the events that warn of Jobs."""
        yield from self._ask.listed(
            f"list events of {namespace}",
            forms.EVENT,
            self._core.list_namespaced_event,
            namespace,
            field_selector="involvedObject.kind=Job,type=Warning",
            patience=patience,
        )

    def create_job(
        self, namespace: str, manifest: Mapping[str, Any], patience: Patience | None = None
    ) -> str:
        """Create a Job; return its uid, or nothing where that is not known.

        :param manifest: its name is one that nobody else has.
        """
        what = "create a Job"
        own = (patience or Patience(start_seconds())).of_one_request()
        try:
            made = self._ask.document(
                what, self._batch.create_namespaced_job, namespace, manifest, patience=own
            )
        except ClusterError as error:
            # It was made at a time that was answered with "later".
            if error.status == 409 and own.repeated:
                return ""
            raise
        metadata = fitting(made, forms.CREATED, what).get("metadata") or {}
        return str(metadata.get("uid") or "")

    def delete_job(self, namespace: str, name: str, patience: Patience | None = None) -> None:
        """Delete a Job and its pod; one that is not there is no error."""
        with _absent_is_well():
            self._ask.document(
                f"delete Job {name}",
                self._batch.delete_namespaced_job,
                name,
                namespace,
                propagation_policy="Background",
                patience=patience,
            )

    def delete_jobs(self, namespace: str, labels: str, patience: Patience | None = None) -> None:
        """Delete the Jobs that have these labels, and their pods, by one request.

        The server deletes one after the other, and stops at the first that it cannot.
        """
        answer = self._ask.opened(
            f"delete Jobs of {namespace}",
            self._batch.delete_collection_namespaced_job,
            namespace,
            label_selector=labels,
            propagation_policy="Background",
            patience=patience,
            _request_timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
        with self._ask.errors(f"delete Jobs of {namespace}"):
            answer.drain_conn()  # what was deleted, in full

    def watch_pods(
        self, namespace: str, labels: str, over: threading.Event
    ) -> Iterator[tuple[str, Document]]:
        """Yield what becomes of pods: ADDED, MODIFIED or DELETED, and the pod.

        It starts with those that are there, and does so again after an interruption.  What keeps
        it from seeing pods comes as ERROR, with a `message`.

        :param over: ends it, within the time that one answer of the server lasts.
        :raises NotPermitted: watching is not allowed.
        """
        what = f"watch pods of {namespace}"
        while not over.is_set():
            try:
                yield from self._watched(what, namespace, labels, over)
            except ClusterError as error:
                if not _passes(error):
                    raise
                yield "ERROR", {"message": str(error)}
            over.wait(_RETRY_SECONDS)

    def _watched(
        self, what: str, namespace: str, labels: str, over: threading.Event
    ) -> Iterator[tuple[str, Document]]:
        """Yield what one answer of the server says of pods."""
        stream = self._ask.opened(
            what,
            self._core.list_namespaced_pod,
            namespace,
            label_selector=labels,
            watch=True,
            timeout_seconds=_WATCH_SECONDS,
            patience=Patience(_WATCH_SECONDS, over),
            _request_timeout=(CONNECT_SECONDS, _WATCH_SECONDS + READ_SECONDS),
        )
        for line in streams.lines(stream, over):
            try:
                event = decoded(line, forms.WATCHED, what)
                if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                    yield event["type"], fitting(event["object"], forms.POD, what)
                elif event["type"] == "ERROR" and event["object"].get("code") != 410:
                    yield "ERROR", {"message": _text_of(event["object"])}
            except ClusterError as error:
                self._ask.log.warning(error.message.rpartition(": ")[0], "%s", error)
                yield "ERROR", {"message": str(error)}

    def log(self, namespace: str, pod: str, container: str, over: threading.Event) -> Iterator[str]:
        """Yield the lines of a container's log, as they are written, until it ends.

        The stream is held open while the pod is deleted: what it says last is in it.

        :raises ClusterError: there is no such pod, or no log yet.
        """
        stream = self._ask.opened(
            f"read the log of pod {pod}",
            self._core.read_namespaced_pod_log,
            pod,
            namespace,
            container=container,
            follow=True,
            patience=Patience(READ_SECONDS, over),
            # An agent says something more often: a connection that is dead is made anew.
            _request_timeout=(CONNECT_SECONDS, READ_SECONDS),
        )
        yield from streams.lines(stream, over)


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


def _text_of(status: Mapping[str, Any]) -> str:
    return f"the API server ended a watch: {plain(str(status.get('message', 'no reason given')))}"


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


@contextlib.contextmanager
def _absent_is_well() -> Iterator[None]:
    try:
        yield
    except ClusterError as error:
        if error.status != 404:
            raise


def _passes(error: ClusterError) -> bool:
    """Tell whether an error may pass; that of a missing right, for one, does not."""
    return not error.status or error.status >= 500 or error.status in (410, 429)
