"""An agent's life does not depend on who reads what it writes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.agent import protocol
from chaoskernel.agent.output import Output, never_block
from chaoskernel.backend.launch import agent_command
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Limits
from tests.waiting import within

pytestmark = pytest.mark.slow  # whole agents

PAGE = 4096
ASKED = 4000
"""Questions whose answers take more room than an agent keeps for them."""

NOTICE = "/memfd:chaoskernel-fault (deleted)"
FINAL_SECONDS = 5
"""How long an agent whose fault is over waits for a reader."""

ROOT = Path(__file__).resolve().parents[3]


def narrow_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PAGE)
    return reader, writer


def fill(writer: int) -> None:
    """Fill a pipe to the last byte."""
    os.set_blocking(writer, False)
    for size in (PAGE, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n" * size)
    os.set_blocking(writer, True)


def counters(number: int) -> dict[str, Any]:
    return {"type": "counters", "counters": {"injected": number, "padding": [0] * 100}}


def test_what_nobody_reads_is_dropped_and_counted_and_no_line_is_torn() -> None:
    reader, writer = narrow_pipe()
    output = Output(writer, backlog=10 * PAGE)
    began = time.monotonic()
    output.say({"type": "armed", "name": "x"})
    for number in range(1000):
        output.say(counters(number))
    output.say({"type": "disarmed", "unread": output.unread})
    assert time.monotonic() - began < 2
    assert not output.flush(0.1)
    output.close()
    with os.fdopen(reader, encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines]
    assert (said[0]["type"], said[-1]["type"]) == ("armed", "disarmed")
    numbers = [message["counters"]["injected"] for message in said[1:-1]]
    assert numbers == sorted(set(numbers))
    assert said[-1]["unread"] == 1000 - len(numbers) > 700


def test_one_that_reads_again_gets_what_is_said_from_then_on() -> None:
    reader, writer = narrow_pipe()
    output = Output(writer, backlog=2 * PAGE)
    for number in range(100):
        output.say(counters(number))
    dropped = output.unread
    assert dropped
    with os.fdopen(reader, encoding="utf-8") as lines:
        for _ in range(100 - dropped):
            json.loads(lines.readline())
        assert output.flush(5)
        output.say(counters(1000))
        assert json.loads(lines.readline())["counters"]["injected"] == 1000
        output.close()
        assert lines.readline() == ""


def test_a_descriptor_that_others_have_made_non_blocking_is_waited_for() -> None:
    reader, writer = narrow_pipe()
    os.set_blocking(writer, False)
    output = Output(writer)
    for number in range(50):
        output.say(counters(number))
    output.close()
    with os.fdopen(reader, encoding="utf-8") as lines:
        assert len([json.loads(line) for line in lines]) == 50


def test_a_reader_that_is_gone_is_reported_once() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    gone: list[bool] = []
    output = Output(writer, gone=lambda: gone.append(True))
    for number in range(3):
        output.say(counters(number))
    assert output.flush(5)
    assert within(5, lambda: gone == [True])
    with pytest.raises(OSError):
        os.fstat(writer)


@pytest.mark.parametrize("kind", ["pipe", "terminal", "socket"])
def test_standard_error_never_blocks_and_others_who_have_it_are_left_as_they_are(kind: str) -> None:
    if kind == "pipe":
        other, own = os.pipe()
    elif kind == "terminal":
        other, own = pty.openpty()
    else:
        left, right = socket.socketpair()
        other, own = left.detach(), right.detach()
    shared = os.dup(own)
    never_block(own)
    assert not os.get_blocking(own)
    if kind != "socket":  # which cannot be opened anew
        assert os.get_blocking(shared)
    os.write(own, b"x")
    assert os.read(other, 1) == b"x"
    for descriptor in (other, own, shared):
        os.close(descriptor)


def test_a_file_is_left_as_it_is(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        log.write("before\n")
        log.flush()
        never_block(log.fileno())
        os.write(log.fileno(), b"after\n")
    assert (tmp_path / "log").read_text() == "before\nafter\n"


class Agent:
    """A real agent with a rehearsal, whose output is a pipe of 4 KiB."""

    def __init__(self, seconds: float = 60, stderr: int = subprocess.DEVNULL) -> None:
        self.reader, writer = narrow_pipe()
        self.bystander = subprocess.Popen(["sleep", "60"])
        scope = Scope(pids=(self.bystander.pid,))
        limits = Limits(duration=seconds)
        fault = Fault(
            "unread", Kind.SLAB, scope, limits=limits, engine=EngineName.NONE, dry_run=True
        )
        self.process = subprocess.Popen(
            agent_command(sys.executable, owner=os.getpid()),
            stdin=subprocess.PIPE,
            stdout=writer,
            stderr=stderr,
        )
        os.close(writer)
        self.ask(fault.to_json())
        assert within(20, self.in_force)
        self.armed_at = time.monotonic()

    def ask(self, message: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(protocol.encode(message).encode())
        self.process.stdin.flush()

    def in_force(self) -> bool:
        """Tell whether it has posted the notice of its fault."""
        with contextlib.suppress(FileNotFoundError):
            links = Path(f"/proc/{self.process.pid}/fd").iterdir()
            return any(str(link.readlink()) == NOTICE for link in links)
        return False

    def fill(self) -> None:
        """Ask until its pipe is full, and more."""
        for number in range(ASKED):
            self.ask({"request": "counters", "id": number})
        time.sleep(1.5)

    def lines(self) -> list[dict[str, Any]]:
        with os.fdopen(os.dup(self.reader), encoding="utf-8") as lines:
            return [protocol.heard(line) for line in lines]

    def end(self) -> None:
        for process in (self.process, self.bystander):
            process.kill()
            process.wait()
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        os.close(self.reader)


@pytest.fixture
def agents() -> Iterator[list[Agent]]:
    made: list[Agent] = []
    yield made
    for agent in made:
        agent.end()


def test_a_signal_ends_a_fault_whose_agent_nobody_reads(agents: list[Agent]) -> None:
    """Its standard error is full as well."""
    reader, writer = narrow_pipe()
    fill(writer)
    agents.append(agent := Agent(stderr=writer))
    agent.fill()
    assert agent.in_force()
    agent.process.terminate()
    assert within(1, lambda: not agent.in_force())
    assert agent.process.wait(FINAL_SECONDS + 3) == 1
    os.close(reader)
    os.close(writer)


def test_a_fault_whose_agent_nobody_reads_ends_at_its_deadline(agents: list[Agent]) -> None:
    agents.append(agent := Agent(seconds=3))
    agent.fill()
    assert within(6, lambda: not agent.in_force())
    assert time.monotonic() - agent.armed_at < 5


def test_a_stop_is_heard_though_nobody_reads(agents: list[Agent]) -> None:
    agents.append(agent := Agent())
    agent.fill()
    agent.ask({"request": "stop"})
    assert within(1, lambda: not agent.in_force())


def test_a_reader_that_was_stopped_and_goes_on_gets_whole_lines_and_the_last(
    agents: list[Agent],
) -> None:
    agents.append(agent := Agent())
    agent.fill()
    agent.process.send_signal(signal.SIGTERM)
    assert within(1, lambda: not agent.in_force())
    time.sleep(1)
    said = agent.lines()
    assert [said[0]["type"], said[1]["type"]] == ["progress", "armed"]
    assert (said[-1]["type"], said[-1]["reason"]) == ("disarmed", "SIGTERM")
    answers = [message["id"] for message in said if message["type"] == "counters"]
    assert answers == sorted(set(answers))
    assert len(answers) + said[-1]["unread"] == ASKED
    assert said[-1]["unread"] > 0
    assert agent.process.wait(5) == 0


def test_an_agent_that_dies_with_a_traceback_does_not_wait_for_its_reader() -> None:
    code = (
        "import sys; from chaoskernel.agent import main\n"
        "def serve(*_): raise RuntimeError('unexpected' * 1000)\n"
        "main.serve = serve; sys.exit(main.main(0, sys.argv[1]))"
    )
    fault = Fault("unread", Kind.SLAB, Scope(pids=(2,)), engine=EngineName.NONE, dry_run=True)
    reader, writer = narrow_pipe()
    fill(writer)
    died = subprocess.run(
        [sys.executable, "-c", code, json.dumps(fault.to_json())],
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        stderr=writer,
        check=False,
        timeout=20,
        cwd=ROOT,
    )
    assert died.returncode != 0
    os.close(reader)
    os.close(writer)


def test_an_agent_whose_reader_is_gone_ends_with_its_next_word(agents: list[Agent]) -> None:
    agents.append(agent := Agent())
    reader = agent.reader
    agent.reader = os.dup(0)
    os.close(reader)
    agent.ask({"request": "counters"})
    assert agent.process.wait(5) == 1


def test_an_agent_without_an_output_does_nothing() -> None:
    script = f'{sys.executable} -c "$1" >&-'
    code = "import sys; from chaoskernel.agent.main import main; sys.exit(main(0))"
    ended = subprocess.run(
        ["sh", "-c", script, "sh", code],
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=20,
        cwd=ROOT,
    )
    assert ended.returncode == 1
