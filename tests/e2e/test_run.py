"""`chaoskernel run` and `render` on a real kernel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.programs import gone_within, loaded_programs
from tests.victim import Victim

PROGRAM = Path(sys.executable).with_name("chaoskernel")
SAMPLE = Path("experiments/manifests/kernel-chaos-example.yaml")

pytestmark = pytest.mark.usefixtures("lab")


def test_a_spec_of_inject_py_is_injected_until_its_count_is_used_up(victim: Victim) -> None:
    before = loaded_programs()
    running = subprocess.Popen(
        [PROGRAM, "run", "--json", "--fault", "kmalloc", "--spec", "(true) => SyS_mount()(true)",
         "-I", "linux/mm.h", "-c", "3", "--pid", str(victim.pid)],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    failed = 0
    while running.poll() is None:
        failed += sum(number != 0 for number in victim.does("mount", 1))
        time.sleep(0.05)
    assert running.stdout
    (fault,) = json.loads(running.stdout.read())
    assert (failed, fault["counters"]["injected"]) == (3, 3)
    assert fault["reason"] == "stop"
    assert running.wait() == 0
    assert gone_within(loaded_programs() - before, 1.0)


def test_a_manifest_is_injected_until_ctrl_c(victim: Victim) -> None:
    before = loaded_programs()
    running = subprocess.Popen(
        [PROGRAM, "run", "-f", SAMPLE, "--pid", str(victim.pid)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout
    assert running.stdout.readline().startswith("kernel-chaos-example: reached ")
    assert victim.does("mount", 4) == [12] * 4
    running.send_signal(signal.SIGINT)
    told = running.stdout.read()
    assert running.wait(60) == 0
    assert "__x64_sys_mount" in told
    assert victim.does("mount", 1) == [0]
    assert gone_within(loaded_programs() - before, 1.0)


def test_the_program_is_that_of_this_kernel(victim: Victim) -> None:
    rendered = subprocess.run(
        [PROGRAM, "render", "-f", SAMPLE, "--pid", str(victim.pid)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert "KFUNC_PROBE(__x64_sys_mount)" in rendered.stdout
    assert "#define NR_FRAMES 1\n" in rendered.stdout
