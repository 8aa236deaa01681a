"""Local backends with plain agents, which are gone after each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaoskernel.backend.agent_process import Waits
from chaoskernel.backend.local import LocalBackend
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from tests.unit.fake_agent import launcher

PATIENT = Waits(start=10, reply=5, stop=5, term=5)
HASTY = Waits(start=0.3, reply=0.2, stop=0.2, term=0.2)
HASTY_REPLIES = Waits(start=10, reply=0.2, stop=0.2, term=0.2)


def fault(name: str = "mount") -> Fault:
    return Fault(name=name, kind=Kind.SLAB, scope=Scope(pids=(os.getppid(),)))


class Launched:
    """A launcher that remembers the agents it launched."""

    def __init__(self, **behaviour: Any) -> None:
        self._launch = launcher(**behaviour)
        self.agents: list[Any] = []

    def __call__(self, given: Assignment) -> Any:
        self.agents.append(self._launch(given))
        return self.agents[-1]

    def alive(self) -> list[int]:
        return [agent.pid for agent in self.agents if agent.poll() is None]


Local = Callable[..., LocalBackend]


@pytest.fixture
def local() -> Iterator[Local]:
    """Make targets whose agents are gone after the test."""
    made: list[Launched] = []

    def make(waits: Waits = PATIENT, **behaviour: Any) -> LocalBackend:
        made.append(Launched(**behaviour))
        return LocalBackend(made[-1], waits)

    yield make
    for launched in made:
        for agent in launched.agents:
            agent.kill()
            agent.wait()
