"""One fault on the nodes of a cluster: a Job for each, their logs, and one watch of their pods."""

from __future__ import annotations

import dataclasses
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Mapping

from chaoskernel.backend.launch import START_VARIABLE
from chaoskernel.backend.record import Record
from chaoskernel.backend.series import Series
from chaoskernel.errors import (
    AgentError,
    ChaosKernelError,
    ClusterError,
    TimeLimit,
)
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import aggregate, removal
from chaoskernel.k8s.api import Cluster, Document
from chaoskernel.k8s.api_errors import event_trouble
from chaoskernel.k8s.job import (
    LABEL_FAULT,
    LABEL_PART,
    LABEL_RUN,
    Owner,
    Settings,
    job,
    job_name,
)
from chaoskernel.k8s.logs import Logs
from chaoskernel.k8s.node import SILENT_SECONDS, NodeAgent
from chaoskernel.k8s.nodes import by_node
from chaoskernel.k8s.owner import owner_of
from chaoskernel.k8s.pieces import Pieces
from chaoskernel.k8s.progress import Roll
from chaoskernel.k8s.recent_events import Latest
from chaoskernel.k8s.retry import Patience
from chaoskernel.k8s.sparing import SparingLog
from chaoskernel.log import logger

_LOOK_SECONDS = 1.0
_REASON_SECONDS = 10.0
"""How long a server may take to tell why a Job makes no pod, when time is up already."""


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """How many seconds the target waits.

    :param start: until all agents are armed; None is what launch.start_seconds() says.
    :param stop: until all agents have said that they are disarmed.
    :param stop_node: more, for each of them: a cluster's garbage collector, with the limits that it
        is shipped with, ends ten pods a second.
    :param retry: between two attempts to reach a server or a log.
    """

    start: float | None = None
    stop: float = 60.0
    stop_node: float = 0.2
    retry: float = 1.0


class Injection:
    """One fault on its nodes.

    :param given: what their agents are given.
    :param of_nodes: what those of some nodes are given instead.
    """

    def __init__(
        self,
        given: Assignment,
        cluster: Cluster,
        settings: Settings,
        waits: Waits,
        of_nodes: Mapping[str, Assignment] | None = None,
    ) -> None:
        self.fault = fault = given.fault
        self._given = given
        self._of_nodes = of_nodes or {}
        self._cluster = cluster
        self._settings = settings
        self._waits = waits
        self._run = secrets.token_hex(3)
        self._labels = f"{LABEL_FAULT}={fault.name},{LABEL_RUN}={self._run}"
        self._roll = Roll()
        self._latest = Latest()
        self._series = Series()
        self._over = threading.Event()
        self._creating = False
        self._stopping = threading.Event()
        self._refused = False
        self._blind = ""  # why the latest answer to the watch showed no pod
        self._log = SparingLog(logger)
        self._logs = Logs(cluster, settings.namespace, self._over, waits.retry, self._log)
        self._told = False
        self._settled = False
        self._agents = [
            NodeAgent(
                node,
                job_name(fault.name, self._run, number),
                pods,
                self._roll,
                self._latest,
                self._series,
            )
            for number, (node, pods) in enumerate(by_node(fault.scope.pods).items())
        ]
        for agent in self._agents:
            agent.types = Pieces() if given.types else None
        self._by_job = {agent.job: agent for agent in self._agents}

    @property
    def armed(self) -> bool:
        return self._roll.all_armed

    def record(self) -> Record:
        with self._roll:
            return aggregate.record(self.fault, self._agents, self._latest, self._series)

    def create(self, seconds: float, owner: Owner | None) -> None:
        """Watch, then create the Jobs; a stop waits for those whose making is under way.

        :raises ChaosKernelError: one was not made, for what the cluster said.
        """
        threading.Thread(target=self._watch, daemon=True).start()
        with self._roll:
            self._creating = True
        try:
            self._create_jobs(seconds, owner)
        finally:
            with self._roll:
                self._creating = False
                self._roll.wake()

    def _create_jobs(self, seconds: float, owner: Owner | None) -> None:
        patience = Patience(seconds, self._stopping)
        by = f"process {os.getpid()} of user {os.getuid()} on {socket.gethostname()}"

        def create(numbered: tuple[int, NodeAgent]) -> None:
            number, agent = numbered
            if self._stopping.is_set():
                return
            scope = dataclasses.replace(self.fault.scope, pods=tuple(agent.pods))
            manifest = job(
                dataclasses.replace(
                    self._of_nodes.get(agent.node, self._given),
                    fault=dataclasses.replace(self.fault, scope=scope),
                ),
                self._run,
                number,
                self._settings,
                part=self._part(number),
                start_seconds=seconds,
                owner=owner,
                started_by=by,
            )
            # Noted before: an answer that is lost may have been of a Job that was made.
            agent.created = True
            uid = ""
            try:
                uid = self._cluster.create_job(self._settings.namespace, manifest, patience)
            except ChaosKernelError as error:
                if self._stopping.is_set() and not self._refused:
                    raise self._was_stopped() from error
                self._refused = True
                self._stopping.set()  # the others need not be made
                raise
            finally:
                self._know(agent, uid)

        for agent, error in removal.each(create, list(enumerate(self._agents))):
            if isinstance(error, AgentError):
                raise error
            raise _named_error(error, self.fault, [agent[1]], str(error))

    def await_armed(self, seconds: float) -> None:
        """Wait until all agents are armed.

        :raises ChaosKernelError: one is not.
        """
        with self._roll:
            self._roll.wait(
                lambda: self.armed or self._roll.any_failed or self._stopping.is_set(), seconds
            )
            failed = [agent for agent in self._agents if agent.error()]
            if self.armed and not failed and not self._stopping.is_set():
                return
            late = [agent for agent in self._agents if not agent.armed]
        if failed:
            error = failed[0].error()
            raise _named_error(error, self.fault, failed, str(error))
        if self._stopping.is_set():
            raise self._was_stopped()
        why = self._refusal(late[0]) or self._unseen(late[0]) or late[0].waits_for()
        raise _named_error(
            TimeLimit("", hint=f"set {START_VARIABLE} to more where nodes are slow"),
            self.fault,
            late,
            f"it was not armed within {seconds:g} s: {why}",
        )

    def _was_stopped(self) -> AgentError:
        return AgentError(f"fault '{self.fault.name}' was stopped before it was armed")

    def types(self) -> bytes:
        """Return the types (BTF) that the first agent has said, before it was armed.

        :raises AgentError: they were not asked for, or not all of them were heard.
        """
        first = self._agents[0]
        with self._roll:
            pieces = first.types or Pieces()
            try:
                return pieces.whole()
            except AgentError as error:
                raise AgentError(f"node {first.node}: {error.message}", hint=error.hint) from error

    def require_voices(self) -> None:
        """Check that every agent of a fault in force is heard.

        :raises AgentError: one is not.
        """
        with self._roll:
            silent = [a for a in self._agents if a.active and a.silent_for() > SILENT_SECONDS]
        if silent:
            raise AgentError(
                f"the agent on node {silent[0].node} of fault '{self.fault.name}' has been silent "
                f"for {silent[0].silent_for():.0f} s",
                hint="is the node cut off? its fault ends at its deadline all the same",
            )

    def give_up(self) -> None:
        """Undo a start; what could not be undone is logged, for an error is on its way."""
        for trouble in self.stop():
            logger.error("Kernel faults: %s", trouble)

    def stop(self) -> list[str]:
        """Delete the Jobs and wait for each agent's last word; return what is not confirmed."""
        if self._settled:  # a process stops all its faults, and may have had many
            return []
        with self._roll:
            self._stopping.set()
            self._roll.wake()
            made = self._roll.wait(lambda: not self._creating, self._waits.stop)
        there = [agent for agent in self._agents if agent.created]
        end = time.monotonic() + self._waits.stop + self._waits.stop_node * len(there)
        undeleted = self._delete()
        with self._roll:
            while not self._roll.all_settled and (left := end - time.monotonic()) > 0:
                self._roll.wait(lambda: self._roll.all_settled, min(left, _LOOK_SECONDS))
                # Some settle by the passing of time, which nobody announces.
                for agent in there:
                    agent.note()
            unsure = [agent for agent in there if not agent.settled]
            troubles = [_unconfirmed(agent, undeleted.get(agent.job, "")) for agent in unsure]
            troubles += [
                f"Job {agent.job} is left: {undeleted[agent.job]}"
                for agent in there
                if agent.job in undeleted and agent not in unsure
            ]
            troubles += self._leftovers()
        if not made:  # whoever makes them stops once more
            return [*troubles, f"Jobs of fault '{self.fault.name}' are being made still"]
        told, self._told = self._told, True
        self._settled = not troubles
        self._over.set()
        return [] if told else troubles

    def _leftovers(self) -> list[str]:
        return [
            f"on node {agent.node} the fault has ended, but its programs are loaded still: "
            f"{', '.join(map(str, left))}"
            for agent in self._agents
            if (left := agent.said("disarmed").get("leftovers"))
        ]

    def _refusal(self, agent: NodeAgent) -> str:
        """Return why a Job makes no pod, as far as the cluster's events tell."""
        if agent.pod:
            return ""
        patience = Patience(_REASON_SECONDS, self._stopping)
        try:
            events = self._cluster.warnings(self._settings.namespace, patience)
            told = dict(map(event_trouble, events))
        except ChaosKernelError as error:
            return f"{agent.waits_for()}, and why cannot be told: {error}"
        return told.get(agent.job, "")

    def _unseen(self, agent: NodeAgent) -> str:
        """Return why a Job's pod was not seen, where that may not be the Job's fault."""
        return "" if agent.pod else self._blind

    def _delete(self) -> dict[str, str]:
        """Delete the Jobs that were made; return those that are left, and why."""
        jobs: dict[str, list[str]] = {}
        for number, agent in enumerate(self._agents):
            if agent.created:
                labels = f"{self._labels},{LABEL_PART}={self._part(number)}"
                jobs.setdefault(labels, []).append(agent.job)
        waits = self._waits
        return removal.remove(
            self._cluster, self._settings.namespace, jobs, patience=waits.stop, retry=waits.retry
        )

    def _part(self, number: int) -> int:
        return number % removal.parts(len(self._agents))

    def _watch(self) -> None:
        """See what becomes of pods until the end, whatever the cluster's answers are."""
        while not self._over.is_set():
            try:
                for kind, document in self._cluster.watch_pods(
                    self._settings.namespace, self._labels, self._over
                ):
                    self._see(kind, document)
            except ChaosKernelError as error:
                if not self.armed:
                    for agent in self._agents:
                        agent.fail(str(error))
                    return
                self._blind = self._log.trouble("the watch of pods", error)
            except Exception as error:  # without a watch, no pod's end is seen
                self._blind = self._log.trouble("the watch of pods", error)
            self._over.wait(self._waits.retry)

    def _see(self, kind: str, document: Document) -> None:
        """Take in an event of the watch; one that is not understood costs itself alone."""
        if kind == "ERROR":
            self._blind = str(document.get("message", ""))
            return
        try:
            owner = owner_of(document)
            agent = self._by_job.get(owner.name)
            if agent is None:
                return
            seen = agent.see(kind, document)
        except Exception as error:
            self._blind = self._log.trouble("the watch of pods", error)
            return
        self._blind = ""
        if seen:
            self._logs.hear(agent)

    def _know(self, agent: NodeAgent, uid: str) -> None:
        """Have an agent know its Job, and look at the pods that came before it did."""
        if agent.belongs_to(uid):
            self._logs.hear(agent)


def _named_error(
    cause: ChaosKernelError | None, fault: Fault, agents: Iterable[NodeAgent], why: str
) -> ChaosKernelError:
    """Return an error of the same kind that names the node and its pods."""
    first, *others = agents
    more = f", and on {len(others)} more nodes" if others else ""
    pods = ", ".join(map(str, first.pods))
    text = f"fault '{fault.name}' is not armed on node {first.node} (pods {pods}){more}: {why}"
    if isinstance(cause, TimeLimit):
        return TimeLimit(text, hint=cause.hint)
    return ClusterError(text)


def _unconfirmed(agent: NodeAgent, undeleted: str) -> str:
    pods = ", ".join(map(str, agent.pods))
    expires = agent.expires_at()
    until = f"it ends by itself at {expires}" if expires else "its Job's deadline ends it"
    why = undeleted or "its agent did not answer"
    return f"node {agent.node} (pods {pods}) could not be confirmed: {why}; {until}"
