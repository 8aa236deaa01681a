"""The administrator of the tests' cluster, who makes workloads and looks at what is there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

from tools.cluster import images

ADMIN = "CLUSTER_ADMIN"
"""The variable with the administrator's kubeconfig; KUBECONFIG is that of the experiments."""

_SECONDS = 200


def kubectl(*arguments: str, document: Any = None) -> str:
    """Run kubectl, and return what it printed.

    :param document: goes to its standard input as JSON.
    """
    done = subprocess.run(
        ["kubectl", "--kubeconfig", os.environ[ADMIN], *arguments],
        input=None if document is None else json.dumps(document),
        stdin=subprocess.DEVNULL if document is None else None,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def get(*arguments: str) -> dict[str, Any]:
    """Return an object, or a list of them."""
    found: dict[str, Any] = json.loads(kubectl("get", "--output=json", *arguments))
    return found


def apply(*documents: dict[str, Any]) -> None:
    """Make objects, or bring them up to date."""
    kubectl("apply", "-f", "-", document={"apiVersion": "v1", "kind": "List", "items": documents})


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def pod(
    name: str,
    node: str,
    *,
    space: str = "shop",
    containers: Sequence[str] = ("app",),
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    command: Sequence[str] = ("sleep", "infinity"),
) -> dict[str, Any]:
    """Return a pod that does nothing, on a node."""
    metadata = {"labels": labels or {}, "annotations": annotations or {}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, **metadata},
        "spec": {
            "nodeName": node,
            # With none at all the pod is forgotten at once, and its kubelet may run it once more.
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "containers": [
                {"name": each, "image": images.AGENT, "command": list(command)}
                for each in containers
            ],
        },
    }


def await_ready(space: str, *pods: str) -> None:
    """Wait until pods are ready: those that are named, or all of a namespace."""
    which = pods or ("--all",)
    kubectl("wait", "--for=condition=Ready", "--timeout=180s", "-n", space, "pod", *which)


def jobs(space: str = "chaoskernel") -> list[str]:
    """Return the names of the Jobs of a namespace."""
    return [job["metadata"]["name"] for job in get("jobs", "-n", space)["items"]]
