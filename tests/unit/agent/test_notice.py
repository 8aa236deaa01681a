"""A notice is there as long as its agent is, and is believed only when it can be."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chaoskernel.agent.message import NotAMessage, read_message
from chaoskernel.agent.notice import COMMAND, Doubt, Notice, notices, posted, survey
from chaoskernel.cli.ps import _table
from chaoskernel.kernel.procdir import ProcessDirectory
from tests.unit.spoofs import MESSAGE, spoof

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give files away")

AGENT = """
import sys, time
from chaoskernel.agent.notice import posted
with posted({"type": "armed", "name": sys.argv[1], "armed_at": sys.argv[2]}):
    print("ready", flush=True)
    time.sleep(60)
"""


def agent(name: str, armed_at: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", AGENT, name, armed_at], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.fixture
def agents() -> Iterator[list[subprocess.Popen[str]]]:
    started = [agent("late", "2026-01-02T00:00:00Z"), agent("early", "2026-01-01T00:00:00Z")]
    yield started
    for child in started:
        child.kill()
        child.communicate()


def test_notices_of_other_processes_are_found_the_oldest_fault_first(
    agents: list[subprocess.Popen[str]],
) -> None:
    found = [notice for notice in notices() if notice.owner["pid"] == os.getpid()]
    assert [notice.name for notice in found] == ["early", "late"]
    assert [notice.pid for notice in found] == [agents[1].pid, agents[0].pid]


def test_a_notice_goes_with_its_process_however_that_ends(
    agents: list[subprocess.Popen[str]],
) -> None:
    agents[0].kill()
    agents[0].wait()
    found = [notice for notice in notices() if notice.owner["pid"] == os.getpid()]
    assert [notice.name for notice in found] == ["early"]


def test_a_notice_is_taken_down_when_the_fault_has_ended() -> None:
    with posted({"name": "mine"}):
        assert [each.name for each in notices() if each.pid == os.getpid()] == ["mine"]
    assert [each for each in notices() if each.pid == os.getpid()] == []


def test_what_is_no_notice_is_passed_over() -> None:
    descriptor = os.memfd_create("chaoskernel-fault")
    try:
        os.write(descriptor, b"rubbish")
        assert [each for each in notices() if each.pid == os.getpid()] == []
    finally:
        os.close(descriptor)


def looked_at(pid: int) -> tuple[list[Notice], list[Doubt]]:
    found, doubted = survey()
    return [each for each in found if each.pid == pid], [
        each for each in doubted if each.pid == pid
    ]


def test_a_notice_like_an_agents_is_believed() -> None:
    with spoof() as (_, pid):
        (notice,), doubted = looked_at(pid)
    assert (notice.name, notice.message, doubted) == ("spoof", MESSAGE, [])


NOBODY = 65534
DEVIATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "not sealed": ({"sealed": False}, "not sealed"),
    "empty": ({"content": ""}, "not JSON"),
    "deep": ({"content": "[" * 50_000}, "nested too deeply"),
    "deep in its message": (
        {"message": {**MESSAGE, "x": json.loads("[" * 20 + "]" * 20)}},
        "deeply",
    ),
    "not JSON": ({"content": "rubbish"}, "not JSON"),
    "no object": ({"content": "[]"}, "not what an agent says"),
    "no message": ({"content": '{"message": 5}'}, "not what an agent says"),
    "a huge number": ({"content": '{"pid": ' + "9" * 5000 + "}"}, "not JSON"),
    "sparse": ({"size": 100 * 10**9}, "100000000000 bytes"),
    "a little too long": ({"size": 2**20 + 1}, "1048577 bytes"),
    "no agent": ({"command": "python3"}, "its process is no agent"),
    "another's": ({"parts": {"pid": 1}}, "another process's"),
    "an older process's": ({"parts": {"started": 1}}, "another process's"),
    "whose": ({"parts": {"pid": "7"}}, "does not say whose"),
    "others' programs": ({"message": {**MESSAGE, "programs": [1]}}, "does not hold the programs"),
}
WRONG_PARTS: dict[str, list[Any]] = {
    "name": [5, None, ["a"], {}],
    "targets": [
        [5],
        5,
        "x",
        [{"containers": [5]}],
        [{"pod": "a/b", "containers": 5}],
        [{"pid": 1.5}],
        [{"pid": {}}],
    ],
    "callchain": [["f"], [{}], [{"symbol": 5}], 7, [{"symbol": "f", "entered": 1}]],
    "programs": [["x"], [0], [-1], [2**32], [True], 5, [1.5], [1] * 2000],
    "expires_at": [5, None, []],
    "armed_at": [5],
    "hook": [{}],
}
DEVIATIONS |= {
    f"{key} {number}": ({"message": {**MESSAGE, key: value}}, f"its message.{key}")
    for key, values in WRONG_PARTS.items()
    for number, value in enumerate(values)
}


@pytest.mark.parametrize("case", DEVIATIONS)
def test_a_notice_that_is_wrong_is_one_line(case: str) -> None:
    deviations, why = DEVIATIONS[case]
    with spoof(**deviations) as (_, pid):
        found, (doubt,) = looked_at(pid)
    assert found == []
    assert why in doubt.why
    assert "\n" not in str(doubt)


@as_root
@pytest.mark.parametrize(
    ("deviations", "why"),
    [
        ({"owner": NOBODY}, "belongs to user 65534"),
        ({"users": [NOBODY, 0, 0]}, "does not run as root, or as you, alone"),
        ({"users": [0, 0, NOBODY]}, "does not run as root, or as you, alone"),
        ({"file": "regular"}, "no memfd"),
        ({"file": "fifo"}, "no memfd"),
        ({"owner": NOBODY, "users": [NOBODY, 0, 0], "content": "[" * 50_000}, "does not run as"),
    ],
)
def test_what_others_can_give_to_a_process_of_roots_is_not_believed(
    deviations: dict[str, Any], why: str
) -> None:
    with spoof(**deviations) as (_, pid):
        found, (doubt,) = looked_at(pid)
    assert found == []
    assert why in doubt.why


@as_root
@pytest.mark.parametrize(
    ("kind", "options"), [("pid", ["--pid", "--fork"]), ("user", ["--user", "--map-root-user"])]
)
def test_a_notice_from_a_container_is_not_believed(kind: str, options: list[str]) -> None:
    if subprocess.run(["unshare", *options, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no such namespaces can be made here")
    with spoof("unshare", *options) as (_, pid):
        found, (doubt,) = looked_at(pid)
        os.kill(pid, signal.SIGKILL)
    assert found == []
    assert f"another {kind} namespace" in doubt.why


@as_root
def test_a_process_of_somebody_elses_is_not_looked_into() -> None:
    with spoof(users=[NOBODY] * 3) as (_, pid):
        found, doubted = looked_at(pid)
    assert found == []
    assert all("does not run as" in doubt.why for doubt in doubted)


def test_ten_thousand_notices_of_one_process_are_one_line() -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 20_000:
        pytest.skip("no process may have so many open files here")
    with spoof(memfds=10_000, sealed=False) as (_, pid):
        before = time.monotonic()
        found, (doubt,) = looked_at(pid)
    assert time.monotonic() - before < 10
    assert (found, doubt.why[:13]) == ([], "it is not sea")


def test_a_process_that_ends_while_it_is_looked_at_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = ProcessDirectory.users
    with spoof() as (child, pid):

        def ended_first(self: ProcessDirectory) -> set[int]:
            if child.poll() is None:
                child.kill()
                child.wait()
            return users(self)

        monkeypatch.setattr(ProcessDirectory, "users", ended_first)
        assert looked_at(pid) == ([], [])


@pytest.mark.parametrize("content", [b"\x80", b'"\xff"', b'{"message": {"name": "\xc3"}}'])
def test_bytes_that_are_no_text_are_refused(content: bytes) -> None:
    with pytest.raises(NotAMessage, match="not JSON"):
        read_message(content)


@pytest.mark.parametrize(
    "content",
    [
        b'"' + b'\\"' * 500_000 + b"\\",
        b'"' * 1_000_001,
        b"[]" * 500_000,
        b"\\" * 1_000_000,
        b'{"a":' * 200_000,
    ],
)
def test_the_longest_notices_are_refused_at_once(content: bytes) -> None:
    before = time.monotonic()
    with pytest.raises(NotAMessage):
        read_message(content)
    assert time.monotonic() - before < 5


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_text_does_more_than_be_refused(content: bytes) -> None:
    with contextlib.suppress(NotAMessage):
        read_message(content)


def test_targets_that_a_notice_has_no_room_for_are_left_out() -> None:
    targets = [{"cgroup": "/" + "x" * 4000}] * 1000
    with posted({"name": "many", "targets": targets}):
        (notice,) = [each for each in notices() if each.pid == os.getpid()]
    assert 100 < len(notice.message["targets"]) < 1000


def test_an_agent_goes_by_a_name_of_its_own_while_its_fault_is_in_force() -> None:
    before = Path("/proc/self/comm").read_text()
    with posted({"name": "mine"}):
        assert Path("/proc/self/comm").read_text() == f"{COMMAND}\n"
    assert Path("/proc/self/comm").read_text() == before


def test_who_reads_a_notice_is_not_taken_for_its_agent(
    agents: list[subprocess.Popen[str]],
) -> None:
    """Two `ps` at the same time: each holds the notice for a moment."""
    (notice,) = [each for each in notices() if each.pid == agents[0].pid]
    (number,) = [
        each.name
        for each in Path(f"/proc/{notice.pid}/fd").iterdir()
        if "chaoskernel-fault" in str(each.readlink())
    ]
    with Path(f"/proc/{notice.pid}/fd/{number}").open("rb") as held:
        assert held.fileno() > 0
        found, (doubt,) = looked_at(os.getpid())
    assert (found, doubt.why) == ([], "its process is no agent")


ARMED: dict[str, Any] = {
    "type": "armed",
    "name": "a",
    "hook": "h",
    "mechanism": "m",
    "engine": "e",
    "callchain": [{"symbol": "f", "mechanism": "fentry"}],
    "targets": [
        {"pid": 5, "command": "x"},
        {"pod": "a/b", "containers": ["c"]},
        {"cgroup": "/x"},
        {"command": "x"},
        {"system_wide": True},
    ],
    "armed_at": "2026-01-01T00:00:00+00:00",
    "expires_at": "2026-01-01T00:00:00+00:00",
    "programs": [5],
    "warnings": ["x"],
}
ODD: list[Any] = [
    None,
    True,
    -1,
    2**70,
    1.5,
    math.inf,
    math.nan,
    "\x1b[2J",
    [],
    {},
    [1],
    {"a": [{}]},
    [[]],
]


def mutated(value: Any, chosen: random.Random) -> Any:
    if chosen.random() < 0.05:
        return chosen.choice([*ODD, "2026-01-01", "0001-01-01T00:00:00+23:59"])
    if isinstance(value, dict):
        return {key: mutated(each, chosen) for key, each in value.items() if chosen.random() > 0.02}
    return [mutated(each, chosen) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.slow)])
def test_what_is_believed_can_be_shown(count: int) -> None:
    chosen = random.Random(13)
    shown = 0
    for _ in range(count):
        text = json.dumps(mutated({"pid": 5, "started": 7, "message": ARMED}, chosen))
        with contextlib.suppress(NotAMessage):
            pid, started, message = read_message(text.encode())
            notice = Notice(pid, started, {"pid": 1, "command": "sh"}, message)
            output = io.StringIO()
            Console(file=output, width=300).print(_table([notice]))
            assert output.getvalue().replace("\n", "").isprintable()
            shown += 1
    assert shown > count / 6
