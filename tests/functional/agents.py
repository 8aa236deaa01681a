"""Agents that a test talks to itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.launch import agent_command, agent_python
from chaoskernel.spec import Fault


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
    words = agent_command(agent_python(), owner=os.getpid())
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
