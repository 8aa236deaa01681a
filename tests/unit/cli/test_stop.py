"""`chaoskernel ps` and `chaoskernel stop` see and end faults of other processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from chaoskernel.agent.notice import Doubt, Notice, notices, survey
from chaoskernel.cli import ps, stop
from chaoskernel.errors import EngineError, NotPermitted, UnknownFault
from chaoskernel.kernel import bpf, processes
from tests.unit.spoofs import MESSAGE, spoof

AGENT = """
import signal, sys, time
from chaoskernel.agent.notice import posted
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
message = {
    "type": "armed", "name": sys.argv[1], "hook": "should_failslab", "mechanism": "fmod_ret",
    "callchain": [{"symbol": "f"}], "targets": [{"pid": 7, "command": "[red]"}],
    "expires_at": "2000-01-01T00:00:00+00:00", "programs": [],
}
with posted(message):
    print("ready", flush=True)
    time.sleep(60)
"""

Start = Callable[..., subprocess.Popen[str]]


def of_this_process() -> list[Notice]:
    return [notice for notice in notices() if notice.owner["pid"] == os.getpid()]


def doubts_of_this_process() -> list[Doubt]:
    running = processes.snapshot()
    return [
        doubt
        for doubt in survey()[1]
        if doubt.pid in running and running[doubt.pid].parent == os.getpid()
    ]


@pytest.fixture(autouse=True)
def none_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that somebody else has on this host stay out of it: `stop --all` would end them."""
    for module in (ps, stop):
        monkeypatch.setattr(module, "survey", lambda: (of_this_process(), doubts_of_this_process()))


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def one(name: str, manner: str = "") -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", AGENT, name, manner], stdout=subprocess.PIPE, text=True
        )
        started.append(child)
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        return child

    yield one
    for child in started:
        child.kill()
        child.communicate()


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(stop.command, arguments)


def listed() -> list[str]:
    result = CliRunner().invoke(ps.command, ["--json"])
    return [notice["message"]["name"] for notice in json.loads(result.stdout)]


def test_ps_shows_what_is_in_force(start: Start) -> None:
    child = start("disk")
    result = CliRunner().invoke(ps.command, env={"COLUMNS": "200"})
    for text in ("disk", "should_failslab by fmod_ret", "[red] (7)", str(child.pid), "0 s"):
        assert text in result.output
    assert listed() == ["disk"]


def test_ps_says_when_there_is_nothing() -> None:
    assert CliRunner().invoke(ps.command).output.startswith("no fault is in force\n")


def test_stop_ends_those_it_is_told_to_and_no_others(start: Start) -> None:
    twins = [start("twin"), start("twin")]
    other = start("other")
    result = invoke("twin")
    assert result.exit_code == 0
    assert set(result.output.splitlines()) == {
        f"stopped twin (agent {child.pid}, SIGTERM)" for child in twins
    }
    assert [child.wait(5) for child in twins] == [-signal.SIGTERM] * 2
    assert other.poll() is None
    assert listed() == ["other"]


def test_stop_kills_an_agent_that_does_not_listen(start: Start) -> None:
    child = start("deaf", "deaf")
    result = invoke("--all", "--timeout", "0.2", "--json")
    assert json.loads(result.output) == [
        {"name": "deaf", "agent": child.pid, "ended_by": "SIGKILL"}
    ]
    assert child.wait(5) == -signal.SIGKILL


def test_all_of_nothing_is_no_failure() -> None:
    result = invoke("--all")
    assert (result.exit_code, result.output) == (0, "no fault is in force\n")


def test_an_unknown_name_stops_nothing(start: Start) -> None:
    child = start("disk")
    result = invoke("disk", "dsik")
    assert isinstance(result.exception, UnknownFault)
    assert str(result.exception).endswith("; there are: disk")
    assert child.poll() is None


@pytest.mark.parametrize("seconds", ["nan", "-1", "601", "inf", "1e309", ""])
def test_a_time_that_is_none_is_refused(seconds: str) -> None:
    result = invoke("--all", "--timeout", seconds)
    assert result.exit_code == 2
    assert "Invalid value for '--timeout'" in result.output


def test_it_takes_names_or_all() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "name the faults to end, or give --all" in result.output
    result = invoke("--all", "nosuch")
    assert result.exit_code == 2
    assert "--all ends every fault: leave out --all or nosuch" in result.output


def test_a_fault_of_another_user_needs_root(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    start("disk")
    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    assert isinstance(invoke("disk").exception, NotPermitted)


@pytest.fixture
def of_another_user(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what makes an agent, by its pid, one that must not be sent signals."""
    foreign: set[int] = set()
    send = signal.pidfd_send_signal
    opened = os.pidfd_open
    pids: dict[int, int] = {}

    def open_it(pid: int) -> int:
        descriptor = opened(pid)
        pids[descriptor] = pid
        return descriptor

    def send_it(descriptor: int, number: signal.Signals) -> None:
        if pids[descriptor] in foreign:
            raise PermissionError
        send(descriptor, number)

    monkeypatch.setattr(os, "pidfd_open", open_it)
    monkeypatch.setattr(signal, "pidfd_send_signal", send_it)
    return foreign.add


def test_a_fault_that_cannot_be_stopped_keeps_no_other_in_force(
    start: Start, of_another_user: Callable[[int], None]
) -> None:
    first, foreign, last = start("first"), start("foreign"), start("last")
    of_another_user(foreign.pid)
    result = invoke("--all", "--json")
    assert isinstance(result.exception, NotPermitted)
    assert {row["agent"] for row in json.loads(result.output)} == {first.pid, last.pid}
    assert [child.wait(5) for child in (first, last)] == [-signal.SIGTERM] * 2
    assert foreign.poll() is None


def test_the_troubles_of_several_faults_are_one_line(
    start: Start, of_another_user: Callable[[int], None]
) -> None:
    children = {name: start(name) for name in ("a", "b", "c")}
    of_another_user(children["a"].pid)
    of_another_user(children["b"].pid)
    result = invoke("a", "b", "c")
    assert isinstance(result.exception, EngineError)
    said, other, hint = str(result.exception).split("; ")
    assert {said, other} == {f"fault '{name}' belongs to another user" for name in "ab"}
    assert hint == "run it as root"
    assert result.output == f"stopped c (agent {children['c'].pid}, SIGTERM)\n"


@pytest.mark.parametrize("namespace", ["shop", ""])
@pytest.mark.parametrize(("command", "more"), [(stop.command, ["--all"]), (ps.command, [])])
def test_a_namespace_is_of_a_cluster(
    start: Start, command: click.Command, more: list[str], namespace: str
) -> None:
    child = start("disk")
    result = CliRunner().invoke(command, [*more, "--namespace", namespace])
    assert result.exit_code == 2
    assert "--namespace is of a cluster; add --kubernetes" in result.output
    assert child.poll() is None


@pytest.mark.parametrize(
    "arguments", [["--kubernetes", "--namespace", "shop"], ["--namespace", "shop", "--kubernetes"]]
)
def test_a_namespace_goes_with_the_cluster_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    asked: list[tuple[bool, str]] = []
    monkeypatch.setattr(ps, "_show_jobs", lambda *given: asked.append(given))
    assert CliRunner().invoke(ps.command, arguments).exit_code == 0
    assert asked == [(False, "shop")]


def test_a_pid_that_has_become_another_process_is_not_hit(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start("disk")
    (notice,) = of_this_process()
    reused = Notice(os.getpid(), notice.started, notice.owner, notice.message)
    monkeypatch.setattr(stop, "survey", lambda: ([reused], []))
    assert "it had ended" in invoke("disk").output
    assert child.poll() is None


SPOOFS: dict[str, dict[str, Any]] = {
    "deep": {"content": "[" * 50_000},
    "sparse": {"size": 100 * 10**9},
    "wrong types": {"message": {**MESSAGE, "targets": [5]}},
    "programs of wrong types": {"message": {**MESSAGE, "programs": ["x"]}},
    "programs of others": {"message": {**MESSAGE, "programs": [1, 2, 3]}},
    "no agent": {"command": "su"},
    "not sealed": {"sealed": False},
    "another's": {"parts": {"started": 1}},
}


@pytest.mark.parametrize("case", SPOOFS)
def test_a_notice_that_is_not_believed_costs_itself_alone(start: Start, case: str) -> None:
    with spoof(**SPOOFS[case]) as (holder, pid):
        child = start("real")
        shown = CliRunner().invoke(ps.command, env={"COLUMNS": "200"})
        assert (shown.exit_code, listed()) == (0, ["real"])
        assert f"process {pid} (" in shown.stderr
        assert shown.stderr.count("\n") == 1 + (os.geteuid() != 0)
        ended = invoke("--all")
        assert (ended.exit_code, ended.stdout) == (
            0,
            f"stopped real (agent {child.pid}, SIGTERM)\n",
        )
        assert f"process {pid} (" in ended.stderr
        assert holder.poll() is None
        again = invoke("spoof")
        assert isinstance(again.exception, UnknownFault)
        assert holder.poll() is None


def test_doubts_without_end_are_some_lines() -> None:
    doubts = [Doubt(number, "x", "it is not sealed") for number in range(1000)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ps, "survey", lambda: ([], doubts))
        shown = CliRunner().invoke(ps.command)
    assert shown.stderr.splitlines()[10] == "and 990 more of them"


def test_a_notice_is_looked_at_again_when_its_process_is_held(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was an agent when it was listed may have become something else by now."""
    child = start("disk")
    (notice,) = of_this_process()
    other = notice._replace(message={**notice.message, "name": "other"})
    monkeypatch.setattr(stop, "survey", lambda: ([other], []))
    assert "it had ended" in invoke("other").output
    assert child.poll() is None


def test_programs_that_stay_loaded_fail_one_stop_and_no_other(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start("disk")
    monkeypatch.setattr(bpf, "still_loaded", lambda _: [7])
    assert "its programs are loaded still: 7" in str(invoke("disk").exception)
    assert invoke("--all").exit_code == 0


HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x1b]52;c;cm0K\x07\u202egpj\x9b31m\x7f\r\n\ud800[red]"
HARMLESS = r"\x1b]0;pwned\x07\x1b[2J\x1b]52;c;cm0K\x07\u202egpj\x9b31m\x7f\x0d\x0a\ud800[red]"


def test_what_others_write_is_harmless_on_a_terminal() -> None:
    message = {
        **MESSAGE,
        "name": HOSTILE,
        "callchain": [{"symbol": HOSTILE}],
        "targets": [{"pid": 7, "command": HOSTILE}],
    }
    with spoof(message=message) as (_, _pid):
        shown = CliRunner().invoke(ps.command, env={"COLUMNS": "1000"})
        ended = invoke("--all")
    assert shown.stdout.count(HARMLESS) == 3
    assert f"stopped {HARMLESS} (agent" in ended.stdout
    for text in (shown.output, ended.output):
        assert text.replace("\n", "").isprintable()


def test_a_doubt_is_harmless_on_a_terminal() -> None:
    with spoof(command="\x1b[2J\x9b31m", sealed=False):
        for shown in (CliRunner().invoke(ps.command), invoke("--all")):
            assert r"(\x1b[2J" in shown.stderr
            assert shown.output.replace("\n", "").isprintable()
