"""Measures inside the emulated machine: arms each contender, has the job run, prints JSON lines.

It runs as the first process of an initramfs, under the distribution's Python, with the
package beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, "/bench")

from benchmarks.guest import places, starts, work
from benchmarks.guest.contenders import (
    ON_ARM64,
    SHORT,
    Arm,
    Job,
    armed,
    by_cgroup,
    chain,
    contenders,
    fault,
    framed,
    in_scope,
    run_twice,
    technique,
)
from chaoskernel.fault.spec import Mechanism

MAX_TRAMPOLINES = 38
"""BPF_MAX_TRAMP_LINKS, include/linux/bpf.h; tests/functional shows what one more gets."""

MAX_FILES = 64 * 1024
"""Open at a time: 64 faults of one process have tables, programs and links each."""


class Step(NamedTuple):
    """One thing that is measured.

    :param measure: returns what was found.
    """

    group: str
    name: str
    measure: Callable[[], dict[str, Any]]


def say(**fact: Any) -> None:
    """Print what was measured, or what went wrong."""
    print(f"@@{json.dumps(fact)}", flush=True)


def job(group: str, name: str, arm: Arm, **work: int) -> Step:
    """Return the step that has the job run twice under a contender: how long an iteration took."""
    return Step(group, name, lambda: {"ns": run_twice(arm, **work)})


def compared(asked: set[str], bystander: int) -> Iterator[Step]:
    """Yield each contender that a part of what is asked for has."""
    for part, group, names in (
        ("short", "cost", SHORT),
        ("cost", "cost", None),
        ("arm64", "arm64", ON_ARM64),
    ):
        if part in asked:
            for name, arm in contenders(bystander):
                if names is None or name in names:
                    yield job(group, name, arm)


def growth(bystander: int) -> Iterator[Step]:
    """Yield how cost grows with faults and control groups."""

    def faults(number: int, mechanism: Mechanism) -> Arm:
        return lambda _: armed(*[fault([bystander], mechanism=mechanism)] * number)

    def groups(number: int) -> Arm:
        return lambda _: by_cgroup(number)

    for number in (1, 8, MAX_TRAMPOLINES):
        yield job("faults, out of scope", f"{number}", faults(number, Mechanism.AUTO))
    for number in (1, 8, 64):
        yield job("faults by kprobe, out of scope", f"{number}", faults(number, Mechanism.KPROBE))
    for number in (1, 100, 10_000):
        yield job("control groups, out of scope", f"{number}", groups(number))


def threads() -> Iterator[Step]:
    """Yield how cost grows with threads that share a CPU."""
    compared: dict[str, Arm] = {
        "nothing attached": lambda _: contextlib.nullcontext(),
        "core, in scope, one frame": in_scope(chain(1)),
        "inject.py's technique, one frame": technique(chain(1)),
    }
    for number in (1, 2, 8):
        for name, arm in compared.items():
            more = {"threads": number, "iterations": 2000}
            yield job("threads on one CPU", f"{name}: {number}", arm, **more)


def steps(asked: set[str], bystander: int) -> Iterator[Step]:
    """Yield all that is asked for."""
    yield from compared(asked, bystander)
    if asked & {"short", "frames"}:
        for name, arm in framed(bystander):
            yield job("frames", name, arm)
    for group in sorted(asked & {"place", "arm64-place"}):
        for name, file, arm in places.contenders(bystander):
            yield Step(group, name, functools.partial(places.measure, file, arm))
    if "growth" in asked:
        yield from growth(bystander)
    if "threads" in asked:
        yield from threads()
    if asked & {"short", "work"}:
        yield from (Step(*step) for step in work.steps(bystander, short="work" not in asked))
    if "start" in asked:
        for name, measure in starts.all_of_them(bystander).items():
            yield Step("start", name, measure)


def take(plan: list[Step]) -> None:
    """Say what is measured, then what was found, of one step after another."""
    for number, step in enumerate(plan, 1):
        said = {"group": step.group, "name": step.name}
        say(begun=number, of=len(plan), **said)
        try:
            say(**said, **step.measure())
        except Exception as error:
            traceback.print_exc()
            say(**said, error=f"{type(error).__name__}: {error}")


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
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))


def main() -> None:
    """Do what the kernel's command line asks for: words that begin with bench."""
    prepare()
    words = Path("/proc/cmdline").read_text(encoding="ascii").split()
    asked = {word.removeprefix("bench.") for word in words if word.startswith("bench.")}
    take(list(steps(asked, bystander=Job().pid)))
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
