"""What a local backend makes of an agent that says other things, or nothing, or is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import pytest

from chaoskernel.agent import protocol
from chaoskernel.backend import local as backend
from chaoskernel.backend.local import LocalBackend
from chaoskernel.backend.record import State
from chaoskernel.errors import (
    AgentError,
    TimeLimit,
)
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.checks import packed
from tests.unit.agent.test_protocol import UNEXPECTED
from tests.unit.backend.conftest import HASTY, HASTY_REPLIES, PATIENT, Launched, Local, fault
from tests.unit.backend.test_local import eventually
from tests.unit.fake_agent import COUNTERS


def test_lines_that_are_no_messages_are_passed_over(local: Local) -> None:
    assert local(before=["warning: unused", "[1]"]).start(fault()).state is State.ACTIVE


def test_an_agent_that_takes_no_requests_is_ended_by_a_signal() -> None:
    launched = Launched(deaf=True)
    target = LocalBackend(launched, HASTY_REPLIES)
    target.start(fault())
    with pytest.raises(AgentError, match=r"did not answer within 0.2 s"):
        target.counters("mount")
    (record,) = target.stop("mount")
    assert record.state is State.LOST
    assert launched.agents[0].returncode == -signal.SIGTERM


@pytest.mark.parametrize("line", UNEXPECTED.values(), ids=UNEXPECTED.keys())
def test_an_unexpected_line_is_skipped_and_reported_and_the_next_is_heard(
    local: Local, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    target = local(before=[line[:50_000]])
    with caplog.at_level("WARNING", "chaostoolkit.kernel"):
        assert target.start(fault()).state is State.ACTIVE
    assert target.counters("mount") == COUNTERS
    assert [record.state for record in target.stop()] == [State.ENDED]
    assert caplog.text.count("Fault 'mount': a line of its agent is skipped: ") == 1


def test_a_flood_of_unexpected_lines_is_reported_for_a_while(
    local: Local, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "chaostoolkit.kernel"):
        local(before=["[]"] * 1000).start(fault())
    assert caplog.text.count("is skipped") == 20


def test_a_line_without_an_end_is_skipped_in_pieces(
    local: Local, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "MAX_MESSAGE", 2000)
    with caplog.at_level("WARNING", "chaostoolkit.kernel"):
        target = local(before=["x" * 50_000, "y" * 1999 + "\n"])
        assert target.start(fault()).state is State.ACTIVE
    assert caplog.text.count("a line of more than 2000 characters: 'xxx") == 1
    assert caplog.text.count("is skipped") == 3  # the third is empty


@pytest.mark.parametrize(
    "wrong",
    [{"leftovers": 5}, {"leftovers": ["41"]}, {"counters": {"injected": "3"}}, {"counters": [1]}],
    ids=str,
)
def test_a_last_message_of_wrong_types_is_not_believed(
    local: Local, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any]
) -> None:
    target = local(deadline=0.05, **wrong)
    target.start(fault())
    assert eventually(lambda: target.record("mount").state is State.LOST)
    (record,) = target.stop("mount")
    assert (record.leftovers, record.counters, record.hits) == ((), {}, 0)
    assert "the agent exited with status 0" in record.reason
    assert "is skipped: disarmed." in caplog.text


def test_an_agent_that_reads_nothing_does_not_hold_its_owner_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault with an object is larger than a pipe."""
    agents: list[subprocess.Popen[str]] = []

    def launch(_: Assignment) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        agents.append(
            subprocess.Popen(["sleep", "60"], text=True, stdin=pipe, stdout=pipe, stderr=pipe)
        )
        return agents[-1]

    image = packed(b"\x7fELF" + os.urandom(300_000))
    monkeypatch.setattr(backend, "assigned", lambda fault: Assignment(fault, image))
    began = time.monotonic()
    with pytest.raises(TimeLimit, match="not armed within 0.3 s"):
        LocalBackend(launch, HASTY).start(fault())
    assert time.monotonic() - began < 5
    assert [agent.returncode for agent in agents] == [-signal.SIGTERM]


def test_an_agent_that_was_stopped_does_not_hold_a_stop_up() -> None:
    launched = Launched()
    target = LocalBackend(launched, HASTY_REPLIES)
    target.start(fault())
    launched.agents[0].send_signal(signal.SIGSTOP)
    held = target._faults.named("mount")
    for _ in range(5000):
        held.agent.tell({"request": "counters"})
    began = time.monotonic()
    (record,) = target.stop("mount")
    assert time.monotonic() - began < 5
    assert record.state is State.LOST
    assert launched.agents[0].returncode == -signal.SIGKILL


def test_a_signal_without_a_name_is_named_by_its_number() -> None:
    launched = Launched()
    target = LocalBackend(launched, PATIENT)
    target.start(fault())
    launched.agents[0].send_signal(signal.SIGRTMIN + 1)
    assert eventually(lambda: target.record("mount").state is State.LOST)
    assert target.record("mount").reason == f"the agent was killed by signal {signal.SIGRTMIN + 1}"
