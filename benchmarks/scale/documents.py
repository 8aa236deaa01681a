"""What is written about nodes and pods that nobody runs, and what their agents would say; pure."""

from __future__ import annotations

import datetime
import functools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaoskernel.agent import protocol
from chaoskernel.engine.events import KEPT

Document = dict[str, Any]

TARGETS = "shop"
"""The namespace of the pods that are selected."""
JOBS = "chaoskernel"
"""That of the Jobs."""
PODS_OF_A_NODE = 10
CALLCHAIN = ("__x64_sys_pipe2", "do_pipe2", "alloc_file_pseudo")
INJECTED_BY_A_NODE = 1000
READINESS = {"exec": {"command": ["test", "-e", "/tmp/armed"]}, "periodSeconds": 1}  # noqa: S108
"""A probe by which an agent's kubelet would know that it is armed."""

_PROCESSES = 10
_NEVER = {"effect": "NoExecute", "operator": "Exists"}
_CGROUPS = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable"
_STACK = (
    "should_failslab+0x0",
    "kmem_cache_alloc+0x3c",
    "alloc_empty_file+0x61",
    "alloc_file+0x2a",
    "alloc_file_pseudo+0xaf",
    "create_pipe_files+0x158",
    "do_pipe2+0x4c",
    "__x64_sys_pipe2+0x10",
    "do_syscall_64+0x3b",
    "entry_SYSCALL_64_after_hwframe+0x63",
)


def node_name(number: int) -> str:
    """Return the name of a node."""
    return f"worker-{number:03}"


def node(number: int, address: str, port: int) -> Document:
    """Return a Node.

    :param address: where its kubelet is reached, and so is that of every other one.
    """
    name = node_name(number)
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    size = {"cpu": "16", "memory": "64Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "capacity": size,
            "allocatable": size,
            "conditions": [ready],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }


def pod(number: int) -> Document:
    """Return one of the pods that are selected; those of a node follow each other."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"db-{number:04}",
            "namespace": TARGETS,
            "labels": {
                "app.kubernetes.io/name": "db",
                "app.kubernetes.io/part-of": TARGETS,
                "statefulset.kubernetes.io/pod-name": f"db-{number:04}",
            },
        },
        "spec": {
            "nodeName": node_name(number // PODS_OF_A_NODE),
            "automountServiceAccountToken": False,
            "tolerations": [_NEVER],
            "containers": [
                {
                    "name": "db",
                    "image": "registry.example/db:1",
                    "env": [{"name": "SHARD", "value": str(number)}],
                    "ports": [{"containerPort": 5432}],
                    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                    "readinessProbe": {"tcpSocket": {"port": 5432}},
                }
            ],
        },
    }


def running(document: Mapping[str, Any], *, ready: bool = True) -> Document:
    """Return the status of a pod whose containers run."""
    now = _now()
    conditions = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "startTime": now,
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now} for kind in conditions
        ],
        "containerStatuses": [
            {**_container(each, document, {"running": {"startedAt": now}}), "ready": ready}
            for each in document["spec"]["containers"]
        ],
    }


def succeeded(document: Mapping[str, Any]) -> Document:
    """Return the status of a pod whose containers have ended well."""
    ended = {"exitCode": 0, "reason": "Completed", "finishedAt": _now()}
    return {
        "phase": "Succeeded",
        "containerStatuses": [
            _container(each, document, {"terminated": ended})
            for each in document["spec"]["containers"]
        ],
    }


def first_words(fault: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield what an agent says until it counts for the first time.

    :param fault: the document that its Job has given it.
    """
    now = _now()
    chain = [frame["funcname"] for frame in fault["callchain"]]
    for step in ("loading the program", "attaching", "waiting for the hook to fire"):
        yield _line({"type": protocol.PROGRESS, "step": step})
    yield _line(
        {
            "type": protocol.ARMED,
            "name": fault["name"],
            "hook": "should_failslab",
            "mechanism": "fmod_ret",
            "engine": "core",
            "callchain": [{"symbol": each, "mechanism": "fentry"} for each in chain],
            "targets": [
                {"pod": name, "containers": containers} for name, containers in _pods(fault)
            ],
            "armed_at": now,
            "expires_at": _now(fault["limits"]["duration"]),
            "programs": list(range(100, 100 + 2 * len(chain) + 6)),
        }
    )


def counters(fault: Mapping[str, Any], injected: int) -> bytes:
    """Return what an agent says when it has counted."""
    return _line({"type": protocol.COUNTERS, "counters": _counted(fault, injected)})


def last_words(fault: Mapping[str, Any]) -> bytes:
    """Return what an agent says when its pod is deleted: with as many events as there can be."""
    line = _line(
        {
            "type": protocol.DISARMED,
            "reason": "SIGTERM",
            "counters": _counted(fault, INJECTED_BY_A_NODE),
            "events": [],
            "dropped": INJECTED_BY_A_NODE - KEPT,
            "ended_at": _now(),
            "leftovers": [],
        }
    )
    return line.replace(b'"events":[]', b'"events":' + _events())


@functools.cache
def _events() -> bytes:
    """Return the events of every node: to write them for each would be what is measured."""
    now = _now()
    return _line({"": [_event(number, now) for number in range(KEPT)]})[4:-2]


def _counted(fault: Mapping[str, Any], injected: int) -> Document:
    pods = [name for name, _ in _pods(fault)]
    counts = ("held_probability", "held_times", "held_deadline", "held_dry_run", "held_nofail")
    return {
        "reached": 6 * injected,
        "matched": injected,
        "injected": injected,
        **dict.fromkeys(counts, 0),
        "frames": [
            {"symbol": frame["funcname"], "entered": injected, "matched": injected}
            for frame in fault["callchain"]
        ],
        "processes": [
            {"pid": 1000 + n, "command": "postgres", "injected": injected // _PROCESSES}
            for n in range(_PROCESSES)
        ],
        "pods": [{"pod": name, "injected": injected // len(pods)} for name in pods],
    }


def _event(number: int, at: str) -> Document:
    pid = 1000 + number % _PROCESSES
    return {
        "at": at,
        "pid": pid,
        "tid": pid,
        "command": "postgres",
        "cgroup": f"{_CGROUPS}-pod{zlib.crc32(b'%d' % pid):08x}.slice",
        "arguments": {"cache": "filp", "size": 256, "gfp_flags": "0xdc0"},
        "stack": list(_STACK),
    }


def _pods(fault: Mapping[str, Any]) -> Sequence[tuple[str, list[str]]]:
    return [
        (f"{each['namespace']}/{each['name']}", [inner["name"] for inner in each["containers"]])
        for each in fault["scope"]["pods"]
    ]


def _container(container: Mapping[str, Any], of: Mapping[str, Any], state: Document) -> Document:
    seed = f"{of['metadata']['namespace']}/{of['metadata']['name']}/{container['name']}"
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"{container['image']}@sha256:{'0' * 64}",
        "containerID": f"containerd://{zlib.crc32(seed.encode()):064x}",
        "ready": "running" in state,
        "restartCount": 0,
        "state": state,
    }


def _line(message: Mapping[str, Any]) -> bytes:
    return protocol.encode(message).encode()


def _now(later: float = 0) -> str:
    """Return the time as Kubernetes writes it: RFC 3339, whole seconds, UTC."""
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=later)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def fault_of(document: Mapping[str, Any]) -> Document:
    """Return the fault that an agent's pod has in its environment."""
    (container,) = document["spec"]["containers"]
    found: Document = json.loads(container["env"][0]["value"])["fault"]
    return found
