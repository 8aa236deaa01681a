"""Plain targets for the tests of what stands above them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from chaoskernel.backend.record import Record, State
from chaoskernel.errors import AgentError, EngineError, UnknownFault
from chaoskernel.fault.sites import Site
from chaoskernel.fault.spec import Fault
from tests.unit.fault.test_sites import SITE

PROGRAMS = [41, 42]
EVENTS = [{"pid": 42, "command": "sleep", "stack": [f"f{n}+0x1"]} for n in range(3)]


class FakeBackend:
    """Faults that exist on paper.

    :param counters: what each fault counts.
    :param refuse: raised by every start.
    :param silent: agents do not answer when asked for counters.
    :param stuck: faults stay active when they are stopped.
    """

    def __init__(
        self,
        counters: dict[str, Any] | None = None,
        *,
        refuse: Exception | None = None,
        silent: bool = False,
        stuck: bool = False,
    ) -> None:
        self.started: list[Fault] = []
        self.stops: list[str] = []
        self._counts = {"reached": 7, "matched": 5, "injected": 3} if counters is None else counters
        self.refuse = refuse
        self._silent = silent
        self._stuck = stuck
        self._ended: set[int] = set()

    def start(self, fault: Fault) -> Record:
        if self.refuse:
            raise self.refuse
        self.started.append(fault)
        return self.record(fault.name)

    def counters(self, name: str) -> dict[str, Any]:
        self.record(name)
        if self._silent:
            raise AgentError("no answer")
        return dict(self._counts)

    def events(self, name: str, limit: int) -> dict[str, Any]:
        self.record(name)
        return {"events": EVENTS[-limit:], "dropped": 1}

    def sites(self, name: str) -> list[tuple[Site, int]]:
        self.record(name)
        return [(SITE, 2), (dataclasses.replace(SITE, id="0000000001"), 5)]

    def record(self, name: str) -> Record:
        for number, fault in reversed(list(enumerate(self.started))):
            if fault.name == name:
                return self._record(number, fault)
        raise UnknownFault(f"no fault named '{name}'", hint="there are none")

    def records(self) -> Sequence[Record]:
        return [self._record(number, fault) for number, fault in enumerate(self.started)]

    def stop(self, name: str = "") -> Sequence[Record]:
        self.stops.append(name)
        chosen = [number for number, fault in enumerate(self.started) if name in ("", fault.name)]
        if self._stuck and chosen:
            raise EngineError("programs are loaded still: 41, 42")
        self._ended.update(chosen)
        return [self._record(number, self.started[number]) for number in chosen]

    def _record(self, number: int, fault: Fault) -> Record:
        ended = number in self._ended
        return Record(
            fault=fault,
            state=State.ENDED if ended else State.ACTIVE,
            armed={
                "name": fault.name,
                "hook": fault.symbol,
                "mechanism": "fmod_ret",
                "proof": "called",
                "engine": "fake",
                "callchain": [{"symbol": frame.funcname} for frame in fault.callchain],
                "targets": [{"pid": pid, "command": "sleep"} for pid in fault.scope.pids],
                "armed_at": "2026-01-01T00:00:00+00:00",
                "expires_at": "2026-01-01T00:05:00+00:00",
                "programs": PROGRAMS,
                "left_out": ["32-bit callers: __ia32_sys_mount"],
            },
            counters=self._counts,
            ended_at="2026-01-01T00:00:30+00:00" if ended else "",
            reason="stop" if ended else "",
        )
