"""The gallery's experiments on pods, by a real `chaos run`, as rehearsals.

Nothing is injected, and so each of them has to deviate: that is what a rehearsal is told by.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import agents
from tests.cluster.conftest import ROOT
from tests.cluster.kubectl import ADMIN, await_ready, jobs, kubectl
from tools.cluster.cluster import Cluster

EXPERIMENTS = {
    "kubernetes-pod-enomem.json": ["pod-enomem"],
    "kubernetes-bio-eio.json": ["pod-eio"],
    "kubernetes-kernelchaos.yaml": ["pod-mount-enomem"],
    "kubernetes-disk-full.json": ["pod-disk-full-write", "pod-disk-full-create"],
}
STARTS = ("start_pod_injection", "apply_pod_kernel_chaos")


@pytest.fixture(scope="module")
def demo(cluster: Cluster) -> None:
    """The workload of the experiments."""
    kubectl("apply", "-f", str(ROOT / "experiments/kubernetes/workload.yaml"))
    await_ready("chaos-demo")


def rehearsal(file: Path) -> dict[str, Any]:
    """Return an experiment whose faults are rehearsals, and which does not wait long."""
    experiment: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    for activity in experiment["method"]:
        if activity["provider"].get("func") in STARTS:
            activity["provider"]["arguments"].update(engine="none", dry_run=True)
        if activity["provider"].get("func") == "wait_for_injection":
            activity["provider"]["arguments"].update(timeout=1)
        activity.get("pauses", {}).update(after=1)
    return experiment


def _administrators(place: Path) -> Path:
    """Return a directory with a kubectl that is the administrator's: he looks at the workload."""
    directory = place / "bin"
    directory.mkdir()
    wrapper = directory / "kubectl"
    real = shutil.which("kubectl")
    wrapper.write_text(f'#!/bin/sh\nexec {real} --kubeconfig "${ADMIN}" "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    return directory


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_finds_its_victim_hits_nothing_and_says_so(
    demo: None, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(rehearsal(ROOT / "experiments" / name)), encoding="utf-8")
    chaos = str(Path(sys.executable).with_name("chaos"))
    done = subprocess.run(
        [chaos, "--no-version-check", "--no-log-file", "run", str(file)],
        cwd=tmp_path,
        env={
            **os.environ,
            "CHAOSKERNEL_EXPERIMENTS": str(ROOT / "experiments"),
            "PATH": f"{_administrators(tmp_path)}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    journal = json.loads((tmp_path / "journal.json").read_text(encoding="utf-8"))
    assert (journal["deviated"], done.returncode) == (True, 1), done.stderr
    faults = journal["chaoskernel"]["faults"]
    assert [fault["name"] for fault in faults] == EXPERIMENTS[name]
    for fault in faults:
        assert (fault["engine"], fault["state"]) == ("none", "ended")
        (counted,) = fault["counters"]["pods"]
        assert (counted["pod"], counted["injected"]) == ("chaos-demo/victim", 0)
        assert len(counted["control_groups"]) == 1
    assert any("injected nothing" in line for line in journal["chaoskernel"]["shortfalls"])
    assert (jobs(), agents.running()) == ([], [])
