"""A pod's disk is full, on a node that has its distribution's own kernel, and `chaos run`.

    python -m tools.cluster enter -- .venv/bin/pytest tests/e2e/test_stock_node.py

The workload and its observer are those of test_cluster.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.lab.progress import Progress
from tests.e2e import test_cluster as nodes
from tests.e2e.test_cluster import EXPERIMENTS, NODE, NOTHING, WELL
from tools.cluster import images
from tools.cluster.control import ControlPlane
from tools.cluster.machine import Machine
from tools.cluster.stock import node_kernel

PACKAGE = "linux-image-amd64"
PLAYED_SECONDS = 900
"""Each of the two faults has a Job of its own."""

FULL = "mount EPERM, read well, write ENOSPC, create ENOSPC"
FAULTS = {
    "pod-disk-full-write": ["security_file_permission"],
    "pod-disk-full-create": [
        f"security_inode_{call}" for call in ("create", "mkdir", "mknod", "symlink", "link")
    ],
}


@pytest.fixture(scope="module")
def stock_machine(
    plane: ControlPlane, progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The node, with the three pods on it."""
    directory = tmp_path_factory.mktemp("machine")
    kernel = node_kernel(PACKAGE, tmp_path_factory.mktemp("boot"), progress)
    archives = [images.pause(progress), images.agent()]
    with Machine(plane, NODE, 1, kernel, archives, directory, progress=progress) as node:
        nodes.start_pods(node, progress)
        yield node


def test_a_volume_is_full_for_one_pod_and_not_for_its_neighbour(
    stock_machine: Machine, tmp_path: Path
) -> None:
    assert nodes.programs() == NOTHING
    journal = nodes.played(EXPERIMENTS / "kubernetes-disk-full.json", tmp_path, PLAYED_SECONDS)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = nodes.outputs(journal)
    assert seen["what the victim reports"]["stdout"].splitlines()[-1] == FULL
    assert seen["what the victim reports again"]["stdout"].splitlines()[-1] == WELL
    faults = {fault["name"]: fault for fault in journal["chaoskernel"]["faults"]}
    assert {name: fault["hooks"] for name, fault in faults.items()} == FAULTS
    for fault in faults.values():
        assert (fault["engine"], fault["state"], fault["leftovers"]) == ("core", "ended", [])
        counters = fault["counters"]
        assert counters["pods"] == [
            {"pod": "chaos-demo/victim", "injected": counters["injected"], "node": NODE}
        ]
        assert counters["injected"] >= 2
    assert {run["status"] for run in journal["rollbacks"]} == {"succeeded"}
    nodes.nothing_is_left()
    assert set(nodes.log("neighbour")) == {WELL}
