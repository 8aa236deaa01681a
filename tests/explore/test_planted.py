"""What was planted in a program is what an exploration says of it, on a real kernel.

Runs in the lab, on its own kernel and on a distribution's: `make test-explore`.
CHAOSKERNEL_TIMES says how often the planted program is explored; each must come to the same.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.explore.conftest import PROGRAM, explore
from tests.programs import gone_within, loaded_programs
from tests.waiting import within

pytestmark = pytest.mark.usefixtures("lab")

VERIFY = "test ! -s data || grep -qx kept data"

PLANTED: dict[str, dict[str, set[str]]] = {
    "timerfd_create": {"once": {"survived"}, "persistent": {"survived"}},
    "eventfd2": {"once": {"reported"}, "persistent": {"reported"}},
    "epoll_create1": {"once": {"crashed"}, "persistent": {"crashed"}},
    "inotify_init1": {"once": {"hung"}, "persistent": {"hung"}},
    "memfd_create": {"once": {"survived"}, "persistent": {"survived"}},
    "socket": {"once": {"corrupted"}, "persistent": {"corrupted"}},
    "shmget": {"once": {"reported"}, "persistent": {"reported"}},
    "pipe2": {"once": {"survived"}, "persistent": {"survived"}},
    "semget": {"once": {"survived"}, "persistent": {"survived"}},
    "msgget": {"once": {"survived"}, "persistent": {"reported"}},
    "openat": {"once": {"damaged"}, "persistent": {"damaged"}},
}
"""What each system call's failure comes to; signalfd4 is flaky, and socketpair needs two."""


def call_of(site: dict[str, Any]) -> str:
    return str(site["entered"]["name"])


@pytest.mark.parametrize("turn", range(int(os.environ.get("CHAOSKERNEL_TIMES", "1"))))
def test_each_planted_weakness_is_named(planted: str, kind: str, tmp_path: Path, turn: int) -> None:
    words = ("--fault", kind, "--hits", "once", "--hits", "persistent", "--verify", VERIFY)
    patience = ("--patience", "20", "--phase", "work")
    found = explore(tmp_path / "x.jsonl", *words, *patience, "--", planted)
    assert found["ended_by"] == "complete"
    came: dict[str, dict[str, set[str]]] = collections.defaultdict(
        lambda: collections.defaultdict(set)
    )
    for site in found["sites"]:
        for attempt in site["attempts"]:
            # The kernel makes some requests only when it has nothing left from an earlier run: as
            # it happens in each baseline, and in some of an attempt's tries.
            missed = attempt["outcome"] == "not reached"
            cached = missed and (not site["steady"] or set(attempt["tries"]) != {"not reached"})
            if not cached and not site["under"]:
                mode = attempt["attempt"].partition("@")[2] or "once"
                came[call_of(site)][mode].add(attempt["outcome"])
    for call, modes in PLANTED.items():
        for mode, outcomes in modes.items():
            # Some requests the kernel itself does without, and the program sees nothing.
            assert came[call][mode] | {"survived"} == outcomes | {"survived"}, (call, mode)
    sites = [site for site in found["sites"] if site["attempts"]]
    leaks: dict[str, set[str]] = collections.defaultdict(set)
    for site in sites:
        if not site["under"] and site["outcome"] == "survived":
            leaks[call_of(site)] |= {
                leak.split()[-1] for each in site["attempts"] for leak in each["leaks"]
            }
    assert leaks["memfd_create"] == {"descriptors"}
    assert leaks["semget"] == {"memory"}
    assert leaks["timerfd_create"] == leaks["pipe2"] == set()
    pairs = {site["outcome"] for site in sites if call_of(site) == "socketpair"}
    assert pairs - {"survived"} == {
        "crashed"
    }  # it is reached only where pipe2 fails, and both fail then
    flaky = [site for site in sites if call_of(site) == "signalfd4" and not site["under"]]
    assert flaky
    assert all(not site["steady"] for site in flaky)
    for site in flaky:
        assert site["outcome"] == "not reached" or set(site["tries"]) == {"survived"}


def test_program_is_in_scope_and_exec_is_not_failed(
    planted: str, kind: str, tmp_path: Path
) -> None:
    found = explore(tmp_path / "x.jsonl", "--fault", kind, "--sites", "3", "--", planted)
    in_exec = [site for site in found["sites"] if site["phases"] == ["exec"]]
    assert in_exec
    assert all(site["outcome"] is None and site["left_out"] for site in in_exec)
    assert {site["task"] for site in found["sites"]} <= {"planted", "chaos-keeper"}
    assert sum(len(site["attempts"]) for site in found["sites"]) == 3


def test_replay_comes_to_the_same(planted: str, kind: str, tmp_path: Path) -> None:
    state = tmp_path / "x.jsonl"
    found = explore(state, "--fault", kind, "--phase", "work", "--", planted, "crash")
    crashed = [
        site
        for site in found["sites"]
        if site["outcome"] == "crashed" and site["steady"] and not site["under"]
    ]
    assert crashed
    done = subprocess.run(
        [PROGRAM, "explore", "--replay", crashed[0]["id"], "--state", state, "--strace"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "crashed: killed by SIGSEGV" in done.stdout
    assert "epoll_create1" in done.stderr
    assert "--- SIGSEGV" in done.stderr


def test_killed_exploration_leaves_nothing_and_ends_with_the_same_result(
    planted: str, kind: str, tmp_path: Path
) -> None:
    words = ("--fault", kind, "--verify", VERIFY, "--patience", "20", "--", planted)
    whole = outcomes(explore(tmp_path / "whole.jsonl", *words))
    state = tmp_path / "cut.jsonl"
    before = loaded_programs()
    kills = int(os.environ.get("CHAOSKERNEL_KILLS", "3"))
    for moment in (random.uniform(0.5, 25) for _ in range(kills)):
        resume = ["--resume"] if state.exists() else words
        running = subprocess.Popen([PROGRAM, "explore", "--state", state, *resume])
        assert within(120, state.exists)
        time.sleep(moment)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert gone_within(loaded_programs() - before, 10)
        assert within(10, lambda: not processes_of(planted))
        assert within(10, lambda: not list(Path("/tmp").glob("chaoskernel-work-*")))
    resumed = outcomes(explore(state, "--resume"))
    both = whole.keys() & resumed.keys()
    assert len(both) > 0.9 * max(len(whole), len(resumed))  # each has baselines of its own
    assert {site: resumed[site] for site in both} == {site: whole[site] for site in both}


def outcomes(found: dict[str, Any]) -> dict[str, str]:
    """Return what each steady site of the baseline came to.

    Whether the kernel takes from a cache, and so comes to no site, is the machine's affair.
    """
    return {
        site["id"]: site["outcome"]
        for site in found["sites"]
        if site["steady"] and not site["under"] and site["outcome"] not in (None, "not reached")
    }


def processes_of(program: str) -> str:
    words = ["pgrep", "-f", f"^{program}"]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False).stdout
