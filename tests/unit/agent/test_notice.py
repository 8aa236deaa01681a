"""A notice is there as long as its agent is, and is believed only when it can be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from chaoskernel.agent.notice import notices, posted

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
    started = [agent("late", "2026-01-02"), agent("early", "2026-01-01")]
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
