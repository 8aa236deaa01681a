"""Every way in which an agent ends leaves nothing attached."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.backend.local import LocalBackend
from chaoskernel.backend.record import State
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Frame, Limits
from tests.functional.agents import Agent, armed_agents, command, unread_agent
from tests.programs import gone_within, loaded_programs
from tests.victim import Victim
from tests.waiting import within

ARMED_SECONDS = 400
"""Six compilers run at once on two emulated processors."""

DEADLINE_SECONDS = 20
NOBODY = 65534


def fault(name: str, scope: Scope, seconds: float = 600) -> Fault:
    return Fault(
        name=name,
        kind=Kind.SLAB,
        callchain=(Frame("sys_mount"),),
        scope=scope,
        limits=Limits(duration=seconds),
    )


ENDINGS: dict[str, Callable[[Agent], object]] = {
    "stop": lambda agent: agent.say({"request": "stop"}),
    "SIGTERM": lambda agent: command("stop", "SIGTERM"),  # the fault of that name
    "SIGINT": lambda agent: agent.process.send_signal(signal.SIGINT),
    "SIGHUP": lambda agent: agent.process.send_signal(signal.SIGHUP),
    "deadline": lambda agent: None,
}


@pytest.fixture(scope="module")
def agents(victim: Victim) -> Iterator[dict[str, Agent]]:
    """One armed agent for each ending; they are armed at the same time."""
    scope = Scope(pids=(victim.pid,))
    faults = {
        ending: fault(ending, scope, DEADLINE_SECONDS if ending == "deadline" else 600)
        for ending in ENDINGS
    }
    with armed_agents(faults) as started:
        yield started


def test_other_processes_see_the_faults(agents: dict[str, Agent]) -> None:
    seen = {
        (notice["message"]["name"], notice["pid"]) for notice in json.loads(command("ps", "--json"))
    }
    lasting = {(ending, agents[ending].process.pid) for ending in ENDINGS if ending != "deadline"}
    assert lasting <= seen


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != "deadline"])
def test_an_agent_says_why_it_ends_and_leaves_nothing(
    agents: dict[str, Agent], ending: str
) -> None:
    agent = agents[ending]
    assert set(agent.armed["programs"]) <= loaded_programs()
    ENDINGS[ending](agent)
    last = agent.listen_until("disarmed")
    assert last["reason"] == ending
    assert last["leftovers"] == []
    assert gone_within(agent.armed["programs"], 1.0)
    assert agent.process.wait(timeout=60) == 0


def test_an_agent_ends_by_itself_at_its_deadline(agents: dict[str, Agent]) -> None:
    agent = agents["deadline"]
    last = agent.listen_until("disarmed")
    assert last["reason"] == "deadline"
    assert last["ended_at"] >= agent.armed["expires_at"]
    assert gone_within(agent.armed["programs"], 1.0)
    assert agent.process.wait(timeout=60) == 0


def test_several_faults_on_one_hook_leave_nothing_together(
    agents: dict[str, Agent], victim: Victim
) -> None:
    """Runs after the endings above: every one of them is over now."""
    assert all(gone_within(agent.armed["programs"], 1.0) for agent in agents.values())
    assert victim.does("mount", 2) == [0, 0]


def test_the_fault_dies_with_the_process_that_started_it(victim: Victim, tmp_path: Path) -> None:
    """By way of the `chaoskernel agent` command, whose parent is killed with SIGKILL."""
    document, output = tmp_path / "fault.json", tmp_path / "said"
    document.write_text(json.dumps(fault("orphan", Scope(pids=(victim.pid,))).to_json()) + "\n")
    program = Path(sys.executable).with_name("chaoskernel")
    owner = subprocess.Popen(
        ["sh", "-c", f"{program} agent <{document} >{output} & wait"], text=True
    )
    try:
        armed = _wait_for_armed(output)
        assert set(armed["programs"]) <= loaded_programs()
    finally:
        owner.kill()
        owner.wait()
    assert gone_within(armed["programs"], 1.0)
    assert victim.does("mount", 2) == [0, 0]


@pytest.mark.parametrize("ending", ["SIGTERM", "deadline", "stop"])
def test_a_core_agent_whose_output_nobody_reads_ends_its_fault(victim: Victim, ending: str) -> None:
    """Its output and its errors are pipes of 4 KiB, which are full."""
    seconds = DEADLINE_SECONDS if ending == "deadline" else 600
    core = dataclasses.replace(
        fault(f"unread-{ending}", Scope(pids=(victim.pid,)), seconds), engine=EngineName.CORE
    )
    before = loaded_programs()
    with unread_agent(core) as agent:
        assert within(60, lambda: victim.does("mount", 1) == [12])
        agent.fill_its_output()
        assert victim.does("mount", 2) == [12, 12]
        if ending == "SIGTERM":
            agent.process.terminate()
        if ending == "stop":
            agent.say({"request": "stop"})
        limit = DEADLINE_SECONDS + 1 if ending == "deadline" else 1
        asked = time.monotonic()
        assert within(limit, lambda: victim.does("mount", 1) == [0], pause=0.05)
        assert gone_within(sorted(loaded_programs() - before), 3.0)
        print(f"{ending}: nothing is attached after {time.monotonic() - asked:.2f} s", flush=True)
        assert agent.process.wait(timeout=60) == 1


def test_the_local_target_stops_twice_and_refuses_what_is_wrong(victim: Victim) -> None:
    target = LocalBackend()
    with pytest.raises(InvalidFault, match="is not a running process"):
        target.start(fault("nobody", Scope(pids=(4_000_000,))))
    before = loaded_programs()
    record = target.start(fault("twice", Scope(pids=(victim.pid,))))
    assert record.state is State.ACTIVE
    assert victim.does("mount", 3) == [12, 12, 12]
    assert target.counters("twice")["injected"] == 3
    first = target.stop("twice")
    assert [(record.state, record.counters["injected"]) for record in first] == [(State.ENDED, 3)]
    assert target.stop("twice") == first
    assert victim.does("mount", 1) == [0]
    assert loaded_programs() == before


@contextlib.contextmanager
def a_strangers_notice(content: bytes) -> Iterator[int]:
    """Have su(1), which waits for a password as root, hold a memfd that nobody has made."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        notice = os.memfd_create("chaoskernel-fault", 0)
        os.write(notice, content)
        os.set_inheritable(notice, True)
        os.execvp("su", ["su", "root"])
    try:
        assert b"assword" in os.read(terminal, 100)
        assert Path(f"/proc/{pid}").stat().st_uid == 0
        yield pid
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it was signalled"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


@pytest.mark.parametrize(
    "content", [b"[" * 50_000, b'{"type": "armed", "name": "real", "programs": []}']
)
def test_a_strangers_notice_keeps_no_fault_in_force(victim: Victim, content: bytes) -> None:
    target = LocalBackend()
    record = target.start(fault("real", Scope(pids=(victim.pid,))))
    try:
        with a_strangers_notice(content) as pid:
            assert victim.does("mount", 1) == [12]
            shown = said("ps", "--json")
            (notice,) = [
                each for each in json.loads(shown.stdout) if each["message"]["name"] == "real"
            ]
            assert notice["message"]["programs"] == list(record.armed["programs"])
            doubt = f"process {pid} (su) has a notice that is not believed: "
            assert shown.stderr.startswith(doubt)
            ended = said("stop", "--all")
            assert f"stopped real (agent {notice['pid']}, SIGTERM)" in ended.stdout.splitlines()
            assert ended.stderr.startswith(doubt)
            assert (shown.returncode, ended.returncode) == (0, 0)
            assert victim.does("mount", 1) == [0]
            assert gone_within(record.armed["programs"], 1.0)
            assert "no fault named 'real'" in said("stop", "real").stderr
    finally:
        target.stop()


def said(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the `chaoskernel` command, whatever becomes of it."""
    words = [str(Path(sys.executable).with_name("chaoskernel")), *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def _wait_for_armed(output: Path) -> dict[str, Any]:
    end = time.monotonic() + ARMED_SECONDS
    while time.monotonic() < end:
        for line in output.read_text().splitlines() if output.exists() else ():
            message: dict[str, Any] = json.loads(line)
            assert message["type"] != "error", message
            if message["type"] == "armed":
                return message
        time.sleep(0.5)
    pytest.fail(f"not armed within {ARMED_SECONDS} s")
