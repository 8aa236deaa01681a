"""A cluster at the boundary of its API: pods on paper, and Jobs whose agents are played."""

from __future__ import annotations

import collections
import dataclasses
import json
import queue
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from chaoskernel.errors import ChaosKernelError, ClusterError
from chaoskernel.k8s.retry import Patience

Document = dict[str, Any]


def pod(
    name: str,
    node: str = "worker-1",
    *,
    namespace: str = "shop",
    phase: str = "Running",
    containers: tuple[str, ...] = ("app",),
    **details: Any,
) -> Document:
    metadata = {
        "namespace": namespace,
        "name": name,
        "uid": f"{zlib.crc32(name.encode()):08x}-0000",
    }
    metadata |= details.pop("metadata", {})
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": node,
            "containers": [{"name": each} for each in containers],
            **details.pop("spec", {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": each,
                    "containerID": f"containerd://{n}{'a' * 63}",
                    "state": {"running": {}},
                }
                for n, each in enumerate(containers)
            ],
        },
    }


def armed(pod_name: str = "shop/db-0", **more: Any) -> Document:
    return {
        "type": "armed",
        "hook": "should_failslab",
        "mechanism": "fmod_ret",
        "engine": "bcc",
        "callchain": [],
        "targets": [{"pod": pod_name, "containers": ["app"]}],
        "armed_at": "2026-01-01T00:00:00+00:00",
        "expires_at": "2999-01-01T00:05:00+00:00",
        "programs": [5],
        "left_out": ["32-bit callers: __ia32_sys_mount"],
        **more,
    }


def counted(injected: int, pod_name: str = "shop/db-0") -> Document:
    return {
        "reached": injected + 2,
        "matched": injected,
        "injected": injected,
        "frames": [{"symbol": "__x64_sys_mount", "entered": injected, "matched": injected}],
        "processes": [{"pid": 42, "command": "victim", "injected": injected}],
        "near": [{"call": "move_mount", "count": 2}],
        "pods": [{"pod": pod_name, "injected": injected}],
    }


def disarmed(injected: int, reason: str = "SIGTERM", **more: Any) -> Document:
    return {
        "type": "disarmed",
        "reason": reason,
        "counters": counted(injected),
        "events": [],
        "dropped": 0,
        "ended_at": "2026-01-01T00:01:00+00:00",
        "leftovers": [],
        **more,
    }


@dataclasses.dataclass
class Script:
    """What becomes of the Job of a node.

    :param first: what its agent says when it has started.
    :param last: what it says when it is deleted.
    :param status: of its pod, instead of starting; None makes no pod.
    :param deletes: its pod goes when the Job is deleted.
    """

    first: tuple[Document, ...] = dataclasses.field(
        default_factory=lambda: (armed(), {"type": "counters", "counters": counted(3)})
    )
    last: tuple[Document, ...] = dataclasses.field(default_factory=lambda: (disarmed(4),))
    status: Document | None = dataclasses.field(
        default_factory=lambda: {
            "phase": "Running",
            "containerStatuses": [{"name": "agent", "state": {"running": {}}}],
        }
    )
    deletes: bool = True


class FakeCluster:
    """Does what an API server does, for the scripts of nodes.

    :param refuse: raises for a call of that name.
    """

    breaks = 0
    """How many times logs break off after the first lines."""

    def __init__(self, scripts: Mapping[str, Script] | None = None, *pods: Document) -> None:
        self.documents = list(pods)
        self.node_documents: list[Document] = []
        self.scripts = dict(scripts or {})
        self.manifests: dict[str, Document] = {}
        self.deleted: list[str] = []
        self.calls: list[str] = []
        self.refuse: dict[str, Callable[..., ChaosKernelError | None]] = {}
        self.warned: list[Document] = []
        self._events: dict[str, queue.SimpleQueue[tuple[str, Document]]] = collections.defaultdict(
            queue.SimpleQueue
        )
        self._logs: dict[str, queue.SimpleQueue[str | None]] = {}
        self._lock = threading.Lock()

    def pods(self, namespace: str, labels: str = "") -> Iterator[Document]:
        self._called("pods", namespace, labels)
        yield from (p for p in self.documents if p["metadata"]["namespace"] == namespace)

    def pod(self, namespace: str, name: str) -> Document:
        self._called("pod", namespace, name)
        return next(p for p in self.documents if p["metadata"]["name"] == name)

    def nodes(self) -> Iterator[Document]:
        self._called("nodes")
        yield from self.node_documents

    def jobs(self, namespace: str, labels: str) -> Iterator[Document]:
        self._called("jobs", namespace, labels)
        wanted = dict(pair.split("=") for pair in labels.split(","))
        for name, job in list(self.manifests.items()):
            if name not in self.deleted and wanted.items() <= job["metadata"]["labels"].items():
                yield job

    def warnings(self, namespace: str, patience: Patience | None = None) -> Iterator[Document]:
        self._called("warnings", namespace)
        yield from self.warned

    def create_job(
        self, namespace: str, manifest: Mapping[str, Any], patience: Patience | None = None
    ) -> str:
        name, node = manifest["metadata"]["name"], _node(manifest)
        self._called("create_job", node)
        with self._lock:
            self.manifests[name] = dict(manifest)
            self.manifests[name]["metadata"] = {**manifest["metadata"], "uid": f"uid of {name}"}
        script = self._script(name)
        log = self._logs[name] = queue.SimpleQueue()
        if script.status is not None:
            self._queue(name).put(("ADDED", self._pod(name, script.status)))
        for message in script.first:
            log.put(json.dumps(message))
        if any(message.get("type") in ("error", "disarmed") for message in script.first):
            log.put(None)
        return f"uid of {name}"

    def delete_jobs(self, namespace: str, labels: str, patience: Patience | None = None) -> None:
        self._called("delete_jobs", labels)
        wanted = dict(pair.split("=") for pair in labels.split(","))
        for name, job in list(self.manifests.items()):
            if wanted.items() <= job["metadata"]["labels"].items():
                # As a server does: it ends at the first that it cannot delete.
                self._refuse("delete_job", _node(job))
                self._delete(name)

    def delete_job(self, namespace: str, name: str, patience: Patience | None = None) -> None:
        self._called("delete_job", _node(self.manifests[name]) if name in self.manifests else "")
        self._delete(name)

    def _delete(self, name: str) -> None:
        if name not in self.manifests or name in self.deleted:
            return
        self.deleted.append(name)
        script = self._script(name)
        if script.deletes:
            for message in script.last:
                self._logs[name].put(json.dumps(message))
            self.end(name)

    def end(self, name: str) -> None:
        """Have a Job's pod go."""
        script = self._script(name)
        self._logs[name].put(None)
        if script.status is not None:
            self._queue(name).put(("DELETED", self._pod(name, script.status)))

    def watch_pods(
        self, namespace: str, labels: str, over: threading.Event
    ) -> Iterator[tuple[str, Document]]:
        self._called("watch_pods", namespace, labels)
        while not over.is_set():
            try:
                yield self._events[labels.rpartition("=")[2]].get(timeout=0.05)
            except queue.Empty:
                continue

    def log(self, namespace: str, pod: str, container: str, over: threading.Event) -> Iterator[str]:
        name = pod.removesuffix("-pod")
        self._called("log", _node(self.manifests[name]))
        while not over.is_set():
            try:
                line = self._logs[name].get(timeout=0.05)
            except queue.Empty:
                continue
            if line is None:
                self._logs[name].put(None)
                return
            yield line
            if self.breaks and "counters" in line:
                self.breaks -= 1
                return
        raise ClusterError("gone", status=404)

    def _called(self, name: str, *arguments: str) -> None:
        with self._lock:
            self.calls.append(name)
        self._refuse(name, *arguments)

    def _refuse(self, name: str, *arguments: str) -> None:
        if (refuse := self.refuse.get(name)) and (error := refuse(*arguments)):
            raise error

    def _script(self, job: str) -> Script:
        return self.scripts.get(_node(self.manifests[job])) or Script()

    def _queue(self, job: str) -> queue.SimpleQueue[tuple[str, Document]]:
        return self._events[self.manifests[job]["metadata"]["labels"]["chaoskernel/run"]]

    def _pod(self, job: str, status: Document) -> Document:
        labels = {**self.manifests[job]["metadata"]["labels"], "job-name": job}
        owner = {"kind": "Job", "name": job, "uid": f"uid of {job}", "controller": True}
        metadata = {"name": f"{job}-pod", "labels": labels, "ownerReferences": [owner]}
        return {"metadata": metadata, "status": status}


def _node(manifest: Mapping[str, Any]) -> str:
    return str(manifest["spec"]["template"]["spec"]["nodeName"])
