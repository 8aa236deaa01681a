"""The backend that is a cluster: for each node with a pod of the scope a Job, with an agent.

All of them are armed, or none stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from chaoskernel.backend.launch import start_seconds
from chaoskernel.backend.record import Record, State
from chaoskernel.backend.registry import Registry, stop_each
from chaoskernel.errors import AgentError, InvalidFault
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.sites import Site
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.architectures import Architectures
from chaoskernel.k8s.injection import Injection, Waits
from chaoskernel.k8s.job import Owner, Settings
from chaoskernel.log import logger


class ClusterBackend:
    """Faults of this process on the nodes of a cluster.

    :param owner: whose end is the end of all Jobs.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        owner: Owner | None = None,
        waits: Waits | None = None,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._owner = owner
        self._waits = waits or Waits()
        self._faults: Registry[Injection] = Registry(
            "on this cluster by this process", "start_pod_injection"
        )
        self._architectures = Architectures(cluster, self._types)

    def start(self, fault: Fault) -> Record:
        """Inject a fault on every node that has a pod of its scope; return once all are armed.

        :raises ChaosKernelError: one is not, with its node, pods and cause; nothing stays.
        """
        if not fault.scope.pods:
            raise InvalidFault(
                "scope", "", problem="missing pods", hint="start_pod_injection names them"
            )
        given = self._architectures.assigned(fault)
        with contextlib.ExitStack() as undo:
            held = self._armed(Assignment(fault), undo, given)
            undo.pop_all()
        record = held.record()
        for warning in record.armed["warnings"]:
            logger.warning("Fault '%s': %s", fault.name, warning)
        return record

    def _armed(
        self,
        given: Assignment,
        undo: contextlib.ExitStack,
        of_nodes: Mapping[str, Assignment] | None = None,
    ) -> Injection:
        """Return a fault that is armed on all its nodes; `undo` ends it."""

        def injection() -> Injection:
            return Injection(given, self._cluster, self._settings, self._waits, of_nodes)

        limit = self._waits.start
        seconds = start_seconds() if limit is None else limit
        held = self._faults.enter(given.fault.name, injection, undo)
        held.create(seconds, self._owner)
        held.await_armed(seconds)
        return held

    def _types(self, fault: Fault, node: str) -> bytes:
        """Return the types of a node's kernel: a rehearsal of the fault there says them."""
        pods = tuple(pod for pod in fault.scope.pods if pod.node == node)
        rehearsal = dataclasses.replace(
            fault,
            scope=dataclasses.replace(fault.scope, pods=pods),
            engine=EngineName.NONE,
            dry_run=True,
        )
        with contextlib.ExitStack() as undo:
            return self._armed(Assignment(rehearsal, types=True), undo).types()

    def counters(self, name: str) -> dict[str, Any]:
        """Return a fault's counters, as its agents last reported them: each second.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: an agent is silent.
        """
        held = self._faults.named(name)
        held.require_voices()
        return dict(held.record().counters)

    def events(self, name: str, limit: int) -> dict[str, Any]:
        """Return a fault's latest injections; see `Backend.events`.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: it is in force still: agents on nodes tell of them at the end.
        """
        record = self.record(name)
        if record.state is State.ACTIVE:
            raise AgentError(
                f"the events of fault '{name}' are known once it has ended",
                hint="put this probe after stop_pod_injection",
            )
        return record.latest(limit)

    def sites(self, name: str) -> Sequence[tuple[Site, int]]:
        """See `Backend.sites`; no fault of a cluster has any.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: it was.
        """
        self.record(name)
        raise AgentError(
            f"fault '{name}' records no sites", hint="start_injection does, on one host"
        )

    def record(self, name: str) -> Record:
        """Return what is known of a fault.

        :raises UnknownFault: no fault of that name was started.
        """
        return self._faults.named(name).record()

    def records(self) -> Sequence[Record]:
        """Return what is known of every fault, in the order in which they were started."""
        return self._faults.records()

    def stop(self, name: str = "") -> Sequence[Record]:
        """End a fault, or all of them, and return them with their final counters.

        Every node is seen to before an error of one of them is raised.

        :raises EngineError: of some nodes it could not be confirmed that nothing is left.
        """
        return stop_each(
            self._faults.chosen(name), hint="`chaoskernel ps --kubernetes` shows what is left"
        )
