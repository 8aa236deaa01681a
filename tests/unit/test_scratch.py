"""Directories for work that is over soon, and what killed processes leave of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from chaoskernel import scratch

WORK = """
import sys, time
from chaoskernel import scratch
with scratch.directory() as place:
    (place / "file").touch()
    print(place, flush=True)
    time.sleep(60)
"""


def test_it_goes_with_the_work() -> None:
    with scratch.directory() as place:
        (place / "file").touch()
    assert not place.exists()


def test_what_a_killed_process_leaves_is_removed_by_the_next_one(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", WORK]
    children = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    killed = children[0]
    places = [Path(child.stdout.readline().strip()) for child in children if child.stdout]
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert places[0].exists()
        for place in places:
            os.utime(place, (0, 0))
        scratch.sweep(tmp_path)
        assert [place.exists() for place in places] == [False, True]
    finally:
        for child in children:
            child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
