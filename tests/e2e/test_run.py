"""`chaoskernel run` and `render` on a real kernel."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaoskernel.agent.notice import notices
from tests.programs import gone_within, loaded_programs
from tests.victim import Victim
from tests.waiting import within

PROGRAM = Path(sys.executable).with_name("chaoskernel")
SAMPLE = Path("experiments/manifests/kernel-chaos-example.yaml")

pytestmark = pytest.mark.usefixtures("lab")

SECONDS = 300.0
"""What a fault may take to begin or end on a busy machine."""


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
    assert running.stdout.readline().startswith("kernel-chaos-example: in force until ")
    assert running.stdout.readline().startswith("kernel-chaos-example: reached ")
    assert victim.does("mount", 4) == [errno.ENOMEM] * 4
    running.send_signal(signal.SIGINT)
    told = running.stdout.read()
    assert running.wait(60) == 0
    assert "__x64_sys_mount" in told
    assert victim.does("mount", 1) == [0]
    assert gone_within(loaded_programs() - before, 1.0)


def test_the_program_is_that_of_this_kernel(victim: Victim) -> None:
    def rendered(engine: str) -> str:
        words = [PROGRAM, "render", "-f", SAMPLE, "--pid", str(victim.pid), "--engine", engine]
        printed: str = subprocess.run(
            [str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        return printed

    assert "KFUNC_PROBE(__x64_sys_mount)" in rendered("bcc")
    assert ".nr_frames = 1ULL" in rendered("bcc")
    assert " * enter_fentry_0 on __x64_sys_mount\n" in rendered("core")
    assert " * nr_frames = 1\n" in rendered("auto")


SCHEDULE = """\
apiVersion: chaos-mesh.org/v1alpha1
kind: Schedule
metadata: {name: again}
spec:
  type: KernelChaos
  schedule: "@every 5s"
  kernelChaos:
    mode: all
    selector: {}
    duration: 3s
    failKernRequest: {failtype: 0, callchain: [{funcname: sys_mount}]}
"""


def test_a_schedule_injects_at_its_ticks_until_ctrl_c(victim: Victim, tmp_path: Path) -> None:
    before = loaded_programs()
    manifest = tmp_path / "schedule.yaml"
    manifest.write_text(SCHEDULE, encoding="utf-8")
    running = subprocess.Popen(
        [PROGRAM, "run", "--json", "-f", manifest, "--pid", str(victim.pid)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout
    assert within(180, lambda: victim.does("mount", 1) == [errno.ENOMEM])
    assert within(10, lambda: victim.does("mount", 1) == [0])
    time.sleep(7)  # by now the agent of another tick is on its way
    running.send_signal(signal.SIGINT)
    faults = json.loads(running.stdout.read())
    assert running.wait(60) == 0
    assert (faults[0]["name"], faults[0]["reason"]) == ("again-1", "deadline")
    assert {fault["state"] for fault in faults} == {"ended"}
    assert victim.does("mount", 3) == [0] * 3
    assert gone_within(loaded_programs() - before, 1.0)
    assert notices() == []


def test_sites_are_shown_and_one_is_failed(victim: Victim) -> None:
    recording = subprocess.Popen(
        [PROGRAM, "run", "--json", "--sites", "--pid", str(victim.pid)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert in_force("run")
    assert victim.does("mount", 5) == [0] * 5
    recording.send_signal(signal.SIGINT)
    assert recording.stdout
    (fault,) = json.loads(recording.stdout.read())
    assert recording.wait(SECONDS) == 0
    assert fault["counters"]["injected"] == 0
    assert fault["counters"]["held_site"] == fault["counters"]["matched"] > 0
    site = next(each for each in fault["sites"] if each["call"] == "mount" and each["count"] == 5)

    failing = subprocess.Popen(
        [PROGRAM, "run", "--site", site["id"], "--hits", "2", "--pid", str(victim.pid)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert in_force("run")
    assert victim.does("mount", 3) == [0, errno.ENOMEM, 0]
    failing.send_signal(signal.SIGINT)
    assert failing.stdout
    assert site["id"] in failing.stdout.read()
    assert failing.wait(SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_kernels_log_says_when_a_fault_begins_and_ends(
    victim: Victim, number: signal.Signals
) -> None:
    name = f"logged-{number.name.lower()}"
    spec = ("--spec", "(true) => sys_mount()(true)")
    running = subprocess.Popen(
        [PROGRAM, "run", "--name", name, *spec, "--pid", str(victim.pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert in_force(name)
    agent = next(each.pid for each in notices() if each.message["name"] == name)
    os.kill(agent, number)
    running.wait(SECONDS)
    said = subprocess.run(["dmesg"], check=True, capture_output=True, text=True).stdout
    assert f"chaoskernel: fault '{name}' is in force: should_failslab fails with ENOMEM" in said
    assert f"chaoskernel: fault '{name}' has ended" in said


def in_force(name: str) -> bool:
    return within(SECONDS, lambda: any(each.message["name"] == name for each in notices()))
