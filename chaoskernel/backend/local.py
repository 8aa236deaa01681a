"""The local backend: one child agent for each fault, on this host.

The agent owns the fault, so that the fault's end is sure: an agent ends with a
request, with its deadline, with a signal and with the death of its parent, and the
kernel detaches what a dead process had attached.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaoskernel.agent import protocol
from chaoskernel.backend.agent_process import Agent, Waits
from chaoskernel.backend.launch import launch_agent, start_seconds
from chaoskernel.backend.record import Record, State
from chaoskernel.backend.registry import Registry, stop_each
from chaoskernel.compiler.objects import assigned
from chaoskernel.errors import AgentError
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.sites import Phase, Run, Site, Sites
from chaoskernel.fault.spec import Fault


class LocalBackend:
    """Faults of this process on this host.

    :param launch: starts an agent for a fault, with pipes for its standard streams.
    """

    def __init__(
        self,
        launch: Callable[[Assignment], subprocess.Popen[str]] = launch_agent,
        waits: Waits | None = None,
    ) -> None:
        self._launch = launch
        self._waits = waits or Waits()
        self._faults: Registry[_Held] = Registry("by this process", "start_injection")

    def start(self, fault: Fault) -> Record:
        """Inject a fault; return once it is in force.

        :raises ChaosKernelError: it is not in force, and its agent was ended.
        """
        seconds = self._waits.start
        if seconds is None:
            seconds = start_seconds()
        given = assigned(fault)

        def launched() -> _Held:
            return _Held(fault, Agent(self._launch(given), fault.name), self._waits)

        with contextlib.ExitStack() as undo:
            held = self._faults.enter(fault.name, launched, undo)
            held.agent.tell(given.to_json())
            held.agent.await_armed(seconds)
            undo.pop_all()
        return held.record()

    def counters(self, name: str) -> dict[str, Any]:
        """Return a fault's counters: as of now, or the final ones once it ended.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: the agent did not answer.
        """
        held = self._faults.named(name)
        if held.record().state is State.ACTIVE:
            held.agent.ask(protocol.REQUEST_COUNTERS, self._waits.reply)
        return dict(held.record().counters)

    def events(self, name: str, limit: int) -> dict[str, Any]:
        """Return a fault's latest injections; see `Backend.events`.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: the agent did not answer.
        """
        held = self._faults.named(name)
        if held.record().state is State.ACTIVE:
            answer = held.agent.ask(protocol.REQUEST_EVENTS, self._waits.reply, limit=limit)
            if answer:
                return {"events": answer.get("events", []), "dropped": answer.get("dropped", 0)}
        return held.record().latest(limit)

    def begin_run(self, name: str, pids: Sequence[int], sites: Sites | None = None) -> None:
        """Count sites anew, say which of them fail, and put processes in scope.

        :param name: a fault that records sites.
        :param pids: with all the descendants that they will have; none of them runs yet.
        :param sites: which fail; none does where it is left out.
        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: it has ended, or a process must not be hit.
        """
        asked = (sites or Sites()).to_json()
        self._told(name, protocol.REQUEST_BEGIN_RUN, pids=list(pids), sites=asked)

    def set_phase(self, name: str, phase: Phase) -> None:
        """Say what the program in scope does from now on; of its errors see `begin_run`."""
        self._told(name, protocol.REQUEST_PHASE, phase=phase.value)

    def end_run(self, name: str) -> Run:
        """Let nothing fail from now on; return what was seen since `begin_run`, with its errors."""
        said = self._told(name, protocol.REQUEST_END_RUN)
        new = [Site.from_json(each) for each in said["new"]]
        if left := set(said.get("left", ())):
            new += [site for site, _ in self.sites(name) if site.id in left]
        return Run(
            dict(said["counts"]),
            tuple(new),
            tuple(said["failed"]),
            said.get("lost", 0),
            {
                site: tuple(phase for phase in Phase if phase.value in met)
                for site, met in said.get("phases", {}).items()
            },
        )

    def sites(self, name: str) -> list[tuple[Site, int]]:
        """Return all sites that a fault has recorded, and how often each was met.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: it records no sites, or was lost with them.
        """
        held = self._faults.named(name)
        if last := held.agent.final_sites():
            return [(Site.from_json(each), each.get("count", 0)) for each in last]
        found: list[tuple[Site, int]] = []
        known = 1
        while len(found) < known:
            said = self._told(name, protocol.REQUEST_SITES, first=len(found))
            if not said["sites"]:
                break
            found += [(Site.from_json(each), each.get("count", 0)) for each in said["sites"]]
            known = said["known"]
        return found

    def _told(self, name: str, request: str, **details: Any) -> Mapping[str, Any]:
        """Return an answer to a fault that records sites."""
        held = self._faults.named(name)
        if held.fault.sites is None:
            raise AgentError(f"fault '{name}' records no sites", hint="start it with sites")
        said = held.agent.ask(request, self._waits.reply, **details)
        if not said or "refused" in said:
            why = said.get("refused") or f"fault '{name}' has ended: {held.record().reason}"
            raise AgentError(str(why))
        return said

    def record(self, name: str) -> Record:
        """Return what is known of a fault, without asking its agent.

        :raises UnknownFault: no fault of that name was started.
        """
        return self._faults.named(name).record()

    def records(self) -> Sequence[Record]:
        """Return what is known of every fault, in the order in which they were started."""
        return self._faults.records()

    def stop(self, name: str = "") -> Sequence[Record]:
        """End a fault, or all of them, and return them with their final counters.

        Every agent is seen to before an error of one of them is raised.

        :param name: the fault; empty for all of them, also those that are still
            being started.
        :raises EngineError: a program of a fault was loaded still, or an agent could not be killed.
        """
        chosen = self._faults.chosen(name)
        for held in chosen:
            held.agent.ask_to_stop()
        return stop_each(chosen, hint="`bpftool prog` lists what is loaded, and by whom")


class _Held:
    """A fault and its agent."""

    def __init__(self, fault: Fault, agent: Agent, waits: Waits) -> None:
        self.fault = fault
        self.agent = agent
        self._waits = waits
        self._leftovers_told = False

    @property
    def armed(self) -> bool:
        return self.agent.armed

    def record(self) -> Record:
        return self.agent.record(self.fault)

    def give_up(self) -> None:
        self.agent.end(self._waits)

    def stop(self) -> list[str]:
        """Wait for the end of an agent that was asked to stop; return what went wrong."""
        troubles = []
        try:
            self.agent.finish(self._waits)
        except AgentError as error:
            troubles.append(str(error))
        if leftovers := self._new_leftovers():
            ids = ", ".join(map(str, leftovers))
            troubles.append(
                f"fault '{self.fault.name}' has ended, but its programs are loaded still: {ids}"
            )
        return troubles

    def _new_leftovers(self) -> tuple[int, ...]:
        """Return what is loaded still, once: an agent that is gone cannot look again."""
        told, self._leftovers_told = self._leftovers_told, True
        return () if told else self.record().leftovers
