"""`chaos init` can be finished for every activity, and what it writes is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from chaoslib.experiment import ensure_experiment_is_valid

import chaoskernel
from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore import activities as explorations
from chaoskernel.toolkit import arguments

MANIFEST = str(Path(__file__).parents[2] / "experiments/manifests/kernel-chaos-example.yaml")

REQUIRED = {"name": "f", "manifest": MANIFEST, "command": "sync /"}
"""Arguments without a default: Return alone names nothing."""

TYPED = {
    **REQUIRED,
    "fault": "write",
    "callchain": "sys_pwrite64, vfs_write",
    "probability": "50",
    "times": "3",
    "duration": "90s",
    "pids": "4711",
    "pid_files": "/run/db.pid",
    "commands": "db, wal",
    "cgroups": "/system.slice/db.service",
    "mechanism": "auto",
    "engine": "core",
    "errno": "EIO",
    "headers": "linux/fs.h,linux/uio.h",
    "paths": "/var/lib/db",
    "namespaces": "shop",
    "label_selectors": "app=web,tier=db",
    "annotation_selectors": "a=b",
    "expression_selectors": '[{"key": "app", "operator": "In", "values": ["web"]}]',
    "field_selectors": "spec.nodeName=worker-1",
    "pod_phase_selectors": "Running",
    "nodes": "worker-1",
    "node_selectors": "zone=a",
    "pods": '{"shop": ["web-1"]}',
    "mode": "fixed",
    "value": "1",
    "seed": "7",
    "container_names": "app",
    "max_nodes": "2",
    "minimum": "2",
    "timeout": "20s",
    "limit": "5",
    "faults": "slab, page",
    "phases": "work",
    "namespace": "default",
}

Document = dict[str, Any]


def activities() -> list[Document]:
    found: Any = chaoskernel.discover()["activities"]
    return list(found)


def answers(typed: Mapping[str, str]) -> str:
    """Return what is typed into `chaos init` for a method of all activities, in their order."""
    lines = ["a title", "n", "y"]
    for number, each in enumerate(activities(), 1):
        asked = [given["name"] for given in each["arguments"] if given["name"] != "secrets"]
        lines += [str(number), "y", *(typed.get(name, "") for name in asked)]
        lines.append("y" if number < len(activities()) else "n")
    return "\n".join([*lines, "n", ""])


def written(tmp_path: Path, typed: Mapping[str, str]) -> Document:
    """Return the experiment that the real `chaos init` writes."""
    discovered = tmp_path / "discovery.json"
    discovered.write_text(json.dumps(chaoskernel.discover()), encoding="utf-8")
    chaos = Path(sys.executable).with_name("chaos")
    options = ("--discovery-path", discovered, "--experiment-path", tmp_path / "experiment.json")
    done = subprocess.run(
        [chaos, "--no-version-check", "init", *options],
        input=answers(typed),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PAGER": "cat"},  # of more than 20 activities
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    document: Document = json.loads((tmp_path / "experiment.json").read_text(encoding="utf-8"))
    ensure_experiment_is_valid(document)
    assert [each["provider"]["func"] for each in document["method"]] == [
        each["name"] for each in activities()
    ]
    return document


def given(document: Document, function: str) -> Document:
    """Return the arguments of an activity, by its function."""
    (found,) = (each for each in document["method"] if each["provider"]["func"] == function)
    return {
        key: value
        for key, value in found["provider"]["arguments"].items()
        if key not in ("secrets", "jobs_namespace", "image", "privileged", "kubernetes")
    }


def test_return_alone_finishes_every_activity(tmp_path: Path) -> None:
    document = written(tmp_path, REQUIRED)
    with pytest.raises(ChaosKernelError, match="^scope: missing; name pids"):
        arguments.host_fault(**given(document, "start_injection"))
    scope = {"commands": ["db"]}  # whom it hits nobody can leave out
    fault = arguments.host_fault(**{**given(document, "start_injection"), **scope})
    assert fault == arguments.host_fault(name="f", **scope)
    request = arguments.pod_request(**given(document, "start_pod_injection"))
    assert request == arguments.pod_request(name="f")
    assert arguments.count("minimum", given(document, "wait_for_injection")["minimum"]) == 1


def test_typed_values_are_taken_as_they_were_meant(tmp_path: Path) -> None:
    document = written(tmp_path, TYPED)
    fault = arguments.host_fault(**given(document, "start_injection"))
    assert [frame.funcname for frame in fault.callchain] == ["sys_pwrite64", "vfs_write"]
    assert fault.scope.pids == (4711,)
    assert fault.scope.pid_files == ("/run/db.pid",)
    assert fault.scope.commands == ("db", "wal")
    assert fault.headers == ("linux/fs.h", "linux/uio.h")
    assert fault.where.paths == ("/var/lib/db",)
    assert (fault.limits.probability, fault.limits.times) == (50, 3)
    request = arguments.pod_request(**given(document, "start_pod_injection"))
    assert request.selection.selector.pods == {"shop": ("web-1",)}
    assert request.selection.selector.labels == {"app": "web", "tier": "db"}
    assert (request.seed, request.max_nodes) == (7, 2)
    for function, read in (
        ("apply_kernel_chaos", arguments.host_documents),
        ("apply_pod_kernel_chaos", arguments.pod_documents),
    ):
        of_a_cluster = {"max_nodes", "system_pods"} if "pod" not in function else set()
        typed = given(document, function)
        loaded = read(**{key: typed[key] for key in typed.keys() - of_a_cluster}).documents
        assert loaded[0].name == "kernel-chaos-example"
    plan = explorations.planned(
        **{
            key: value
            for key, value in given(document, "explore").items()
            if key not in ("state", "resume")
        }
    )
    assert [kind.value for kind in plan.faults] == ["slab", "page"]
    wait = given(document, "wait_for_injection")
    assert (arguments.count("minimum", wait["minimum"]), wait["timeout"]) == (2, "20s")
