"""A whole cluster: control plane and nodes."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaoskernel.lab.progress import Progress
from tools.cluster import images, source
from tools.cluster.control import ControlPlane
from tools.cluster.lifetime import Lifetime
from tools.cluster.node import Node


class Cluster(Lifetime):
    """A cluster, from entering this context to leaving it; only inside its namespaces.

    :param directory: for logs, certificates and kubeconfigs; it is made.
    :param nodes: how many.
    :raises ChaosKernelError: it cannot be brought up.
    """

    def __init__(self, directory: Path, nodes: int, progress: Progress) -> None:
        self._progress = progress
        programs = source.binaries(progress)
        self.plane = ControlPlane(directory, programs, progress=progress)
        archives = [images.pause(progress), images.agent()] if nodes else []
        self.nodes = [
            Node(self.plane, f"node-{number}", number, archives) for number in range(1, nodes + 1)
        ]

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs: the administrator's kubeconfig, and kubectl."""
        path = f"{self.plane.programs}:{os.environ.get('PATH', '')}"
        return {"KUBECONFIG": str(self.plane.kubeconfig), "PATH": path}

    def _begin(self, undo: contextlib.ExitStack) -> None:
        undo.enter_context(self.plane)
        if self.nodes:
            self._progress.phase(f"starting {len(self.nodes)} nodes, with their images")
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                for _ in pool.map(undo.enter_context, self.nodes):
                    pass
