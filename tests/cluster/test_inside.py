"""An experiment that runs in a pod of the cluster, with the account of deploy/rbac.yaml."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from chaoskernel.k8s import job
from tests.cluster import agents
from tests.cluster.conftest import ACCOUNT, ROOT
from tests.cluster.kubectl import apply, get, jobs, kubectl
from tests.waiting import within
from tools.cluster import images
from tools.cluster.cluster import Cluster


def experiment(name: str, pause: int, **selector: Any) -> Path:
    """Write an experiment of one rehearsal, where its pod will find it."""
    arguments = {
        "name": name,
        **selector,
        "mode": "all",
        "engine": "none",
        "dry_run": True,
        "duration": "10m",
    }
    func = {"module": "chaoskernel.actions", "func": "start_pod_injection"}
    start = {
        "type": "action",
        "name": name,
        "provider": {"type": "python", **func, "arguments": arguments},
        # Its pod runs before its kubelet has said so, and only pods that run are selected.
        "pauses": {"before": 5, "after": pause},
    }
    file = ROOT / "build/cluster" / f"{name}.json"
    document = {"title": name, "description": name, "method": [start]}
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def chaos(*experiments: Path) -> dict[str, Any]:
    """Return a pod that runs experiments one after the other, with this host's toolkit."""
    program = Path(sys.executable).with_name("chaos")
    command = "; ".join(f"{program} --no-version-check run {file}" for file in experiments)
    places = sorted({str(ROOT), sys.base_prefix, "/usr"})
    volumes = [(f"host-{number}", place) for number, place in enumerate(places)]
    mounts = [{"name": n, "mountPath": place, "readOnly": True} for n, place in volumes]
    environment = {
        "CHAOSTOOLKIT_IN_POD": "true",
        "CHAOSKERNEL_IMAGE": images.AGENT,
        "HOME": "/tmp",
        # There is no kube-proxy, which would have the API server at its service's address.
        "KUBERNETES_SERVICE_HOST": "10.64.0.1",
        "KUBERNETES_SERVICE_PORT": "6443",
    }
    container = {
        "name": "chaos",
        "image": images.AGENT,
        "command": ["sh", "-c", command],
        "workingDir": "/tmp",
        "securityContext": {"runAsUser": 0},
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "chaos", "namespace": ACCOUNT, "labels": {"app": "chaos"}},
        "spec": {
            "nodeName": "node-1",
            "serviceAccountName": ACCOUNT,
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                *({"name": name, "hostPath": {"path": place}} for name, place in volumes),
            ],
        },
    }


def test_it_is_not_hit_by_itself_and_its_faults_end_with_its_pod(shop: Cluster) -> None:
    itself = experiment("itself", 0, namespaces=[ACCOUNT], label_selectors={"app": "chaos"})
    others = experiment("others", 600, namespaces=["shop"], label_selectors={"app": "db"})
    apply(chaos(itself, others))
    try:
        assert within(60, lambda: len(agents.running("others")) == 2), _log()
        assert f"'{ACCOUNT}/chaos' is not allowed: the experiment itself runs in it" in _log()
        owner = get("pod", "-n", ACCOUNT, "chaos")["metadata"]["uid"]
        found = get("jobs", "-n", ACCOUNT)["items"]
        assert [each["metadata"]["ownerReferences"][0]["uid"] for each in found] == [owner, owner]
        # What is deleted before its kubelet has reported that it runs, a kubelet of 1.20 lets run.
        assert within(60, lambda: _phases(f"{job.LABEL_FAULT}=others") == ["Running", "Running"])
    finally:
        kubectl("delete", "pod", "-n", ACCOUNT, "chaos", "--grace-period=1")
    assert within(60, lambda: _phases() == [] and agents.running() == []), _phases()
    assert jobs() == []


def _phases(labels: str = "") -> list[str]:
    """Return the phases of the pods that run where Jobs are made."""
    return [p["status"]["phase"] for p in get("pods", "-n", ACCOUNT, "-l", labels)["items"]]


def _log() -> str:
    return kubectl("logs", "-n", ACCOUNT, "chaos")
