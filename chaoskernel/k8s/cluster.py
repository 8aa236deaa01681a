"""The API server: what is asked of it, and what it answers.

Answers are documents, and not the client's classes: those of five thousand pods take
more memory and time than all the rest.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from chaoskernel.backend.launch import start_seconds
from chaoskernel.errors import ClusterError
from chaoskernel.k8s import forms, streams
from chaoskernel.k8s.api import Document
from chaoskernel.k8s.api_errors import plain
from chaoskernel.k8s.asking import CONNECT_SECONDS, READ_SECONDS, Requests, decoded, fitting
from chaoskernel.k8s.client import apis, raised, source_of
from chaoskernel.k8s.connection import Connection
from chaoskernel.k8s.retry import Patience

_WATCH_SECONDS = 300
_RETRY_SECONDS = 1.0


class ApiCluster:
    """A cluster by its API server.  Every method may be called from any thread.

    Of what a server answers, objects that are not what they have to be are left out, and logged.
    Requests that it is too busy for are made again, as long as a fault may take to start where no
    other patience is given.

    :raises InvalidFault: what the connection names is not there, or something else.
    """

    def __init__(self, given: Connection) -> None:
        source = source_of(given)
        self._core, self._batch = apis(given)
        self._ask = Requests(lambda what: raised(what, source))
        self._last_words = streams.Turns()  # of agents: 120 kB each, all at once

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
        """Open a container's log; return its lines, as they are written, until it ends.

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
        return streams.lines(stream, over, self._last_words)


def _text_of(status: Mapping[str, Any]) -> str:
    return f"the API server ended a watch: {plain(str(status.get('message', 'no reason given')))}"


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
