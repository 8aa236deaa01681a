"""One fault with a predicate on nodes of two architectures, by `chaos run`.

    python -m tools.cluster enter -- .venv/bin/pytest tests/e2e/test_mixed_nodes.py

The kernels are Debian's own, and each has types of its own: the predicate is compiled for both.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaoskernel.lab.foreign import ARCHITECTURES
from chaoskernel.lab.progress import Progress
from tests.e2e.test_cluster import EXPERIMENTS, WELL, kubectl, outputs, played
from tests.waiting import within
from tools.cluster import images
from tools.cluster.control import ControlPlane
from tools.cluster.machine import Machine
from tools.cluster.stock import node_kernel

NODES = {"amd64": "linux-image-6.12-amd64", "arm64": "linux-image-6.12-arm64"}
NAMESPACE = "chaos-demo"
FAULT = "one-byte-writes"
FULL = "mount EPERM, read well, write ENOSPC, create well"
RUNNING_SECONDS = 600
PLAYED_SECONDS = 1200


def last_line(node: str) -> str:
    asked = ("--request-timeout=30s", "--namespace", NAMESPACE, "logs", "--tail=1", f"on-{node}")
    return kubectl(*asked, check=False).strip()


def is_well(node: str) -> bool:
    return last_line(node) == WELL


def workloads() -> str:
    """Return what starts a pod of the shipped workload on each node."""
    shipped = list(yaml.safe_load_all((EXPERIMENTS / "kubernetes/workload.yaml").read_text()))
    victim = next(each for each in shipped if each["metadata"]["name"] == "victim")
    pods = []
    for node in NODES:
        metadata = {**victim["metadata"], "name": f"on-{node}"}
        pods.append({**victim, "metadata": metadata, "spec": {**victim["spec"], "nodeName": node}})
    others = [each for each in shipped if each["kind"] != "Pod"]
    return yaml.safe_dump_all([*others, *pods])


def experiment(directory: Path) -> Path:
    """Write an experiment whose fault fails the writes of one byte of both pods."""
    module = {"type": "python", "module": "chaoskernel.actions"}
    frame = {
        "funcname": "vfs_write",
        "parameters": "struct file *file, const char *buf, size_t count, loff_t *pos",
        "predicate": "count == 1",
    }
    start = {
        **{"name": FAULT, "fault": "write", "errno": "ENOSPC", "any_file": True},
        **{"callchain": [frame], "namespaces": [NAMESPACE], "mode": "all", "duration": "10m"},
        **{"label_selectors": {"role": "victim"}, "container_names": ["app"]},
    }
    logs = {
        node: {
            **{"type": "process", "path": "kubectl", "timeout": 60},
            "arguments": ["--namespace", NAMESPACE, "logs", "--tail=1", f"on-{node}"],
        }
        for node in NODES
    }
    stop = {"name": FAULT}
    wait = {"name": FAULT, "minimum": 8, "timeout": "2m"}
    actions: list[tuple[str, dict[str, Any]]] = [
        ("start_pod_injection", start),
        ("wait_for_injection", wait),
    ]
    method = [
        {"type": "action", "name": name, "provider": {**module, "func": name, "arguments": given}}
        for name, given in actions
    ]
    method += [
        {"type": "probe", "name": node, "provider": provider} for node, provider in logs.items()
    ]
    end = {**module, "func": "stop_pod_injection", "arguments": stop}
    control = {"type": "python", "module": "chaoskernel.control"}
    document = {
        "title": "Writes of one byte fail on nodes of two architectures",
        "description": "A predicate is compiled for both.",
        "controls": [{"name": "kernel faults", "provider": control}],
        "runtime": {"rollbacks": {"strategy": "always"}},
        "method": method,
        "rollbacks": [{"type": "action", "name": "end it", "provider": end}],
    }
    file = directory / "experiment.json"
    file.write_text(json.dumps(document))
    return file


@pytest.fixture(scope="module")
def nodes(
    plane: ControlPlane, progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Both machines, with a pod on each."""
    with contextlib.ExitStack() as undo:
        machines = []
        for number, (name, package) in enumerate(NODES.items(), 1):
            architecture = ARCHITECTURES.get(name)
            asked = name if architecture else ""
            kernel = node_kernel(package, tmp_path_factory.mktemp("boot"), progress, asked)
            archives = [images.pause(progress, architecture=architecture)]
            archives.append(images.agent(architecture))
            place = tmp_path_factory.mktemp(name)
            machine = Machine(plane, name, number, kernel, archives, place, progress=progress)
            machines.append(undo.enter_context(machine))
        file = tmp_path_factory.mktemp("workload") / "workload.yaml"
        file.write_text(workloads())
        for machine in machines:  # a pod of a node that is not known yet is collected
            machine.await_ready()
            progress.phase(f"{machine.name} is ready")
        kubectl("apply", "-f", "deploy/rbac.yaml", "-f", str(file))
        for machine in machines:
            machine.await_(functools.partial(is_well, machine.name), RUNNING_SECONDS)
            progress.phase(f"the pod on {machine.name} is well")
        yield


def test_one_fault_with_a_predicate_hits_the_pods_of_both(nodes: None, tmp_path: Path) -> None:
    journal = played(experiment(tmp_path), tmp_path, PLAYED_SECONDS)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = outputs(journal)
    assert {node: seen[node]["stdout"].strip() for node in NODES} == dict.fromkeys(NODES, FULL)
    (fault,) = journal["chaoskernel"]["faults"]
    assert (fault["engine"], fault["state"], fault["leftovers"]) == ("core", "ended", [])
    counters = fault["counters"]
    hit = {each["node"]: each["injected"] for each in counters["pods"]}
    assert set(hit) == set(NODES)
    assert all(hit.values())
    assert sum(hit.values()) == counters["injected"]
    for node in NODES:
        assert within(120, functools.partial(is_well, node), 1)
