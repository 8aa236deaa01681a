"""An agent's life around an engine: what it says, and that the fault ends with it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.agent import main as agent_main
from chaoskernel.agent import protocol, shapes
from chaoskernel.agent.lifeline import ORPHANED, Requests
from chaoskernel.agent.main import serve
from chaoskernel.agent.output import Output
from chaoskernel.bpf.placement import Placement
from chaoskernel.engine import Progress, Recorder
from chaoskernel.errors import AgentError, EngineError, MissingHook
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Limits, Mechanism
from chaoskernel.fault.where import Where
from chaoskernel.kernel import boottime
from tests.unit.placed import hook_at

ROOT = Path(__file__).resolve().parents[3]


class FakeArmed:
    placement = Placement((hook_at("should_failslab", Mechanism.KPROBE),), ())
    targets = ({"pid": 42, "command": "victim"},)
    programs = (5, 6)
    warnings = ("stacks have no names",)
    proof = "attached"

    def __init__(self, seconds: float) -> None:
        self.expires = boottime.now() + round(seconds * 1e9)
        self.disarmed = 0
        self.followed = 0
        self.held = 0
        self.reached = 0

    def totals(self) -> dict[str, int]:
        return {"reached": self.reached, "provoked": 1}

    def counters(self) -> dict[str, int]:
        return {"injected": 3 + self.disarmed}

    def events(self, limit: int) -> dict[str, object]:
        return {"events": [{"pid": 42}, {"pid": 43}][-limit:], "dropped": 7}

    def follow(self) -> None:
        self.followed += 1

    recorder: Recorder | None = None

    def hold(self) -> None:
        self.held += 1

    def disarm(self) -> list[int]:
        self.disarmed += 1
        return []


class FakeEngine:
    name = "fake"

    def __init__(self, error: EngineError | None = None) -> None:
        self.error = error
        self.armed: FakeArmed | None = None

    def arm(self, fault: Fault, *, progress: Progress) -> FakeArmed:
        progress("compiling")
        if self.error:
            raise self.error
        self.armed = FakeArmed(fault.limits.duration)
        return self.armed


def a_fault(seconds: float = 60) -> Fault:
    return Fault(name="x", kind=Kind.SLAB, scope=Scope(pids=(42,)), limits=Limits(duration=seconds))


@pytest.fixture
def pipe() -> Iterator[tuple[Requests, int]]:
    reader, writer = os.pipe()
    yield Requests(reader), writer
    os.close(reader)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """An agent leaves the signals ignored: its process is about to end."""
    kept = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Said:
    """What an agent says in this process, by way of a pipe."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        self.output = Output(writer, gone=lambda: None)

    def messages(self) -> list[dict[str, Any]]:
        self.output.close()
        with os.fdopen(self._reader, encoding="utf-8") as reader:
            return [json.loads(line) for line in reader]


@pytest.fixture
def said() -> Said:
    return Said()


def test_it_answers_requests_and_reports_the_final_counters(
    pipe: tuple[Requests, int], said: Said
) -> None:
    requests, writer = pipe
    os.write(writer, b'{"request":"counters","id":7}\n{"request":"stop"}\n')
    engine = FakeEngine()
    serve(a_fault(), engine, requests, said.output)
    os.close(writer)
    progress, armed, counters, disarmed = said.messages()
    assert progress == {"type": "progress", "step": "compiling"}
    assert (
        armed["type"],
        armed["hook"],
        armed["mechanism"],
        armed["proof"],
        armed["engine"],
    ) == (
        "armed",
        "should_failslab",
        "kprobe",
        "attached",
        "fake",
    )
    assert armed["targets"] == [{"pid": 42, "command": "victim"}]
    assert counters == {"type": "counters", "counters": {"injected": 3}, "id": 7}
    assert (disarmed["type"], disarmed["reason"], disarmed["unread"]) == ("disarmed", "stop", 0)
    assert disarmed["counters"] == {"injected": 4}
    assert disarmed["leftovers"] == []


def test_each_field_that_it_says_is_checked_where_it_is_heard(
    pipe: tuple[Requests, int], said: Said
) -> None:
    requests, writer = pipe
    os.write(
        writer, b'{"request":"counters"}\n{"request":"events","limit":1}\n{"request":"stop"}\n'
    )
    serve(a_fault(), FakeEngine(), requests, said.output)
    os.close(writer)
    messages = said.messages()
    assert len(messages) == 5
    for message in messages:
        shape = shapes.MESSAGES[message.pop("type")]
        assert isinstance(shape, shapes._Object)
        # protocol.warnings_of takes warnings of any form.
        assert message.keys() <= shape.keys.keys() | shape.optional.keys() | {"warnings"}


def test_without_pods_it_says_when_what_is_kept_over_time_has_changed(
    pipe: tuple[Requests, int], said: Said
) -> None:
    class Counting(FakeArmed):
        def follow(self) -> None:
            self.reached = min(7, self.reached + 4)

    class CountingEngine(FakeEngine):
        def arm(self, fault: Fault, *, progress: Progress) -> FakeArmed:
            return Counting(fault.limits.duration)

    requests, writer = pipe
    serve(a_fault(seconds=3.3), CountingEngine(), requests, said.output)
    os.close(writer)
    _, *points, last = said.messages()
    assert [each["counters"]["reached"] for each in points] == [4, 7]
    assert points[1]["since"] == points[0]["at"] < points[1]["at"] < last["since"]


def test_it_ends_at_the_deadline_also_when_its_input_has_ended(
    pipe: tuple[Requests, int], said: Said
) -> None:
    requests, writer = pipe
    os.close(writer)
    started = time.monotonic()
    serve(a_fault(seconds=0.3), FakeEngine(), requests, said.output)
    assert 0.2 < time.monotonic() - started < 5
    assert said.messages()[-1]["reason"] == "deadline"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order(
    pipe: tuple[Requests, int], said: Said, number: signal.Signals
) -> None:
    requests, writer = pipe
    sender = subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -{number.value} {os.getpid()}"])
    serve(a_fault(), FakeEngine(), requests, said.output)
    sender.wait()
    os.close(writer)
    assert said.messages()[-1]["reason"] == number.name


@pytest.mark.parametrize(
    "line",
    [
        b"rubbish",
        b"[]",
        b"[" * 50_000,
        b'{"request":"events","limit":"x"}',
        b'{"request":"events","limit":-1}',
    ],
)
def test_a_request_that_is_no_message_ends_the_fault_with_an_error(
    pipe: tuple[Requests, int], said: Said, line: bytes
) -> None:
    requests, writer = pipe
    os.write(writer, line + b"\n")
    engine = FakeEngine()
    with pytest.raises(AgentError):
        serve(a_fault(), engine, requests, said.output)
    os.close(writer)
    assert engine.armed is not None
    assert engine.armed.disarmed == 1


def test_an_engine_that_fails_has_nothing_to_disarm(pipe: tuple[Requests, int], said: Said) -> None:
    requests, writer = pipe
    with pytest.raises(EngineError, match="refused"):
        serve(a_fault(), FakeEngine(EngineError("refused")), requests, said.output)
    os.close(writer)


def test_lines_are_put_together_from_pieces(pipe: tuple[Requests, int]) -> None:
    requests, writer = pipe
    os.write(writer, b"one\ntw")
    assert requests.line(timeout=1) == "one"
    with pytest.raises(TimeoutError):
        requests.line(timeout=0.01)
    os.write(writer, b"o\nrest")
    assert requests.line(timeout=1) == "two"
    os.close(writer)
    assert requests.line(timeout=1) is None


def agent(document: str, owner: int) -> subprocess.CompletedProcess[str]:
    code = "import sys; from chaoskernel.agent.main import main; sys.exit(main(int(sys.argv[1])))"
    return subprocess.run(
        [sys.executable, "-c", code, str(owner)],
        input=document,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "the fault: missing"),
        ("rubbish\n", "the fault: 'rubbish' is not a JSON document"),
        ("[" * 100_000 + "\n", "is not a document of up to 32 levels in each other"),
        ("[" * 20 + "]" * 20 + "\n", "is not an object"),
        ('{"name":"x","fault":"slap","scope":{"pids":[42]}}\n', "fault: 'slap' is not one of"),
        ('{"name":"x","fault":"slab"}\n', "scope: missing"),
        ('{"name":"x","fault":"slab","colour":1}\n', "colour: 1 is not known here"),
        (
            '{"name":"x","fault":"slab","scope":{"pids":[42]},"limits":{"duration":NaN}}\n',
            "duration: nan is not a time",
        ),
    ],
)
def test_a_wrong_document_is_answered_with_one_error(document: str, message: str) -> None:
    ended = agent(document, os.getpid())
    assert ended.returncode == 1
    (error,) = [json.loads(line) for line in ended.stdout.splitlines()]
    assert error["type"] == "error"
    assert message in error["message"]
    assert error["hint"] or "message" in message
    assert ended.stderr == ""


def test_a_document_may_end_with_the_input() -> None:
    """As the help of `chaoskernel agent` pipes it in."""
    with subprocess.Popen(["sleep", "60"]) as bystander:
        scope, limits = Scope(pids=(bystander.pid,)), Limits(duration=0.2)
        fault = Fault(
            "piped", Kind.SLAB, scope, limits=limits, engine=EngineName.NONE, dry_run=True
        )
        ended = agent(json.dumps(fault.to_json()), os.getpid())
        bystander.kill()
    assert [json.loads(line)["type"] for line in ended.stdout.splitlines()][-1] == "disarmed"


def test_an_agent_whose_owner_has_gone_does_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    ended = agent('{"name":"x"}\n', gone.pid)
    assert (ended.returncode, ended.stdout) == (ORPHANED, "")


def test_an_agent_that_was_stopped_past_its_deadline_ends_when_it_goes_on(
    pipe: tuple[Requests, int],
) -> None:
    """A wait that is cut by SIGSTOP begins anew, with all that was left of it."""
    child = os.fork()
    if child == 0:
        serve(a_fault(3), FakeEngine(), pipe[0], Output(os.dup(1)))
        os._exit(0)
    time.sleep(1)
    os.kill(child, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(child, signal.SIGCONT)
    continued = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert time.monotonic() - continued < 1.5


def test_an_agent_whose_host_was_suspended_past_its_deadline_ends_when_it_goes_on(
    pipe: tuple[Requests, int], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLOCK_MONOTONIC stands still meanwhile: it is the other clock that has gone on."""
    started = time.monotonic()
    read = boottime.now
    slept = [0]
    monkeypatch.setattr(boottime, "now", lambda: read() + slept[0])
    threading.Timer(0.5, slept.__setitem__, (0, 8 * 3600 * 10**9)).start()
    serve(a_fault(seconds=300), FakeEngine(), pipe[0], said.output)
    assert time.monotonic() - started < 5
    assert said.messages()[-1]["reason"] == "deadline"


def test_the_clock_of_deadlines_is_the_one_that_goes_on_in_suspend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "clock_gettime_ns", {time.CLOCK_BOOTTIME: 5}.__getitem__)
    assert boottime.now() == 5


def test_with_pods_it_reports_by_itself_and_follows_them_until_its_deadline(
    pipe: tuple[Requests, int], said: Said
) -> None:
    requests, writer = pipe
    os.close(writer)
    engine = FakeEngine()
    pods = Scope(pods=(PodScope("shop", "db-0", "1234abcd"),))
    serve(dataclasses.replace(a_fault(1.5), scope=pods), engine, requests, said.output)
    assert engine.armed is not None
    assert engine.armed.followed == 2
    kinds = [message["type"] for message in said.messages()]
    assert kinds == ["progress", "armed", "counters", "disarmed"]


def test_containers_are_looked_after_where_the_fault_has_paths_in_them(
    pipe: tuple[Requests, int], said: Said
) -> None:
    requests, _ = pipe
    engine = FakeEngine()
    where, scope = Where(paths=("/data",)), Scope(containers=("0123456789ab",))
    fault = dataclasses.replace(a_fault(1.5), kind=Kind.OPEN, where=where, scope=scope)
    serve(fault, engine, requests, said.output)
    assert engine.armed is not None
    assert engine.armed.followed == 2
    assert [message["type"] for message in said.messages()] == ["progress", "armed", "disarmed"]


@pytest.mark.parametrize("blocked_in", ["follow", "counters"])
def test_a_signal_ends_the_fault_at_once_whatever_the_agent_is_doing(
    pipe: tuple[Requests, int], said: Said, blocked_in: str
) -> None:
    """A look at its pods takes as long as the node's /proc does."""
    requests, writer = pipe
    os.close(writer)
    held_after: list[float] = []
    began = time.monotonic()

    class Busy(FakeArmed):
        def _block(self) -> None:
            end = time.monotonic() + 2
            while time.monotonic() < end and not self.disarmed:
                time.sleep(0.05)

        def follow(self) -> None:
            if blocked_in == "follow":
                self._block()

        def counters(self) -> dict[str, int]:
            if blocked_in == "counters":
                self._block()
            return {"injected": 3}

        def hold(self) -> None:
            held_after.append(time.monotonic() - began)

    class BusyEngine(FakeEngine):
        def arm(self, fault: Fault, *, progress: Progress) -> FakeArmed:
            return Busy(fault.limits.duration)

    sender = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill {os.getpid()}"])
    pods = Scope(pods=(PodScope("shop", "db-0", "1234abcd"),))
    serve(dataclasses.replace(a_fault(), scope=pods), BusyEngine(), requests, said.output)
    sender.wait()
    assert held_after[0] < 1
    assert said.messages()[-1]["reason"] == "SIGTERM"


def test_a_line_without_end_is_refused(
    pipe: tuple[Requests, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_LINE", 10_000)
    requests, writer = pipe
    os.write(writer, b"x" * 20_000)
    with pytest.raises(AgentError, match="a line of more than 10000 bytes came in"):
        requests.line(timeout=1)
    os.close(writer)


class LackingEngine(FakeEngine):
    """The engine of a kernel that has no slab hook."""

    def arm(self, fault: Fault, *, progress: Progress) -> FakeArmed:
        if fault.kind is Kind.SLAB:
            raise MissingHook("this kernel has no should_failslab", needs="CONFIG_FAILSLAB")
        return super().arm(fault, progress=progress)


def test_a_stand_in_is_labelled_and_warned_of(
    pipe: tuple[Requests, int], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, writer = pipe
    os.write(writer, b'{"request":"stop"}\n')
    monkeypatch.setattr(agent_main, "engine_for", lambda *_: LackingEngine())
    fault = dataclasses.replace(a_fault(), stand_in=True)
    serve(fault, LackingEngine(), requests, said.output)
    os.close(writer)
    (armed,) = [each for each in said.messages() if each["type"] == "armed"]
    assert (armed["fault"], armed["stand_in_for"]) == ("allocation", "slab")
    assert armed["warnings"] == [
        "this kernel has no should_failslab: allocation stands in for slab",
        "stacks have no names",
    ]
    assert protocol.checked(armed) == armed


def test_an_error_that_no_manual_page_has_is_warned_of(
    pipe: tuple[Requests, int], said: Said
) -> None:
    requests, writer = pipe
    os.write(writer, b'{"request":"stop"}\n')
    fault = dataclasses.replace(a_fault(), kind=Kind.FORK, errno=errno.EPIPE)
    serve(fault, FakeEngine(), requests, said.output)
    os.close(writer)
    (armed,) = [each for each in said.messages() if each["type"] == "armed"]
    assert armed["warnings"] == [
        "the manual pages of fork do not document EPIPE; they document ENOMEM, EAGAIN, EPERM",
        "stacks have no names",
    ]
    assert "stand_in_for" not in armed
