"""An agent's life around an engine: what it says, and that the fault ends with it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaoskernel.agent import main as agent_main
from chaoskernel.agent import protocol, shapes
from chaoskernel.agent.lifeline import Requests
from chaoskernel.agent.main import serve
from chaoskernel.engine import Progress
from chaoskernel.errors import AgentError, EngineError, MissingHook
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.checks import packed
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Limits
from chaoskernel.fault.where import Where
from chaoskernel.k8s.pieces import Pieces
from tests.unit.agent.conftest import Said
from tests.unit.agent.engines import FakeArmed, FakeEngine, a_fault

ROOT = Path(__file__).resolve().parents[3]


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
        ended = agent(json.dumps(rehearsed(bystander.pid).to_json()), os.getpid())
        bystander.kill()
    assert [json.loads(line)["type"] for line in ended.stdout.splitlines()][-1] == "disarmed"


def rehearsed(pid: int) -> Fault:
    scope, limits = Scope(pids=(pid,)), Limits(duration=0.2)
    return Fault("piped", Kind.SLAB, scope, limits=limits, engine=EngineName.NONE, dry_run=True)


@pytest.mark.skipif(not Path("/sys/kernel/btf/vmlinux").exists(), reason="no types here")
def test_it_says_its_kernels_types_before_anything_else_where_it_is_asked() -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        given = Assignment(rehearsed(bystander.pid), types=True)
        ended = agent(json.dumps(given.to_json()), os.getpid())
        bystander.kill()
    pieces = Pieces()
    kinds: list[str] = []
    for line in ended.stdout.splitlines():
        message = protocol.heard(line)
        if message["type"] == protocol.TYPES:
            assert not kinds
            pieces.take(message)
        else:
            kinds.append(message["type"])
    assert pieces.whole() == Path("/sys/kernel/btf/vmlinux").read_bytes()
    assert (kinds[-2:], ended.returncode) == (["armed", "disarmed"], 0)


def test_an_object_for_another_machine_ends_it_before_anything_is_loaded() -> None:
    given = Assignment(a_fault(), packed(b"\x7fELF"), "riscv64")
    ended = agent(json.dumps(given.to_json()), os.getpid())
    (said,) = map(protocol.heard, ended.stdout.splitlines())
    assert (said["error"], ended.returncode) == ("UnsupportedKernel", 1)
    assert "compiled for riscv64" in said["message"]


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
