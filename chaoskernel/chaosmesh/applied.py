"""KernelChaos objects that this process has applied: injected, paused, on a schedule, deleted.

What Chaos Mesh's controllers do for a cluster, for one target.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
from collections.abc import Callable, Sequence
from typing import Any

from chaoskernel.backend.record import Backend, Record, State, in_words
from chaoskernel.chaosmesh.manifest import KernelChaos
from chaoskernel.chaosmesh.schedule import ScheduleState, decide, remembered
from chaoskernel.errors import AgentError
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Mechanism
from chaoskernel.log import logger

Now = Callable[[], datetime.datetime]

_LONGEST_WAIT = 30.0
"""Seconds; a clock that is set is noticed after as long."""


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class InjectionSettings:
    """How the faults of an object are injected, which no document says.

    :param scope: what takes the place of the selection; asked at each injection.
    """

    scope: Callable[[], Scope]
    mechanism: Mechanism = Mechanism.AUTO
    engine: EngineName = EngineName.AUTO
    dry_run: bool = False
    stand_in: bool = False


class Applied:
    """One KernelChaos, from when it is applied until it is deleted.  Thread-safe.

    :param now: the clock that schedules and durations go by.
    """

    def __init__(
        self, chaos: KernelChaos, settings: InjectionSettings, target: Backend, now: Now = _utc_now
    ) -> None:
        self.chaos = chaos
        self._settings = settings
        self._target = target
        self._now = now
        self._lock = threading.RLock()
        self._runs: list[Record] = []
        self._paused = chaos.paused
        self._failure = ""
        self._pending = ""  # the name of the fault whose agent is on its way
        self._applied_at = now()
        self._schedule_state = ScheduleState(self._applied_at)
        self._gone = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Inject, or begin to follow the schedule.

        :raises ChaosKernelError: nothing is injected.
        """
        if self.chaos.plan:
            # What the schedule is to inject is checked now, not at its first tick.
            self._whole()
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()
        elif not self._paused:
            self._inject(self._whole())

    def pause(self) -> None:
        """Recover, and inject nothing until it is resumed.

        :raises EngineError: a program is loaded still.
        """
        with self._lock:
            self._paused = True
        self._recover()

    def resume(self) -> None:
        """Inject again what is left of it: its duration goes on while it is paused.

        :raises ChaosKernelError: nothing is injected.
        """
        with self._lock:
            was_paused, self._paused = self._paused, False
        if was_paused and self.chaos.plan is None and (rest := self._rest()):
            self._inject(rest)

    def delete(self) -> Sequence[Record]:
        """Recover for good, and return every run with its final counters.

        :raises EngineError: a program is loaded still.
        """
        self._gone.set()
        try:
            self._recover()  # which also ends an agent that is being started
        finally:
            if self._thread:
                self._thread.join()
        self._recover()
        return self._refreshed()

    def is_over(self) -> bool:
        """Tell whether nothing is injected, and nothing will be."""
        over = self.chaos.plan is None and (bool(self._runs) and not self._paused)
        return over and not self._active()

    def look(self) -> float:
        """Act on the ticks that have come; return in how many seconds to look again."""
        assert self.chaos.plan is not None
        now = self._now()
        with self._lock:
            busy = bool(self._active())
            decision = decide(self.chaos.plan, self._schedule_state, now, busy=busy)
            if self._paused:
                self._schedule_state = dataclasses.replace(
                    self._schedule_state, until=decision.state.until
                )
            else:
                self._schedule_state = decision.state
            starts = decision.starts and not self._paused and not self._gone.is_set()
        if starts:
            self._run(decision.state.started)
        return max(0.0, (decision.next - self._now()).total_seconds())

    def state(self) -> dict[str, Any]:
        """Return the state in the words of Chaos Mesh, and what was injected."""
        runs = self._refreshed()
        active = [run for run in runs if run.state is State.ACTIVE]
        targets = runs[-1].armed.get("targets", []) if runs else []
        found: dict[str, Any] = {
            "name": self.chaos.name,
            "namespace": self.chaos.namespace,
            "selected": bool(runs),
            "allInjected": bool(active),
            "allRecovered": not active,
            "paused": self._paused,
            "desiredPhase": "Stop" if self._paused or self.is_over() else "Run",
            "failedMessage": self._failure,
            "containerRecords": [
                {
                    "id": in_words(target),
                    "phase": "Injected" if active else "Not Injected",
                    "injectedCount": len(runs),
                    "recoveredCount": len(runs) - len(active),
                }
                for target in targets
            ],
            "injected": sum(int(run.counters.get("injected", 0)) for run in runs),
            **(runs[-1].label if runs else {}),
        }
        return found | ({"schedule": self._schedule(runs)} if self.chaos.plan else {})

    def _schedule(self, runs: Sequence[Record]) -> dict[str, Any]:
        plan, state = self.chaos.plan, self._schedule_state
        assert plan is not None
        over = [run.fault.name for run in runs if run.state is not State.ACTIVE]
        return {
            "cron": plan.cron.text,
            "started": state.started,
            "missed": state.missed,
            "forbidden": state.forbidden,
            "next": next(plan.cron.ticks(state.until)).isoformat(),
            "active": [run.fault.name for run in runs if run.state is State.ACTIVE],
            "history": list(remembered(over, plan)),
        }

    def _follow(self) -> None:
        wait = 0.0
        while not self._gone.wait(min(wait, _LONGEST_WAIT)):
            wait = self.look()

    def _run(self, number: int) -> None:
        """Inject for a tick; an error is kept for whoever asks for the state."""
        name = f"{self.chaos.name[:50].rstrip('.-')}-{number}"
        try:
            self._inject(dataclasses.replace(self._whole(), name=name))
        except Exception as error:  # the next tick comes all the same
            self._failure = str(error) or type(error).__name__
            if not self._gone.is_set():
                logger.error("KernelChaos '%s': %s", self.chaos.name, error)

    def _inject(self, fault: Fault) -> None:
        self._pending = fault.name
        try:
            record = self._target.start(fault)
        finally:
            self._pending = ""
        with self._lock:
            self._failure = ""
            self._runs.append(record)
        if self._gone.is_set() or self._paused:
            self._recover()  # somebody asked for the end meanwhile

    def _whole(self) -> Fault:
        settings = self._settings
        return self.chaos.fault(
            settings.scope(),
            mechanism=settings.mechanism,
            engine=settings.engine,
            dry_run=settings.dry_run,
            stand_in=settings.stand_in,
        )

    def _rest(self) -> Fault | None:
        """Return the fault with what is left of its limits; nothing when nothing is."""
        fault = self._whole()
        limits = fault.limits
        seconds = limits.duration - (self._now() - self._applied_at).total_seconds()
        times = limits.times
        if times:
            times -= sum(run.hits for run in self._refreshed())
        if seconds <= 0 or (limits.times and times <= 0):
            return None
        rest = dataclasses.replace(limits, duration=seconds, times=times)
        return dataclasses.replace(fault, limits=rest)

    def _recover(self) -> None:
        names = {run.fault.name for run in self._active()} | {self._pending}
        for name in names - {""}:
            self._target.stop(name)
        self._refreshed()

    def _active(self) -> list[Record]:
        return [run for run in self._refreshed(ask=False) if run.state is State.ACTIVE]

    def _refreshed(self, *, ask: bool = True) -> list[Record]:
        """Return the runs as they are now, oldest first.

        :param ask: the agents for their counters.
        """
        with self._lock:
            self._runs = [
                self._as_of_now(run, ask) if run.state is State.ACTIVE else run
                for run in self._runs
            ]
            return list(self._runs)

    def _as_of_now(self, run: Record, ask: bool) -> Record:
        name = run.fault.name
        if ask:
            with contextlib.suppress(AgentError):
                self._target.counters(name)
        return self._target.record(name)
