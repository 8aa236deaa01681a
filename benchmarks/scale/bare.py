"""The floor: what has to be asked of a cluster to have a Job on every node, and nothing else.

The same Jobs as a fault's, created as many at once, over a pool of connections as large, by the
same client, whose answers are left as bytes where they can be; and one watch of their pods.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.scale import documents
from chaoskernel.agent import protocol
from chaoskernel.fault import syntax
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits
from chaoskernel.k8s.job import CONTAINER, LABEL_RUN, Settings, job

AT_ONCE = 16
_CONNECTIONS = 1024
_LIMIT_SECONDS = 300.0
_NAME, _RUN = "scale", "floor"


class Word(enum.Enum):
    """By what it is known that an agent is armed."""

    NONE = enum.auto()
    """Nothing: a pod that runs is enough."""
    LOG = enum.auto()
    """The log of each Job's pod is followed, each in a thread, until it says so."""
    STATUS = enum.auto()
    """The pod is ready, as a readiness probe tells its kubelet; the log is read once, for what
    an agent says of it, over the connections that there are."""


class Bare:
    """The client alone."""

    def __init__(self, nodes: int, word: Word) -> None:
        from kubernetes import client, config  # noqa: PLC0415

        settings = client.Configuration()
        config.load_kube_config(client_configuration=settings)
        settings.connection_pool_maxsize = _CONNECTIONS
        api = client.ApiClient(settings)
        self._core, self._batch = client.CoreV1Api(api), client.BatchV1Api(api)
        self._manifests = manifests(nodes)
        self._word = word
        if word is Word.STATUS:
            for each in self._manifests:
                (container,) = each["spec"]["template"]["spec"]["containers"]
                container["readinessProbe"] = documents.READINESS
        self._readers = ThreadPoolExecutor(AT_ONCE)
        self._news = threading.Condition()
        self._running: set[str] = set()
        self._armed: set[str] = set()
        self._gone: set[str] = set()

    def start(self) -> None:
        """See `Contender.start`."""
        threading.Thread(target=self._watch, daemon=True).start()
        _each(self._create, self._manifests)
        self._await(self._running if self._word is Word.NONE else self._armed)

    def stop(self) -> None:
        """See `Contender.stop`."""
        _each(self._delete, [each["metadata"]["name"] for each in self._manifests])
        self._await(self._gone)

    def _create(self, manifest: Any) -> None:
        self._batch.create_namespaced_job(documents.JOBS, manifest, _preload_content=False).read()

    def _delete(self, name: str) -> None:
        self._batch.delete_namespaced_job(
            name, documents.JOBS, propagation_policy="Background", _preload_content=False
        ).read()

    def _watch(self) -> None:
        stream = self._core.list_namespaced_pod(
            documents.JOBS,
            label_selector=f"{LABEL_RUN}={_RUN}",
            watch=True,
            _preload_content=False,
        )
        for line in _lines(stream):
            event = json.loads(line)
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                self._note(self._gone, name)
            elif name not in self._running and self._is_there(event["object"]["status"]):
                self._note(self._running, name)
                if self._word is Word.LOG:
                    threading.Thread(target=self._listen, args=(name,), daemon=True).start()
                elif self._word is Word.STATUS:
                    self._readers.submit(self._read, name)

    def _is_there(self, status: Any) -> bool:
        if self._word is Word.STATUS:
            return any(each["ready"] for each in status.get("containerStatuses", ()))
        return bool(status["phase"] == "Running")

    def _listen(self, pod: str) -> None:
        stream = self._core.read_namespaced_pod_log(
            pod, documents.JOBS, container=CONTAINER, follow=True, _preload_content=False
        )
        for line in _lines(stream):
            if protocol.decode(line)["type"] == protocol.ARMED:
                self._note(self._armed, pod)

    def _read(self, pod: str) -> None:
        text = self._core.read_namespaced_pod_log(
            pod, documents.JOBS, container=CONTAINER, _preload_content=False
        ).read()
        if any(
            protocol.decode(line)["type"] == protocol.ARMED
            for line in text.decode().split("\n")
            if line
        ):
            self._note(self._armed, pod)

    def _note(self, where: set[str], name: str) -> None:
        with self._news:
            where.add(name)
            if len(where) == len(self._manifests):
                self._news.notify_all()

    def _await(self, where: set[str]) -> None:
        with self._news:
            if not self._news.wait_for(lambda: len(where) == len(self._manifests), _LIMIT_SECONDS):
                raise SystemExit(f"{len(where)} of {len(self._manifests)} in {_LIMIT_SECONDS:g} s")


def manifests(nodes: int) -> list[dict[str, Any]]:
    """Return the Jobs that a fault on these nodes has, but for the ids of pods."""
    fault = Fault(
        name=_NAME,
        kind=Kind.SLAB,
        scope=Scope(system_wide=True),
        callchain=syntax.frames([*documents.CALLCHAIN]),
        limits=Limits(duration=600),
    )
    settings = Settings(documents.JOBS, "localhost/chaoskernel:bench")
    made = []
    for node in range(nodes):
        scope = Scope(pods=tuple(_pods(node)))
        here = dataclasses.replace(fault, scope=scope)
        made.append(job(Assignment(here), _RUN, node, settings, start_seconds=180))
    return made


def _pods(node: int) -> Iterable[PodScope]:
    first = node * documents.PODS_OF_A_NODE
    for number in range(first, first + documents.PODS_OF_A_NODE):
        container = PodContainer("db", f"containerd://{number:064x}")
        name, uid = f"db-{number:04}", f"{number:08x}-0000-4000-8000-000000000000"
        yield PodScope(documents.TARGETS, name, uid, documents.node_name(node), (container,))


def _each(do: Callable[[Any], None], items: Iterable[Any]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(do, items))


def _lines(stream: Any) -> Iterable[str]:
    from kubernetes.watch.watch import iter_resp_lines  # noqa: PLC0415

    return (line for line in iter_resp_lines(stream) if line)
