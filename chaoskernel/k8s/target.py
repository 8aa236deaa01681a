"""The target that is a cluster: for each node with a pod of the scope a Job, with an agent.

All of them are armed, or none stays.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

from chaoskernel.backend.launch import start_seconds
from chaoskernel.backend.target import Record, State
from chaoskernel.compiler.objects import with_object
from chaoskernel.errors import AgentError, EngineError, InvalidFault, UnknownFault
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.injection import Cluster, Injection, Waits
from chaoskernel.k8s.job import Owner, Settings
from chaoskernel.log import logger


class ClusterTarget:
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
        self._lock = threading.Lock()
        self._held: list[Injection] = []

    def start(self, fault: Fault) -> Record:
        """Inject a fault on every node that has a pod of its scope; return once all are armed.

        :raises ChaosKernelError: one is not, with its node, pods and cause; nothing stays.
        """
        if not fault.scope.pods:
            raise InvalidFault("scope", "", "one of pods", hint="start_pod_injection makes it")
        fault = with_object(fault)
        limit = self._waits.start
        seconds = start_seconds() if limit is None else limit
        with contextlib.ExitStack() as undo:
            held = self._hold(fault, undo)
            held.create(seconds, self._owner)
            held.await_armed(seconds)
            undo.pop_all()
        record = held.record()
        for warning in record.armed["warnings"]:
            logger.warning("Fault '%s': %s", fault.name, warning)
        return record

    def counters(self, name: str) -> dict[str, Any]:
        """Return a fault's counters, as its agents last reported them: each second.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: an agent is silent.
        """
        held = self._named(name)
        held.require_voices()
        return dict(held.record().counters)

    def events(self, name: str, limit: int) -> dict[str, Any]:
        """Return a fault's latest injections; see `Target.events`.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: it is in force still: agents on nodes tell of them at the end.
        """
        record = self.record(name)
        if record.state is State.ACTIVE:
            raise AgentError(
                f"the events of fault '{name}' are known once it has ended",
                hint="put this probe after stop_pod_injection",
            )
        kept = record.events[max(0, len(record.events) - limit) :]
        return {"events": list(kept), "dropped": record.dropped}

    def record(self, name: str) -> Record:
        """Return what is known of a fault.

        :raises UnknownFault: no fault of that name was started.
        """
        return self._named(name).record()

    def records(self) -> Sequence[Record]:
        """Return what is known of every fault, in the order in which they were started."""
        with self._lock:
            return [held.record() for held in self._held if held.armed]

    def stop(self, name: str = "") -> Sequence[Record]:
        """End a fault, or all of them, and return them with their final counters.

        Every node is seen to before an error of one of them is raised.

        :raises EngineError: of some nodes it could not be confirmed that nothing is left.
        """
        with self._lock:
            chosen = [held for held in self._held if name in ("", held.fault.name)]
        if name:
            chosen = chosen[-1:]
        troubles = [trouble for held in chosen for trouble in held.stop()]
        if troubles:
            raise EngineError(
                "; ".join(troubles), hint="`chaoskernel ps --kubernetes` shows what is left"
            )
        return [held.record() for held in chosen if held.armed]

    def _hold(self, fault: Fault, undo: contextlib.ExitStack) -> Injection:
        with self._lock:
            for held in self._held:
                if held.fault.name == fault.name and held.record().state is State.ACTIVE:
                    raise InvalidFault(
                        "name",
                        fault.name,
                        "free: a fault of that name is active",
                        hint="stop that one first, or take another name",
                    )
            new = Injection(fault, self._cluster, self._settings, self._waits)
            self._held.append(new)
        undo.callback(self._held.remove, new)
        undo.callback(new.give_up)
        return new

    def _named(self, name: str) -> Injection:
        with self._lock:
            armed = [held for held in self._held if held.armed]
        for held in reversed(armed):
            if held.fault.name == name:
                return held
        known = ", ".join(dict.fromkeys(held.fault.name for held in armed))
        raise UnknownFault(
            f"no fault named '{name}' was started on this cluster by this process",
            hint=f"there are: {known}" if known else "start_pod_injection starts one",
        )
