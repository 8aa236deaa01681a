"""A cluster as activities and commands reach it: connection, settings, and who asks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from chaoskernel.backend.backends import Backends
from chaoskernel.backend.record import Backend
from chaoskernel.chaosmesh.manifest import Selection
from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.fault.checks import check_flag, is_int
from chaoskernel.fault.limits import MAX_NODES
from chaoskernel.fault.scope import Scope
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.backend import ClusterBackend
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection, Self, connection, own_pod
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.job import Owner, Settings
from chaoskernel.k8s.job import settings as job_settings
from chaoskernel.k8s.nodes import Bounds
from chaoskernel.k8s.select import select
from chaoskernel.log import logger
from chaoskernel.shared import Shared


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """One cluster, and how faults are brought there.

    :param own: the pod of this process; None outside of a cluster.
    """

    cluster: Cluster
    connection: Connection
    settings: Settings
    own: Self | None

    def scope(
        self,
        selection: Selection,
        *,
        max_nodes: int = MAX_NODES,
        system_pods: bool = False,
        all_containers: bool = False,
        seed: int | None = None,
    ) -> Scope:
        """Return the scope that a selection is now.

        :raises ChaosKernelError: it is empty, or must not be hit.
        """
        bounds = bounded(max_nodes, system_pods, self.own)
        pods = select(selection, self.cluster, bounds, all_containers=all_containers, seed=seed)
        for pod in pods:
            if not selection.containers and pod.containers:
                logger.info("Pod %s: its first container, %s, is hit", pod, pod.containers[0].name)
        return Scope(pods=pods)

    def backend(self, backends: Backends, waits: Waits | None = None) -> Backend:
        """Return the backend of this cluster, which is one of the process's."""
        return backends.other(
            (self.connection, self.settings),
            lambda: ClusterBackend(self.cluster, self.settings, self._owner(), waits),
        )

    def _owner(self) -> Owner | None:
        """Return this process's pod where the Jobs can be its own: they end with it."""
        if self.own is None or self.own.namespace != self.settings.namespace:
            return None
        try:
            document = self.cluster.pod(self.own.namespace, self.own.name)
        except ChaosKernelError as error:
            logger.warning("Jobs of faults will outlive this pod, until their deadline: %s", error)
            return None
        return Owner(self.own.name, document["metadata"]["uid"])


def bounded(max_nodes: Any, system_pods: Any, own: Self | None) -> Bounds:
    """Return the bounds that arguments name.

    :raises InvalidFault: one is of a wrong type.
    """
    if not is_int(max_nodes) or max_nodes < 1:
        raise InvalidFault("max_nodes", max_nodes, "a whole number above 0")
    check_flag("system_pods", system_pods)
    return Bounds(max_nodes, system_pods, own)


Open = Callable[[Connection], Cluster]

_open: Shared[Open] = Shared(lambda: ApiCluster)


def reaching(cluster: Cluster) -> contextlib.AbstractContextManager[Open]:
    """Have every connection lead to a given cluster for a while."""
    return _open.replaced(lambda _: cluster)


def access(
    secrets: Mapping[str, str] | None = None,
    *,
    namespace: str = "",
    image: str = "",
    privileged: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Access:
    """Return the cluster that secrets and environment name.

    :param namespace: that of the Jobs.
    :raises ChaosKernelError: they name none, or it cannot be used.
    """
    given = connection(secrets, environment)
    settings = job_settings(namespace, image, privileged, environment)
    return Access(_open()(given), given, settings, own_pod(environment))
