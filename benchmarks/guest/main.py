"""Measures inside the emulated machine: arms each contender, has the job run, prints JSON lines.

It runs as the first process of an initramfs, under the distribution's Python, with the
package beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, "/bench")

from benchmarks.guest.contenders import (
    SHORT,
    Arm,
    Job,
    armed,
    by_cgroup,
    chain,
    contenders,
    fault,
    in_scope,
    technique,
)
from chaoskernel.agent import protocol
from chaoskernel.launch import agent_command
from chaoskernel.spec import EngineName


def say(**fact: Any) -> None:
    """Print what was measured, or what went wrong."""
    print(f"@@{json.dumps(fact)}", flush=True)


def measure(name: str, arm: Arm, group: str, **job: int) -> None:
    """Run the job twice under a contender, and say what an iteration took."""
    worker = Job(**job)
    try:
        with arm(worker.pid):
            worker.run()  # what is made at the first use is made now
            say(group=group, name=name, ns=[worker.run(), worker.run()])
    except Exception as error:
        traceback.print_exc()
        say(group=group, name=name, error=f"{type(error).__name__}: {error}")
    finally:
        worker.end()


def growth(bystander: int) -> None:
    """Measure how cost grows with faults and control groups."""

    def faults(number: int) -> Arm:
        return lambda _: armed(*[fault([bystander])] * number)

    def groups(number: int) -> Arm:
        return lambda _: by_cgroup(number)

    for number in (1, 8, 32):
        measure(f"{number}", faults(number), "faults, out of scope")
    for number in (1, 100, 10_000):
        measure(f"{number}", groups(number), "control groups, out of scope")


def threads() -> None:
    """Measure how cost grows with threads that share a CPU."""
    compared: dict[str, Arm] = {
        "nothing attached": lambda _: contextlib.nullcontext(),
        "core, in scope, one frame": in_scope(chain(1)),
        "inject.py's technique, one frame": technique(chain(1)),
    }
    for number in (1, 2, 8):
        for name, arm in compared.items():
            group = "threads on one CPU"
            measure(f"{name}: {number}", arm, group, threads=number, iterations=2000)


def start(engine: EngineName) -> None:
    """Measure an agent from its start to `armed`: time, and the memory of its own at the peak."""
    worker = Job()
    document = fault([worker.pid], chain(1), engine=engine).to_json()
    begun = time.monotonic()
    agent = subprocess.Popen(
        agent_command("/usr/bin/python3", owner=os.getpid()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdin and agent.stdout
    agent.stdin.write(protocol.encode(document))
    agent.stdin.flush()
    for line in agent.stdout:
        message = protocol.decode(line)
        if message["type"] in ("armed", "error"):
            break
    seconds = time.monotonic() - begun
    if message["type"] == "error":
        say(group="start", name=engine.value, error=message["message"])
    else:
        say(group="start", name=engine.value, seconds=seconds, memory=peak_of(agent.pid))
    agent.communicate()
    worker.end()


def peak_of(pid: int) -> int:
    """Return the most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def prepare() -> None:
    """Mount what the kernel shows of itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, place in (
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),  # noqa: S108 - of a machine that ends with the measurement
        ("cgroup2", "/sys/fs/cgroup"),
        ("debugfs", "/sys/kernel/debug"),
        ("tracefs", "/sys/kernel/tracing"),
    ):
        Path(place).mkdir(parents=True, exist_ok=True)
        if libc.mount(b"none", place.encode(), kind.encode(), 0, None):
            say(error=f"mount of {place}: {os.strerror(ctypes.get_errno())}")
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> None:
    """Do what the kernel's command line asks for: words that begin with bench."""
    prepare()
    bystander = Job().pid
    words = Path("/proc/cmdline").read_text(encoding="ascii").split()
    asked = [word.removeprefix("bench.") for word in words if word.startswith("bench.")]
    if "short" in asked or "cost" in asked:
        for name, arm in contenders(bystander):
            if "cost" in asked or name in SHORT:
                measure(name, arm, "cost")
    if "growth" in asked:
        growth(bystander)
    if "threads" in asked:
        threads()
    if "start" in asked:
        start(EngineName.CORE)
        start(EngineName.BCC)
    say(done=True)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os.sync()
        ctypes.CDLL(None).reboot(0x4321FEDC)  # LINUX_REBOOT_CMD_POWER_OFF
