"""Chaos Mesh's documents: manifests, what they convert to, and the pods that they select."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from chaoskernel.chaosmesh import manifest
from chaoskernel.chaosmesh.manifest.arguments import selected_by
from chaoskernel.cli import convert
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import nodes
from chaoskernel.k8s.select import select
from chaoskernel.toolkit.experiment import experiment
from tests.fuzz import mutate
from tests.fuzz.target import Target, invoked, loaded, require
from tests.unit.k8s.fake_cluster import FakeCluster, pod

CHAIN = [
    {
        "funcname": "d_alloc_parallel",
        "parameters": "struct dentry *parent, const struct qstr *name",
        "predicate": 'STRNCMP(name->name, "bananas", 8)',
    },
    {"funcname": "sys_mount"},
]


_KERNEL_CHAOS = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "KernelChaos",
    "metadata": {"name": "demo", "namespace": "apps", "labels": {"a": "b"}, "annotations": {}},
    "spec": {
        "mode": "fixed-percent",
        "value": "50",
        "selector": {
            "namespaces": ["shop"],
            "labelSelectors": {"app.kubernetes.io/name": "db"},
            "expressionSelectors": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
            "annotationSelectors": {"x/y": "z"},
            "fieldSelectors": {"status.phase": "Running"},
            "podPhaseSelectors": ["Running", "!Failed"],
            "nodes": ["worker-1"],
            "nodeSelectors": {"disk": "ssd"},
        },
        "containerNames": ["app"],
        "duration": "30s",
        "failKernRequest": {
            "failtype": 0,
            "headers": ["linux/mmzone.h"],
            "callchain": CHAIN,
            "probability": 10,
            "times": 3,
        },
    },
}


_SCHEDULE = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "Schedule",
    "metadata": {"name": "ticks"},
    "spec": {
        "schedule": "*/5 * * * *",
        "type": "KernelChaos",
        "concurrencyPolicy": "Allow",
        "historyLimit": 2,
        "startingDeadlineSeconds": 5,
        "kernelChaos": {
            "mode": "all",
            "selector": {"pods": {"shop": ["db-0"]}},
            "failKernRequest": {"failtype": 2, "callchain": []},
        },
    },
}


_MANIFEST_WORDS = (
    *("apiVersion", "kind", "metadata", "spec", "name", "namespace", "mode", "value", "selector"),
    *("KernelChaos", "Schedule", "one", "all", "fixed", "random-max-percent", "matchLabels"),
    *("scheduler", "cron", "@every 1m", "callchain", "funcname", "predicate", "failtype"),
    *("cart|stock", "in (a, b)", "system,edge", "!x", "NotIn", "Exists", "DoesNotExist", "a=b"),
    *("<<", "*a", "&a", "!!python/object:os.system", "!!binary", "---", "...", "? ", "- ", "~"),
)


def _yaml(document: Any) -> str:
    """Write a document as YAML does; what YAML cannot say stays JSON."""
    try:
        return str(yaml.safe_dump(document))
    except yaml.YAMLError:
        return json.dumps(document)


def _try_manifest(given: str, scratch: Path) -> None:
    found = manifest.parse(given)
    written = experiment(found, {})
    require(json.loads(json.dumps(written)) == written, "the experiment is not JSON")
    for chaos in found:
        fault = chaos.fault(Scope(system_wide=True))
        require(Fault.from_json(fault.to_json()) == fault, "the agent reads another fault")


def _try_convert(given: str, scratch: Path) -> None:
    """Convert a file, as its user does."""
    file = scratch / "kernelchaos.yaml"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    output = scratch / "experiment.yaml"
    invoked(convert.command, str(file), "-o", str(output))
    require(isinstance(yaml.safe_load(output.read_text("utf-8")), dict), "no experiment")


_SELECTIONS: tuple[dict[str, Any], ...] = (
    {
        "namespaces": ["shop"],
        "labelSelectors": {"app.kubernetes.io/name": "db"},
        "expressionSelectors": [{"key": "tier", "operator": "NotIn", "values": ["b"]}],
        "podPhaseSelectors": ["Running"],
        "nodes": ["worker-1"],
        "nodeSelectors": {"disk": "ssd"},
        "mode": "all",
        "names": ["app"],
    },
    {"pods": {"shop": ["db-0"]}, "mode": "fixed", "value": 1},
    {"namespaces": ["shop"], "annotationSelectors": {"x/y": "z"}, "mode": "one"},
)


_PODS = (
    pod("db-0", metadata={"labels": {"app.kubernetes.io/name": "db", "tier": "a"}}),
    pod("web-0", "worker-2", metadata={"labels": {"tier": "c"}, "annotations": {"x/y": "z"}}),
    pod("job-0", phase="Pending"),
)


_BESIDE = ("mode", "value", "names")


# docs: Labels and Selectors, "Syntax and character set"
_LABEL = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"
    r"=([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?",
    re.ASCII,
)


class _Cluster(FakeCluster):
    """Keeps the selectors that it is asked by."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[str] = []

    def pods(self, namespace: str, labels: str = "") -> Iterator[dict[str, Any]]:
        self.asked.append(labels)
        return super().pods(namespace, labels)


def _try_selection(given: str, _: Path) -> None:
    """Select from a cluster's pods by what an activity's arguments say."""
    arguments = loaded(given)
    cluster = _Cluster({}, *_PODS)
    cluster.node_documents = [{"metadata": {"name": "worker-1", "labels": {"disk": "ssd"}}}]
    if isinstance(arguments, dict):
        mode, value, names = (arguments.pop(key, None) for key in _BESIDE)
        selection = selected_by(mode, value, names, arguments)
        select(selection, cluster, nodes.Bounds(), seed=1)
        for labels in cluster.asked:
            valid = all(_LABEL.fullmatch(label) for label in labels.split(",") if labels)
            require(valid, "the server is asked for labels that nothing can have")


TARGETS = (
    Target(
        "manifests",
        16,
        mutate.documents((_KERNEL_CHAOS, _SCHEDULE), _MANIFEST_WORDS, write=_yaml)
        | mutate.documents((_KERNEL_CHAOS, _SCHEDULE), _MANIFEST_WORDS),
        _try_manifest,
        tuple(json.dumps(each) for each in (_KERNEL_CHAOS, _SCHEDULE)),
        (
            *mutate.DEEP,
            "&a [*a, *a]",
            "a: &a [" + "x," * 9 + "]\n" + "".join(f"b{n}: &b{n} [*a,*a]\n" for n in range(9)),
            "- " * 20_000,
            "? " * 20_000,
            "{" * 20_000,
            "!!python/object/apply:os.system [true]",
            "---\n" * 20_000,
            "a: " * 300,
            "x: 1_000:59:59\ny: 0o777\nz: .inf\n",
        ),
    ),
    Target(
        "convert",
        2,
        mutate.documents((_KERNEL_CHAOS, _SCHEDULE), _MANIFEST_WORDS, write=_yaml),
        _try_convert,
        (_yaml(_KERNEL_CHAOS), _yaml(_SCHEDULE)),
        mutate.DEEP,
    ),
    Target(
        "selections",
        8,
        mutate.documents(
            _SELECTIONS,
            _MANIFEST_WORDS,
        ),
        _try_selection,
        tuple(map(json.dumps, _SELECTIONS)),
    ),
)
