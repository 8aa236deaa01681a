"""Agents that a test talks to itself."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.backend.launch import agent_command, agent_python
from chaoskernel.fault.spec import Fault

_PAGE = 4096
_MORE_THAN_FITS = 100
_ANSWERING_SECONDS = 3.0


@dataclasses.dataclass
class Agent:
    """An agent that a test talks to itself, by way of its standard streams."""

    process: subprocess.Popen[str]
    armed: dict[str, Any] = dataclasses.field(default_factory=dict)

    def say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def listen_until(self, kind: str) -> dict[str, Any]:
        assert self.process.stdout
        for line in self.process.stdout:
            message: dict[str, Any] = json.loads(line)
            assert message["type"] != "error", message
            if message["type"] == kind:
                return message
        pytest.fail(f"the agent ended without a word of type {kind}")


class UnreadAgent(Agent):
    """An agent whose output is a narrow pipe that nobody reads."""

    def fill_its_output(self) -> None:
        """Ask for more answers than the pipe has room for, and wait until it is full."""
        for number in range(_MORE_THAN_FITS):
            self.say({"request": "counters", "id": number})
        time.sleep(_ANSWERING_SECONDS)


@contextlib.contextmanager
def unread_agent(fault: Fault) -> Iterator[UnreadAgent]:
    """Start an agent for a fault; its standard error is a pipe that is full."""
    reader, writer = os.pipe()
    other_reader, other_writer = os.pipe()
    for end in (writer, other_writer):
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PAGE)
    os.write(other_writer, b"\n" * _PAGE)
    words = agent_command(agent_python(needs_bcc=False), owner=os.getpid())
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=writer, stderr=other_writer, text=True
    )
    try:
        agent = UnreadAgent(process)
        agent.say(fault.to_json())
        yield agent
    finally:
        process.kill()
        process.communicate()
        for end in (reader, writer, other_reader, other_writer):
            os.close(end)


def command(*arguments: str) -> str:
    """Run the `chaoskernel` command; return what it printed."""
    words = [str(Path(sys.executable).with_name("chaoskernel")), *arguments]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=120).stdout


@contextlib.contextmanager
def armed_agents(
    faults: Mapping[str, Fault], environments: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[dict[str, Agent]]:
    """Start an agent for each fault, all at the same time; end them all.

    :param environments: variables beside this process's own, by the same keys.
    """
    needs_bcc = not all(fault.needs_core for fault in faults.values())
    words = agent_command(agent_python(needs_bcc=needs_bcc), owner=os.getpid())
    started: dict[str, Agent] = {}
    try:
        for key, fault in faults.items():
            variables = {**os.environ, **(environments or {}).get(key, {})}
            started[key] = Agent(
                subprocess.Popen(
                    words,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=variables,
                )
            )
            started[key].say(fault.to_json())
        for agent in started.values():
            agent.armed = agent.listen_until("armed")
        yield started
    finally:
        for agent in started.values():
            agent.process.kill()
            agent.process.communicate()
