"""What tests on machines that are nodes have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaoskernel.lab.progress import Lines, Progress
from tests.place import require
from tools.cluster import images, spaces
from tools.cluster.cluster import Cluster
from tools.cluster.control import ControlPlane


@pytest.fixture(scope="module")
def progress(request: pytest.FixtureRequest) -> Progress:
    """What takes minutes says so on the terminal, as it comes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    return Lines(write, name="node")


@pytest.fixture(scope="module")
def plane(progress: Progress, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane that `chaos`, `chaoskernel` and kubectl reach."""
    inside = bool(spaces.group())
    require(inside, "these are not a cluster's namespaces; `make test-node` makes them")
    cluster = Cluster(tmp_path_factory.mktemp("control"), 0, progress)
    # Half a CPU of an emulated machine would take minutes to arm a fault.
    ours = {"CHAOSKERNEL_IMAGE": images.AGENT, "CHAOSKERNEL_CPU": "1"}
    variables = {**cluster.environment, **ours}
    with cluster, pytest.MonkeyPatch.context() as environment:
        for name, value in variables.items():
            environment.setenv(name, value)
        yield cluster.plane
