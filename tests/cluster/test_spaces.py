"""A cluster's namespaces end with their first process, however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT
from tests.waiting import within
from tools.cluster import groups, spaces

ENTER = [sys.executable, "-m", "tools.cluster", "enter", "--"]
MARK = "98765.25"
"""Seconds that nobody else sleeps for."""


@pytest.fixture
def outside(namespaces: None) -> Iterator[dict[str, str]]:
    """The environment of somebody who is in no cluster."""
    kept = {name: value for name, value in os.environ.items() if value != spaces.group()}
    yield kept
    for pid in sleepers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def sleepers() -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (place / "cmdline").read_bytes() == f"sleep\0{MARK}\0".encode():
                found.append(int(place.name))
    return found


def clusters(prefix: str) -> list[Path]:
    """Return the control groups of clusters."""
    return [*groups.TOP.glob(f"*/{prefix}*"), *groups.TOP.glob(f"{prefix}*")]


def test_what_is_killed_leaves_no_process_and_the_next_start_clears_up(
    outside: dict[str, str],
) -> None:
    # One of its processes leaves session and process group, as daemons do.
    script = f"setsid sleep {MARK} & sleep {MARK} & sleep {MARK}"
    first = subprocess.Popen([*ENTER, "sh", "-c", script], cwd=ROOT, env=outside)
    try:
        assert within(60, lambda: len(sleepers()) == 3)
    finally:
        first.kill()
        first.wait()
    own = f"{groups.PREFIX}{first.pid}-"
    assert within(10, lambda: sleepers() == [])
    assert clusters(own)
    subprocess.run([*ENTER, "true"], cwd=ROOT, env=outside, check=True, timeout=60)
    assert not clusters(own)


def test_the_status_of_the_command_is_that_of_the_cluster(outside: dict[str, str]) -> None:
    for script, status in (("exit 7", 7), ("kill -9 $$", 137), ("test $$ -ne 1", 0)):
        done = subprocess.run(
            [*ENTER, "sh", "-c", script], cwd=ROOT, env=outside, check=False, timeout=60
        )
        assert done.returncode == status
