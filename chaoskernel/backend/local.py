"""The local target: one child agent for each fault, on this host.

The agent owns the fault, so that the fault's end is sure: an agent ends with a
request, with its deadline, with a signal and with the death of its parent, and the
kernel detaches what a dead process had attached.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from chaoskernel.agent import protocol
from chaoskernel.backend.child import Agent, Waits
from chaoskernel.backend.launch import launch_agent, start_seconds
from chaoskernel.backend.target import Record, State
from chaoskernel.compiler.objects import with_object
from chaoskernel.errors import AgentError, EngineError, InvalidFault, UnknownFault
from chaoskernel.fault.spec import Fault


class LocalTarget:
    """Faults of this process on this host.

    :param launch: starts an agent for a fault, with pipes for its standard streams.
    """

    def __init__(
        self,
        launch: Callable[[Fault], subprocess.Popen[str]] = launch_agent,
        waits: Waits | None = None,
    ) -> None:
        self._launch = launch
        self._waits = waits or Waits()
        self._lock = threading.Lock()
        self._held: list[_Held] = []

    def start(self, fault: Fault) -> Record:
        """Inject a fault; return once it is in force.

        :raises ChaosKernelError: it is not in force, and its agent was ended.
        """
        seconds = self._waits.start
        if seconds is None:
            seconds = start_seconds()
        fault = with_object(fault)
        with contextlib.ExitStack() as undo:
            held = self._hold(fault, undo)
            held.agent.tell(fault.to_json())
            held.agent.await_armed(seconds)
            undo.pop_all()
        return held.record()

    def counters(self, name: str) -> dict[str, Any]:
        """Return a fault's counters: as of now, or the final ones once it ended.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: the agent did not answer.
        """
        held = self._named(name)
        if held.record().state is State.ACTIVE:
            held.agent.ask(protocol.REQUEST_COUNTERS, self._waits.reply)
        return dict(held.record().counters)

    def events(self, name: str, limit: int) -> dict[str, Any]:
        """Return a fault's latest injections; see `Target.events`.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: the agent did not answer.
        """
        held = self._named(name)
        if held.record().state is State.ACTIVE:
            answer = held.agent.ask(protocol.REQUEST_EVENTS, self._waits.reply, limit=limit)
            if answer:
                return {"events": answer.get("events", []), "dropped": answer.get("dropped", 0)}
        record = held.record()
        kept = record.events[max(0, len(record.events) - limit) :]
        return {"events": list(kept), "dropped": record.dropped}

    def record(self, name: str) -> Record:
        """Return what is known of a fault, without asking its agent.

        :raises UnknownFault: no fault of that name was started.
        """
        return self._named(name).record()

    def records(self) -> Sequence[Record]:
        """Return what is known of every fault, in the order in which they were started."""
        with self._lock:
            return [held.record() for held in self._held if held.agent.armed]

    def stop(self, name: str = "") -> Sequence[Record]:
        """End a fault, or all of them, and return them with their final counters.

        Every agent is seen to before an error of one of them is raised.

        :param name: the fault; empty for all of them, also those that are still
            being started.
        :raises EngineError: a program of a fault was loaded still; the agent is gone.
        :raises AgentError: an agent could not be killed.
        """
        with self._lock:
            chosen = [held for held in self._held if name in ("", held.fault.name)]
        if name:
            chosen = chosen[-1:]
        for held in chosen:
            held.agent.ask_to_stop()
        troubles = [trouble for held in chosen for trouble in self._finish(held)]
        if troubles:
            raise EngineError(
                ", and ".join(troubles), hint="`bpftool prog` lists what is loaded, and by whom"
            )
        return [held.record() for held in chosen if held.agent.armed]

    def _finish(self, held: _Held) -> Iterator[str]:
        """Wait for the end of an agent that was asked to stop; yield what went wrong."""
        try:
            held.agent.finish(self._waits)
        except AgentError as error:
            yield str(error)
        leftovers = held.new_leftovers()
        if leftovers:
            ids = ", ".join(map(str, leftovers))
            yield f"fault '{held.fault.name}' has ended, but its programs are loaded still: {ids}"

    def _hold(self, fault: Fault, undo: contextlib.ExitStack) -> _Held:
        """Launch an agent and enter it into the registry; both are undone with `undo`.

        It is entered before it is armed, so that `stop` finds it in every state.
        """
        with self._lock:
            for held in self._held:
                if held.fault.name == fault.name and held.unfinished():
                    raise InvalidFault(
                        "name",
                        fault.name,
                        "free: a fault of that name is active",
                        hint="stop that one first, or take another name",
                    )
            new = _Held(fault, Agent(self._launch(fault), fault.name))
            self._held.append(new)
            undo.callback(self._held.remove, new)
            undo.callback(new.agent.end, self._waits)
            return new

    def _named(self, name: str) -> _Held:
        with self._lock:
            armed = [held for held in self._held if held.agent.armed]
        for held in reversed(armed):
            if held.fault.name == name:
                return held
        known = ", ".join(dict.fromkeys(held.fault.name for held in armed))
        raise UnknownFault(
            f"no fault named '{name}' was started by this process",
            hint=f"there are: {known}" if known else "start_injection starts one",
        )


class _Held:
    """A fault and its agent."""

    def __init__(self, fault: Fault, agent: Agent) -> None:
        self.fault = fault
        self.agent = agent
        self._leftovers_told = False

    def record(self) -> Record:
        return self.agent.record(self.fault)

    def unfinished(self) -> bool:
        return self.record().state is State.ACTIVE

    def new_leftovers(self) -> tuple[int, ...]:
        """Return what is loaded still, once: an agent that is gone cannot look again."""
        told, self._leftovers_told = self._leftovers_told, True
        return () if told else self.record().leftovers
