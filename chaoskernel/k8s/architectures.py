"""The nodes of a fault -> what the agent of each is given: objects differ by architecture.

A fault with predicates is compiled once for each architecture that its nodes have: for this
machine's on the types of this kernel, for another on those of a node's kernel, which an agent there
says when it is asked.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from typing import NamedTuple

from chaoskernel.compiler import objects
from chaoskernel.compiler.objects import Target
from chaoskernel.errors import NotPermitted
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.nodes import by_node
from chaoskernel.log import logger

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""What Kubernetes calls an architecture, and `uname -m` there; other names are kept."""


class NodeKernel(NamedTuple):
    """The kernel of a node, as far as types depend on it."""

    machine: str
    release: str


class Architectures:
    """What the nodes of one cluster need; the types that they have said are kept.

    :param ask: has an agent on a node say its kernel's types, for a fault with pods there.
    :param here: what `uname -m` says on this machine; for tests.
    """

    def __init__(
        self, cluster: Cluster, ask: Callable[[Fault, str], bytes], here: str = ""
    ) -> None:
        self._cluster = cluster
        self._ask = ask
        self._here = here or platform.machine()
        self._types: dict[NodeKernel, bytes] = {}

    def assigned(self, fault: Fault) -> Mapping[str, Assignment]:
        """Return what the agent of each node is given.

        :raises ChaosKernelError: what the fault needs cannot be compiled, or a node does not say
            its types.
        """
        nodes = by_node(fault.scope.pods)
        if not objects.wants_object(fault):
            return dict.fromkeys(nodes, Assignment(fault))
        kernels = self._kernels()
        made: dict[str, Assignment] = {}
        found = {}
        for node in nodes:
            kernel = kernels.get(node) or NodeKernel(self._here, "")
            if kernel.machine not in made:
                made[kernel.machine] = objects.assigned(fault, self._target(fault, node, kernel))
            found[node] = made[kernel.machine]
        return found

    def _kernels(self) -> dict[str, NodeKernel]:
        """Return the kernels of all nodes, as far as they may be known.

        Where nodes may not be listed, they are taken for what this machine is; the agent on
        another refuses the object, and says why.
        """
        try:
            return {
                document["metadata"]["name"]: NodeKernel(
                    MACHINES.get(info["architecture"], info["architecture"]),
                    info.get("kernelVersion") or "",
                )
                for document in self._cluster.nodes()
                if (info := (document.get("status") or {}).get("nodeInfo") or {}).get(
                    "architecture"
                )
            }
        except NotPermitted as error:
            logger.debug("Nodes are taken for %s: %s", self._here, error)
            return {}

    def _target(self, fault: Fault, node: str, kernel: NodeKernel) -> Target:
        if kernel.machine == self._here:
            return objects.HERE

        def types() -> bytes:
            if kernel not in self._types:
                self._types[kernel] = self._ask(fault, node)
            return self._types[kernel]

        return Target(kernel.machine, types)
