"""How soon a node's word is heard, by the way that it takes: `python -m benchmarks.scale.signals`.

Pods on real kubelets stand in for agents: each notes when it is "armed", and the moment is
compared with the one at which this process learns of it, on the same clock.  In the test cluster:
`python -m tools.cluster run -- python -m benchmarks.scale.signals`.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from tools.cluster import images

WAYS = ("log", "readiness", "termination")

_SPACE = "default"
_LABEL = "chaoskernel/signal"
_AGENT = "agent"
_HELPER = "armed"
_LIMIT_SECONDS = 60.0
_ARMED = "/shared/armed"

# What an agent takes until its fault is in force differs; here it is up to a second.
_WORK = f"sleep %s; date +%%s.%%N >/tmp/at; mv /tmp/at {_ARMED}; cat {_ARMED}; exec sleep 600"
_WAIT = f"until test -e {_ARMED}; do sleep 0.02; done; cat {_ARMED} >/dev/termination-log"

Document = dict[str, Any]


def _container(name: str, script: str) -> Document:
    return {
        "name": name,
        "image": images.AGENT,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
    }


def pod(name: str, node: str, way: str, seconds: float) -> Document:
    """Return a pod that says in some way that it is armed, after so many seconds."""
    agent = _container(_AGENT, _WORK % f"{seconds:.2f}")
    containers = [agent]
    if way == "readiness":
        probe = {"exec": {"command": ["test", "-e", _ARMED]}}
        agent["readinessProbe"] = {**probe, "periodSeconds": 1, "failureThreshold": 1}
    if way == "termination":
        containers.append(_container(_HELPER, _WAIT))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {_LABEL: way}},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": containers,
            "volumes": [{"name": "shared", "emptyDir": {}}],
        },
    }


class Hearing:
    """Follows the watch of one way's pods, and notes when each has said that it is armed."""

    def __init__(self, core: Any, way: str) -> None:
        self._core = core
        self._way = way
        self._news = threading.Condition()
        self._heard: dict[str, float] = {}
        self._read: set[str] = set()
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def await_word(self, pod: str) -> float:
        """Return when a pod was heard."""
        with self._news:
            if not self._news.wait_for(lambda: pod in self._heard, _LIMIT_SECONDS):
                raise SystemExit(f"{pod} was not heard in {_LIMIT_SECONDS:g} s")
            return self._heard[pod]

    def close(self) -> None:
        """Hear no more."""
        self._over.set()

    def _watch(self) -> None:
        stream = self._core.list_namespaced_pod(
            _SPACE, label_selector=f"{_LABEL}={self._way}", watch=True, _preload_content=False
        )
        for line in _lines(stream):
            if self._over.is_set():
                return
            self._see(json.loads(line)["object"])

    def _see(self, document: Document) -> None:
        name = document["metadata"]["name"]
        statuses = document.get("status", {}).get("containerStatuses") or []
        if self._way == "log":
            running = any("running" in each["state"] for each in statuses)
            if running and name not in self._read:
                self._read.add(name)
                threading.Thread(target=self._listen, args=(name,), daemon=True).start()
        elif gives_signal(self._way, statuses):
            self._note(name)

    def _listen(self, pod: str) -> None:
        stream = self._core.read_namespaced_pod_log(
            pod, _SPACE, container=_AGENT, follow=True, _preload_content=False
        )
        for _ in _lines(stream):
            self._note(pod)

    def _note(self, pod: str) -> None:
        with self._news:
            self._heard.setdefault(pod, time.time())
            self._news.notify_all()


def gives_signal(way: str, statuses: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the status of a pod's containers says that it is armed."""
    if way == "readiness":
        return any(each["ready"] for each in statuses)
    told = (each["state"].get("terminated", {}).get("message") for each in statuses)
    return way == "termination" and any(told)


def _lines(stream: Any) -> Iterator[str]:
    from kubernetes.watch.watch import iter_resp_lines  # noqa: PLC0415

    return (line for line in iter_resp_lines(stream) if line)


def _measured(core: Any, nodes: Sequence[str], pods: int, chance: random.Random) -> Document:
    """Return the seconds from `armed` to heard, and from the request to heard, of each way."""
    hearing = {way: Hearing(core, way) for way in WAYS}
    found: Document = {way: {"armed": [], "asked": []} for way in WAYS}
    for number in range(pods):
        for way in WAYS:
            name, node = f"{way}-{number}", nodes[number % len(nodes)]
            asked = time.time()
            core.create_namespaced_pod(_SPACE, pod(name, node, way, chance.random()))
            heard = hearing[way].await_word(name)
            log = core.read_namespaced_pod_log(name, _SPACE, container=_AGENT)
            found[way]["armed"].append(round(heard - float(log.split()[0]), 3))
            found[way]["asked"].append(round(heard - asked, 3))
            core.delete_namespaced_pod(name, _SPACE, grace_period_seconds=0)
    for each in hearing.values():
        each.close()
    return found


@click.command()
@click.option("--pods", default=12, show_default=True, type=click.IntRange(1, 100), help="Of each.")
@click.option("--seed", default=1, show_default=True, help="Of what the pods take to be armed.")
def main(pods: int, seed: int) -> None:
    """Compare logs, readiness and termination messages, on the cluster of KUBECONFIG."""
    from kubernetes import client, config  # noqa: PLC0415

    config.load_kube_config()
    core = client.CoreV1Api()
    nodes = [each.metadata.name for each in core.list_node().items]
    found = _measured(core, nodes, pods, random.Random(seed))  # noqa: S311 - no secret
    table = Table("way", "armed to heard: median", "most", "asked to heard: median", "most")
    for way, seconds in found.items():
        row = [(statistics.median(each), max(each)) for each in seconds.values()]
        table.add_row(way, *(f"{number:.2f} s" for pair in row for number in pair))
    Console().print(table)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
