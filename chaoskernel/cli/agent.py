"""chaoskernel agent: become an agent, under a Python that has the engine's binding."""

from __future__ import annotations

import os

import click

from chaoskernel.backend.launch import agent_command, any_python


@click.command("agent")
def command() -> None:
    """Inject one fault, described as JSON on standard input.

    The first line is the fault; further lines are requests, {"request":
    "counters"} or {"request": "stop"}. What happens is written as JSON lines.
    The fault ends on that request, at its deadline, on SIGTERM, SIGINT and
    SIGHUP, and with the process that started this one.

    \b
    Example:
      echo '{"name": "demo", "fault": "slab", "callchain": ["sys_mount"],
             "scope": {"pids": [4711]}, "limits": {"duration": 30}}' |
        tr -d '\\n' | chaoskernel agent
    """
    words = agent_command(any_python(), owner=os.getppid())
    os.execv(words[0], words)
