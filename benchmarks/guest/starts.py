"""How long it takes from the start of a program until its fault is armed, and its memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.guest.contenders import PYTHON, chain, fault
from benchmarks.guest.peers import BPFTRACE, HOOK, INJECT_PY, bpftrace_program, probed, wait_for
from chaoskernel.agent import protocol
from chaoskernel.backend.launch import agent_command
from chaoskernel.fault.spec import EngineName


def agent(engine: EngineName, pid: int) -> dict[str, Any]:
    """Measure an agent, from its start to `armed`, and when each step of its began.

    :param pid: whose requests its fault is about.
    :raises OSError: it said an error.
    """
    document = fault([pid], chain(1), engine=engine).to_json()
    begun, steps = time.monotonic(), {}
    with _process(agent_command(PYTHON, owner=os.getpid())) as process:
        assert process.stdin and process.stdout
        process.stdin.write(protocol.encode(document))
        process.stdin.flush()
        for line in process.stdout:
            message = protocol.decode(line)
            steps[message.get("step", message["type"])] = time.monotonic() - begun
            if message["type"] != protocol.PROGRESS:
                break
        if message["type"] != protocol.ARMED:
            raise OSError(message["message"])
        return {
            "seconds": [time.monotonic() - begun],
            "memory": peak_of(process.pid),
            "steps": steps,
        }


def peer(command: Sequence[str], *functions: str) -> dict[str, Any]:
    """Measure a program from its start until all of its functions have kprobes.

    :raises OSError: it ended before.
    """
    begun = time.monotonic()
    with _process(command) as process:
        wait_for(lambda: probed(functions), process)
        return {"seconds": [time.monotonic() - begun], "memory": peak_of(process.pid)}


def all_of_them(pid: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what is measured, by name: each with one frame, where it can have one."""
    frame = chain(1)
    technique = (PYTHON, "-m", "benchmarks.guest.peers", *frame)
    return {
        "core": lambda: agent(EngineName.CORE, pid),
        "bcc": lambda: agent(EngineName.BCC, pid),
        "inject.py's technique, by libbpf": lambda: peer(technique, *frame, HOOK),
        "inject.py itself, with a predicate": lambda: peer((*INJECT_PY, "(gfpflags == 1)"), HOOK),
        "bpftrace": lambda: peer((*BPFTRACE, bpftrace_program(*frame)), *frame, HOOK),
    }


def peak_of(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def _process(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/bench",
    )
    try:
        yield process
    finally:
        process.kill()  # bpftrace may miss a signal that comes right after it has attached
        process.communicate()
