"""Where a fault is injected: what every backend offers, and what is known of a fault.

A backend knows neither the engine nor the programs, it starts agents and talks to them.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chaoskernel.agent.protocol import warnings_of
from chaoskernel.backend import outcome
from chaoskernel.fault import asked
from chaoskernel.fault.sites import Site
from chaoskernel.fault.spec import EngineName, Fault

_EVENTS_IN_JOURNAL = 20


class State(enum.StrEnum):
    """What became of a fault that was armed."""

    ACTIVE = "active"
    ENDED = "ended"
    """It was taken back, and its final counters are known."""
    LOST = "lost"
    """Its agent went without a word: the fault is gone with it, and the counters are the last
    ones it reported."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One fault that was armed.

    :param armed: the agent's `armed` message; agent/protocol.py lists its keys.
    :param counters: hook calls by what came of them: `reached`, `matched`,
        `injected` and `held_…`; final unless the state is active.
    :param ended_at: ISO 8601, UTC; empty while active.
    :param reason: why it ended: stop, deadline, a signal's name, or what
        happened to the agent; empty while active.
    :param leftovers: ids of programs that were loaded still after the end.
    :param events: the latest injections; known once the fault has ended.
    :param dropped: how many older ones were not kept.
    :param series: counters over time; see backend/series.py.
    """

    fault: Fault
    state: State
    armed: Mapping[str, Any]
    counters: Mapping[str, Any]
    ended_at: str = ""
    reason: str = ""
    leftovers: tuple[int, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    dropped: int = 0
    series: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def hits(self) -> int:
        """How many calls of the hook were made to fail or, in a dry run, would have been."""
        return outcome.hits(self.counters)

    @property
    def verdict(self) -> str:
        """What came of it, in one sentence; what has come of it so far while it is active."""
        return outcome.verdict(
            self.counters,
            dry_run=self.fault.dry_run,
            rehearsal=self.fault.engine is EngineName.NONE,
            lost=self.state is State.LOST,
        )

    @property
    def label(self) -> dict[str, str]:
        """`stand_in_for`: the kind that was asked for, where another is armed in its place."""
        stands_for = self.armed.get("stand_in_for")
        return {"stand_in_for": str(stands_for)} if stands_for else {}

    def to_json(self) -> dict[str, Any]:
        """Return the record as one object of JSON types: what, where, when, how often.

        docs/reference.md, "The journal", has the keys.
        """
        armed = self.armed
        first, last = outcome.injection_times(self.events, self.dropped)
        return {
            "name": self.fault.name,
            "summary": asked.in_words(self.fault),
            "verdict": self.verdict,
            "asked": asked.asked(self.fault),
            "fault": armed.get("fault", self.fault.kind.value),
            **self.label,
            "hook": armed.get("hook", self.fault.symbol),
            "hooks": armed.get("hooks", [hook.symbol for hook in self.fault.hooks]),
            "mechanism": armed.get("mechanism", ""),
            "proof": armed.get("proof", ""),
            "engine": armed.get("engine", ""),
            "callchain": armed.get("callchain", []),
            "targets": armed.get("targets", []),
            "left_out": armed.get("left_out", []),
            "limits": dataclasses.asdict(self.fault.limits),
            "dry_run": self.fault.dry_run,
            "state": self.state.value,
            "armed_at": armed.get("armed_at", ""),
            "expires_at": armed.get("expires_at", ""),
            "ended_at": self.ended_at,
            "first_injection_at": first,
            "last_injection_at": last,
            "reason": self.reason,
            "counters": dict(self.counters),
            "series": dict(self.series),
            "stacks": outcome.top_stacks(self.events),
            "stacks_of": len(outcome.with_stacks(self.events)),
            "events": list(self.events[-_EVENTS_IN_JOURNAL:]),
            "dropped": self.dropped + max(0, len(self.events) - _EVENTS_IN_JOURNAL),
            "leftovers": list(self.leftovers),
            # What does not work on this kernel as it should; mostly there is nothing.
            **({"warnings": warnings} if (warnings := warnings_of(armed)) else {}),
        }

    def latest(self, limit: int) -> dict[str, Any]:
        """Return the latest `events`, the oldest first, and how many older ones were `dropped`."""
        kept = self.events[max(0, len(self.events) - limit) :]
        return {"events": list(kept), "dropped": self.dropped}


def in_words(target: Mapping[str, Any]) -> str:
    """Return one of a record's `targets` in words."""
    if target.get("system_wide"):
        return "the whole system"
    if "pod" in target:
        named = ", ".join(target.get("containers", [])) or "all containers"
        return f"{target['pod']} ({named})"
    if "cgroup" in target:
        return str(target["cgroup"])
    if "pid" in target:
        return f"{target.get('command', '?')} ({target['pid']})"
    return f"every {target.get('command', '?')}"


class Backend(Protocol):
    """A place to inject faults into.  Every method may be called from any thread."""

    def start(self, fault: Fault) -> Record:
        """Inject a fault; return once it is in force.

        :raises ChaosKernelError: it is not, and nothing was left behind.
        """

    def counters(self, name: str) -> dict[str, Any]:
        """Return a fault's counters: as of now, or the final ones once it ended.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: the agent did not answer.
        """

    def events(self, name: str, limit: int) -> dict[str, Any]:
        """Return a fault's latest `events`, the oldest first, and how many were `dropped`.

        :param limit: how many to return at most.
        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: the agent did not answer.
        """

    def sites(self, name: str) -> Sequence[tuple[Site, int]]:
        """Return the sites that a fault has recorded, and how often each was met.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: it records none, or its agent did not answer.
        """

    def record(self, name: str) -> Record:
        """Return what is known of a fault, without asking its agent.

        :raises UnknownFault: no fault of that name was started.
        """

    def records(self) -> Sequence[Record]:
        """Return what is known of every fault, in the order in which they were started."""

    def stop(self, name: str = "") -> Sequence[Record]:
        """End a fault, or all of them, and return them with their final counters.

        Nothing to stop is not an error, and a fault that ended before is returned
        as it ended.

        :param name: the fault; empty for all of them.
        :raises EngineError: a program of a fault is loaded still.
        """
