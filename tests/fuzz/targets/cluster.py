"""What an API server, or a proxy before it, answers and streams."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chaoskernel.chaosmesh.manifest import Mode, Selection, Selector
from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import leftovers, nodes
from chaoskernel.k8s.api_errors import error_of, event_trouble
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection
from chaoskernel.k8s.injection import Injection, Waits
from chaoskernel.k8s.job import Settings
from chaoskernel.k8s.select import select
from tests.fuzz import mutate
from tests.fuzz.target import Target, require, require_clean, require_told
from tests.unit.k8s.fake_cluster import armed, pod

_PODS = (PodScope("shop", "db-0", "0c8b4b9e-1d2f-4a6b", "worker-1"),)
_UID = "1c8b4b9e-1d2f-4a6b"
_FAULT = Fault("demo", Kind.SLAB, Scope(pods=_PODS))
_WORDS = (
    *("type", "object", "metadata", "labels", "job-name", "name", "status", "phase", "state"),
    *("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "Running", "Failed", "Succeeded"),
    *("containerStatuses", "running", "terminated", "waiting", "reason", "message", "exitCode"),
    *("items", "continue", "spec", "nodeName", "containers", "annotations", "uid", "startTime"),
    *(
        "podIPs",
        "initContainers",
        "ownerReferences",
        "controller",
        "kind",
        "Status",
        "code",
        "activeDeadlineSeconds",
        "details",
    ),
)


class _Answer:
    """An answer of the client that was not read yet; see urllib3."""

    def __init__(self, text: str, status: int = 200) -> None:
        self.status = status
        self.data = text.encode("utf-8", "surrogatepass")
        self.headers: dict[str, str] = {}
        self.reason = ""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.data

    def close(self) -> None:
        pass

    release_conn = drain_conn = close


class _Server:
    """Answers every call with the same; a log has its own."""

    def __init__(self) -> None:
        self.status = 200
        self.text = ""
        self.log = ""
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        def answer(*_: Any, **details: Any) -> _Answer:
            self.asked += 1
            if name == "read_namespaced_pod_log":
                return _Answer(self.log)
            # A list that always goes on is somebody else's to end.
            return _Answer(self.text if self.asked < 100 else "{}", self.status)

        return answer


@functools.cache
def _cluster() -> tuple[ApiCluster, _Server]:
    cluster, server = ApiCluster(Connection(host="http://127.0.0.1:1")), _Server()
    cluster._core = cluster._batch = server
    return cluster, server


class _OnlyOnce(threading.Event):
    """Set as soon as somebody waits for it: the stream is watched once."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


def _try_watch(given: str, _: Path) -> None:
    """Watch a stream with a line before an event that is well."""
    cluster, server = _cluster()
    injection = Injection(Assignment(_FAULT), cluster, Settings("chaos", "image"), Waits(retry=0.0))
    (agent,) = injection._agents
    injection._over = _OnlyOnce()
    injection._know(agent, _UID)
    owner = {"kind": "Job", "name": agent.job, "uid": _UID, "controller": True}
    well = pod("agent-pod", phase="Pending", metadata={"ownerReferences": [owner]})
    well["status"]["containerStatuses"] = []
    event = json.dumps({"type": "ADDED", "object": well})
    server.text, server.log = f"{given.replace('@job', agent.job)}\n{event}\n", json.dumps(armed())
    server.status, server.asked = 200, 0
    before = set(threading.enumerate())
    injection._watch()
    for thread in set(threading.enumerate()) - before:
        thread.join(1)
    require(agent.pod == "agent-pod", "an event is not seen after it")
    require_clean(agent.waits_for())
    if error := agent.error():
        raise error


_EVENTS = tuple(
    {
        "type": kind,
        "object": {
            "kind": "Pod",
            "metadata": {
                "name": "agent-pod",
                "uid": "0c8b4b9e",
                "ownerReferences": [
                    {"kind": "Job", "name": "@job", "uid": _UID, "controller": True}
                ],
            },
            "status": status,
        },
    }
    for kind, status in (
        ("ADDED", {"phase": "Pending"}),
        ("MODIFIED", {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}),
        (
            "MODIFIED",
            {
                "phase": "Failed",
                "containerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "E"}}}],
            },
        ),
        (
            "MODIFIED",
            {
                "phase": "Pending",
                "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}],
            },
        ),
    )
)


_ANSWERS: tuple[dict[str, Any], ...] = (
    {"kind": "PodList", "metadata": {}, "items": [pod("db-0"), pod("web-0")]},
    {
        "items": [
            {
                "metadata": {"name": "j", "labels": {"chaoskernel/fault": "demo"}},
                "status": {"startTime": "2026-01-01T00:00:00Z", "succeeded": 1},
                "spec": {"activeDeadlineSeconds": 30},
                "involvedObject": {"name": "j"},
                "reason": "FailedCreate",
                "message": "exceeded quota",
            }
        ]
    },
)


def _try_answer(given: str, _: Path) -> None:
    """List pods, Jobs and events whose answer is anything."""
    cluster, server = _cluster()
    server.status, server.text, server.asked = 200, given, 0
    selection = Selection(mode=Mode.ALL, selector=Selector(("shop",)))
    troubles = []
    asks: tuple[Callable[[], object], ...] = (
        lambda: select(selection, cluster, nodes.Bounds(), seed=1),
        lambda: require_clean(str(leftovers.find(cluster, "chaos"))),
        lambda: list(map(event_trouble, cluster.warnings("chaos"))),
        lambda: cluster.pod("shop", "db-0"),
    )
    for ask in asks:
        try:
            ask()
        except ChaosKernelError as error:
            troubles.append(error)
    if len(troubles) == len(asks):
        raise troubles[0]


def _try_refusal(given: str, _: Path) -> None:
    """Read why a server refuses something."""
    for status in (400, 401, 403, 404, 409, 410, 429, 500, 503):
        require_told(error_of(status, given, "create a Job"))


_RBAC = (
    'jobs.batch is forbidden: User "system:serviceaccount:a:b" cannot create resource "jobs" in '
    'API group "batch" in the namespace "chaos"'
)

_STATUSES = (
    {"kind": "Status", "code": 403, "reason": "Forbidden", "message": _RBAC},
    {"kind": "Status", "message": 'namespaces "chaos" not found', "details": {}},
)

TARGETS = (
    Target(
        "watch-events",
        6,
        mutate.documents(_EVENTS, _WORDS),
        _try_watch,
        tuple(map(json.dumps, _EVENTS[:2])),
        (
            *mutate.DEEP,
            "<html>proxy says hello</html>",
            '{"type":"ADDED","object":{}}',
            '{"type":"ERROR","object":{"kind":"Status","code":410}}',
            '{"type":["ADDED"],"object":null}',
        ),
    ),
    Target(
        "answers",
        6,
        mutate.documents((*_ANSWERS, {**_ANSWERS[0], "metadata": {"continue": "more"}}), _WORDS),
        _try_answer,
        (json.dumps(_ANSWERS[0]),),
        (*mutate.DEEP, "<html>proxy says hello</html>"),
    ),
    Target(
        "refusals",
        4,
        mutate.documents(
            _STATUSES,
            (*_WORDS, _RBAC, 'User "x" cannot', '"'),
        ),
        _try_refusal,
        tuple(map(json.dumps, _STATUSES)),
        (*mutate.DEEP, "<html>\n<body>\x1b[31mproxy</body>", "x" * 100_000),
    ),
)
