"""One node's agent, as its pod and its log tell of it."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaoskernel.agent import protocol
from chaoskernel.backend.series import Series
from chaoskernel.errors import AgentError, ChaosKernelError
from chaoskernel.fault.pods import PodScope
from chaoskernel.k8s.api_errors import plain, pod_trouble
from chaoskernel.k8s.owner import owner_of
from chaoskernel.k8s.pieces import Pieces
from chaoskernel.k8s.progress import Roll, Standing
from chaoskernel.k8s.recent_events import Latest

SILENT_SECONDS = 45.0
"""An agent says something every 10 s; one that has not for so long is cut off."""

LAST_WORDS_SECONDS = 5.0
"""How long the log of a pod that has ended is waited for: some kubelets leave the stream of one
that says nothing more open when it is deleted."""

_REPLACED: Mapping[str, Sequence[str]] = {
    protocol.ARMED: (protocol.PROGRESS,),
    protocol.DISARMED: (protocol.COUNTERS, protocol.ALIVE),
}
"""Messages of which nothing is left to be known once another has come: all nodes' are kept."""

_TAIL = 200
_MOST_EARLY = 16
"""Events of pods that are kept until the Job's uid is known: some milliseconds."""


class NodeAgent:
    """What is known of the agent of one node.

    :param job: the Job's name.
    :param pods: what it is to hit.
    :param roll: guards and announces every change.
    :param latest: takes in the events that it tells of at its end.
    :param series: takes in its counters.
    :param clock: tells seconds, from anywhere on.
    """

    def __init__(
        self,
        node: str,
        job: str,
        pods: Sequence[PodScope],
        roll: Roll,
        latest: Latest,
        series: Series,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self.job = job
        self.pods = pods
        self.pod = ""
        self.created = False
        self.types: Pieces | None = None
        self._uid: str | None = None  # of the Job; None until the server has told, or has not
        self._early: list[tuple[str, dict[str, Any]]] = []
        self._roll = roll
        self._latest = latest
        self._series = series
        self._said: dict[str, Mapping[str, Any]] = {}
        self._clock = clock
        self._heard_at = clock()
        self._finished_at = math.inf
        self._trouble = ""
        self._other = ""  # a last line that is no message: an interpreter's own
        self._readable = False
        self._leaving = False
        self._gone_at = ""
        self._finished = False
        self._log_ended = False
        with roll:
            self.note()

    @property
    def armed(self) -> bool:
        """Whether its fault came into force at any time."""
        return protocol.ARMED in self._said

    @property
    def disarmed(self) -> bool:
        """Whether it has said that its fault is over."""
        return protocol.DISARMED in self._said

    @property
    def over(self) -> bool:
        """Whether nothing more is to be learnt of it."""
        if protocol.ERROR in self._said or self.disarmed:
            return True
        # A kubelet starts nothing of a pod that is to go, but may keep it for a minute.
        if self._leaving and self._trouble and not self._readable:
            return True
        # The end of the log may come after that of the pod: it has the last words.
        late = self._clock() - self._finished_at > LAST_WORDS_SECONDS
        return self.finished and (self._log_ended or not self._readable or late)

    @property
    def active(self) -> bool:
        """Whether its fault is in force, as far as is known."""
        return self.armed and not self.over and not self._is_past()

    @property
    def finished(self) -> bool:
        """Whether its pod runs no more, or is gone: its log gets no more lines."""
        return self._finished or bool(self._gone_at)

    @property
    def settled(self) -> bool:
        """Whether nothing of it is left: it said so, failed, or never came to life."""
        return self.disarmed or self.over or (not self.pod and not self.armed)

    def said(self, kind: str) -> Mapping[str, Any]:
        """Return its last message of a type; empty when there was none."""
        return self._said.get(kind, {})

    def counters(self) -> Mapping[str, Any]:
        """Return the final counters, else the last ones that it reported."""
        last = self.said(protocol.DISARMED) or self.said(protocol.COUNTERS)
        found: Mapping[str, Any] = last.get("counters", {})
        return found

    def silent_for(self) -> float:
        """Return for how many seconds nothing was heard of it."""
        return self._clock() - self._heard_at

    def ended_at(self) -> str:
        """Return when it ended, as far as is known: ISO 8601, UTC."""
        said = self.said(protocol.DISARMED)
        return str(said.get("ended_at", "")) or self._gone_at or self.expires_at()

    def expires_at(self) -> str:
        """Return when its fault ends by itself; empty when it was not armed."""
        return str(self.said(protocol.ARMED).get("expires_at", ""))

    def error(self) -> ChaosKernelError | None:
        """Return why its fault is not, or no longer, in force; None when it is or may come."""
        if said := self.said(protocol.ERROR):
            return protocol.error_of(said)
        # Once a container has run, its log says it better than its status does.
        if self._trouble and (self._log_ended or not self._readable):
            return AgentError(self._trouble + (f" ({self._other})" if self._other else ""))
        if self._gone_at and not self.disarmed:
            return AgentError("its agent's pod is gone", hint="somebody deleted it, or its Job")
        if self.disarmed:
            return AgentError(f"its agent has ended: {self.said(protocol.DISARMED).get('reason')}")
        return None

    def waits_for(self) -> str:
        """Return what its start waits for."""
        if not self.pod:
            return "its Job has made no pod"
        if not self._readable:
            return f"pod {self.pod} has not started; is the node ready?"
        step = self.said(protocol.PROGRESS).get("step", "its first word")
        other = f"; its log says {self._other!r}" if self._other else ""
        return f"pod {self.pod} is at: {step}{other}"

    def belongs_to(self, uid: str) -> bool:
        """Note the uid of its Job, and take in what came before; return as `see` does.

        :param uid: empty where the server's answer was lost; its name is unique all the same.
        """
        with self._roll:
            self._uid = uid
            early, self._early = self._early, []
            readable = [self.see(kind, document) for kind, document in early]
            return any(readable)

    def see(self, kind: str, document: dict[str, Any]) -> bool:
        """Take in what the API server says of a pod; tell whether its log can be read now.

        A pod that its Job does not control is not its own.

        :param kind: ADDED, MODIFIED or DELETED.
        """
        with self._roll:
            if self._uid is None:
                self._early = [*self._early, (kind, document)][-_MOST_EARLY:]
                return False
            if self._uid and owner_of(document).uid != self._uid:
                return False
            return self._seen(kind, document)

    def _seen(self, kind: str, document: dict[str, Any]) -> bool:
        metadata, status = document["metadata"], document.get("status") or {}
        self.pod = metadata["name"]
        first = not self._readable and _has_started(status)
        self._readable = self._readable or first
        self._leaving = bool(metadata.get("deletionTimestamp"))
        self._trouble = pod_trouble(document) or self._trouble
        self._finished = self._finished or status.get("phase") in ("Failed", "Succeeded")
        if kind == "DELETED":
            self._gone_at = now()
        if self.finished:
            self._finished_at = min(self._finished_at, self._clock())
        self.note()
        return first

    def hear(self, line: str) -> str:
        """Take in a line of its log; return what is wrong with one that is no message of its.

        One is read at a time: the last of an agent is 120 kB, and they all come at once.
        """
        with self._roll:
            try:
                message = protocol.heard(line)
            except AgentError as error:
                self._other = plain(line)[:_TAIL]
                return str(error)
            kind = str(message["type"])
            if kind == protocol.TYPES:
                if self.types is not None:  # nobody asked otherwise, and they are large
                    self.types.take(message)
                self._heard_at = self._clock()
                return ""
            events = message.pop("events", [])
            if kind == protocol.DISARMED and not self.disarmed:
                self._latest.add(self.node, events)
            if kind == protocol.ARMED:
                self._series.begin(message, self.node)
            if kind in (protocol.COUNTERS, protocol.DISARMED):
                self._series.take(message, self.node)
            self._said[kind] = message
            for other in _REPLACED.get(kind, ()):
                self._said.pop(other, None)
            self._heard_at = self._clock()
            if kind not in (protocol.COUNTERS, protocol.ALIVE):  # which change nothing
                self.note()
        return ""

    def fail(self, trouble: str) -> None:
        """Note why it does not start."""
        with self._roll:
            self._trouble = self._trouble or trouble
            self.note()

    def log_ended(self, *, pod_is_gone: bool) -> None:
        """Note that its log has no more lines."""
        with self._roll:
            self._log_ended = True
            if pod_is_gone:
                self._gone_at = self._gone_at or now()
            self.note()

    def note(self) -> None:
        """Have the roll know where it is; the roll's lock is held."""
        self._roll.note(self.job, Standing(self.armed, self.error() is not None, self.settled))

    def _is_past(self) -> bool:
        """Tell whether its deadline is long over, by this host's clock."""
        try:
            expires = datetime.datetime.fromisoformat(self.expires_at())
        except ValueError:
            return False
        late = datetime.datetime.now(datetime.UTC) - expires
        return late.total_seconds() > SILENT_SECONDS


def now() -> str:
    """Return the time in ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat()


def _has_started(status: Mapping[str, Any]) -> bool:
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        if "running" in state or "terminated" in state:
            return True
    return False
