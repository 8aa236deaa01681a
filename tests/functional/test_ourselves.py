"""Faults on the injector itself: in each the fault ends by its deadline, and nothing stays."""

from __future__ import annotations

import contextlib
import datetime
import errno
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.engine import Engine
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Frame, Limits
from tests.functional.agents import Agent, armed_agents, command
from tests.functional.conftest import Arm
from tests.programs import gone_within
from tests.victim import Victim

SECONDS = {EngineName.CORE: 120.0, EngineName.BCC: 300.0}
"""Long enough for every agent of the module to be armed, and to be seen in force then."""

TROUBLES = ("stopped", "squeezed", "failing", "clock", "twin", "other twin")


def fault(name: str, victim: Victim, engine: Engine) -> Fault:
    named = EngineName(engine.name)
    return Fault(
        name=name,
        kind=Kind.SLAB,
        callchain=(Frame("sys_mount"),),
        scope=Scope(pids=(victim.pid,)),
        limits=Limits(duration=600 if name == "twin" else SECONDS[named]),
        engine=named,
    )


@pytest.fixture(scope="module")
def victims(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Victim]]:
    """One for each fault, so that one fault's end shows while the others last."""
    with contextlib.ExitStack() as started:
        yield {
            trouble: started.enter_context(Victim(tmp_path_factory.mktemp("victim")))
            for trouble in TROUBLES
        }


@pytest.fixture(scope="module")
def full_disk(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system on which no byte is free."""
    place = tmp_path_factory.mktemp("full")
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True, timeout=60
    )
    with pytest.raises(OSError, match="No space left"), (place / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(4096))
            filler.flush()
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=60)


@pytest.fixture(scope="module")
def agents(
    victims: dict[str, Victim], full_disk: Path, arm: Arm, engine: Engine
) -> Iterator[dict[str, Agent]]:
    """Agents that are armed, and in trouble from then on."""
    faults = {
        trouble: fault(trouble.removeprefix("other "), victim, engine)
        for trouble, victim in victims.items()
    }
    with armed_agents(faults, {"twin": {"TMPDIR": str(full_disk)}}) as started:
        assert all(in_force(victim) for victim in victims.values())
        started["stopped"].process.send_signal(signal.SIGSTOP)
        squeeze(started["squeezed"])
        scope = Scope(pids=(started["failing"].process.pid,))
        everything = arm(Fault(name="everything", kind=Kind.SLAB, scope=scope))
        started["failing"].say({"request": "counters"})
        yield started
        assert everything.counters()["injected"] > 0


def squeeze(agent: Agent) -> None:
    """Put an agent into a memory cgroup that is full from then on."""
    group = Path("/sys/fs/cgroup/squeezed")
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory")
    group.mkdir(exist_ok=True)
    (group / "cgroup.procs").write_text(str(agent.process.pid))
    (group / "memory.max").write_text("65536")
    with contextlib.suppress(BrokenPipeError):
        agent.say({"request": "counters"})


def in_force(victim: Victim) -> bool:
    (answer,) = victim.does("mount", 1)
    assert answer in (0, errno.ENOMEM)
    return answer == errno.ENOMEM


def test_two_faults_of_one_name_are_stopped_together(
    agents: dict[str, Agent], victims: dict[str, Victim]
) -> None:
    """Two experiments that know nothing of each other may well have the same.

    The disk that one of them has for its temporary files is full.
    """
    command("stop", "twin")
    for twin in ("twin", "other twin"):
        assert agents[twin].listen_until("disarmed")["reason"] == "SIGTERM"
        assert not in_force(victims[twin])
        assert gone_within(agents[twin].armed["programs"], 1.0)


def test_a_clock_that_jumps_moves_no_deadline(
    agents: dict[str, Agent], victims: dict[str, Victim], engine: Engine
) -> None:
    day, jumps = 24 * 3600.0, 0.0
    ends = time.monotonic() + SECONDS[EngineName(engine.name)]  # it was armed before
    try:
        for jump in (day, -2 * day):
            time.clock_settime(time.CLOCK_REALTIME, time.time() + jump)
            jumps += jump
            assert in_force(victims["clock"])
        assert agents["clock"].listen_until("disarmed")["reason"] == "deadline"
        assert time.monotonic() < ends
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() - jumps)
    assert not in_force(victims["clock"])


@pytest.mark.parametrize("trouble", ["squeezed", "failing"])
def test_an_agent_that_gets_no_memory_leaves_nothing(
    agents: dict[str, Agent], victims: dict[str, Victim], trouble: str
) -> None:
    """At the limit of its cgroup, or because each of its own requests is made to fail."""
    sleep_past(agents[trouble])
    assert not in_force(victims[trouble])
    agents[trouble].process.wait(timeout=60)
    assert gone_within(agents[trouble].armed["programs"], 5.0)


def test_an_agent_that_is_never_scheduled_holds_no_fault_beyond_its_deadline(
    agents: dict[str, Agent], victims: dict[str, Victim]
) -> None:
    agent = agents["stopped"]
    sleep_past(agent)
    assert not in_force(victims["stopped"])
    agent.process.send_signal(signal.SIGCONT)
    continued = time.monotonic()
    last = agent.listen_until("disarmed")
    assert time.monotonic() - continued < 30
    assert last["reason"] == "deadline"
    assert last["counters"]["held_deadline"] > 0
    assert gone_within(agent.armed["programs"], 1.0)


def sleep_past(agent: Agent) -> None:
    expires = datetime.datetime.fromisoformat(agent.armed["expires_at"]).timestamp()
    time.sleep(max(0.0, expires - time.time()) + 0.1)
