"""What is compared: the engine core and its peers, each as a context that holds it.

It is imported by main.py, in the emulated machine.
"""

from __future__ import annotations

import contextlib
import functools
import json
import platform
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.guest.peers import (
    BPFTRACE,
    HOOK,
    INJECT_PY,
    bpftrace_program,
    failslab,
    floor_of_frames,
    like_inject_py,
    peers,
    running,
)
from chaoskernel.engine import ArmedFault
from chaoskernel.engine.core import CoreEngine
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Sites
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism, Stacks
from chaoskernel.kernel import symbols

ITERATIONS = 10_000
PYTHON = "/usr/bin/python3"
PATH = (
    *("do_pipe2", "create_pipe_files", "get_pipe_inode", "alloc_pipe_info"),
    *("alloc_file_pseudo", "alloc_file", "alloc_empty_file", "__alloc_file"),
)
"""Functions that pipe(2) is in while it allocates, outermost first; not all are everywhere."""

NEVER = f"__{'x64' if platform.machine() == 'x86_64' else 'arm64'}_sys_mount"
"""One that the job never comes by."""

ELSEWHERE = ("filp_flush", "filp_close")
"""What the job comes by twice in an iteration, allocating nothing: since Linux 6.6, and before."""

SHORT = (
    "nothing attached",
    "floor: an empty fmod_ret",
    "core, out of scope",
    "core, out of scope by cgroup",
    "core, in scope, a frame is never entered",
    "core, in scope, 1 frame(s) that do not match",
    "inject.py's technique, a frame is never entered",
    "inject.py's technique, 1 frame(s) that do not match",
    "a program that walks the kernel's stack",
    "core, in scope, recording sites",
    "core, in scope, would inject (dry run), stacks: none",
)
"""What is enough to see that the ratios are what they were."""

ON_ARM64 = (
    *SHORT,
    "floor: an empty kprobe",
    "core by kprobe, out of scope",
    "core, in scope, 8 frame(s) that do not match",
)
"""What is measured there: nothing of BCC's or bpftrace's."""


class Job:
    """A process that waits for a line, does its work, and says how long an iteration took."""

    def __init__(self, threads: int = 1, iterations: int = ITERATIONS, *file: str) -> None:
        self._process = subprocess.Popen(
            ["/bench/job", str(threads), str(iterations), *file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._line()

    def run(self) -> float:
        """Return the nanoseconds of an iteration."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        """End the process."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


Arm = Callable[[int], contextlib.AbstractContextManager[None]]
"""Attaches a contender; it is given the pid of the job."""


def run_twice(arm: Arm, threads: int = 1, iterations: int = ITERATIONS, *file: str) -> list[float]:
    """Have a job run twice under a contender; return how long an iteration took, in nanoseconds."""
    worker = Job(threads, iterations, *file)
    try:
        with arm(worker.pid):
            worker.run()  # what is made at the first use is made now
            return [worker.run(), worker.run()]
    finally:
        worker.end()


def fault(pids: Sequence[int], frames: Sequence[str] = (), **parts: Any) -> Fault:
    """Return a fault, of slab where no kind is named."""
    scope = parts.pop("scope", None) or Scope(pids=tuple(pids))
    return Fault(
        name="bench",
        scope=scope,
        kind=parts.pop("kind", Kind.SLAB),
        callchain=tuple(map(Frame, frames)),
        limits=parts.pop("limits", Limits(duration=3600)),
        **{"mechanism": Mechanism.FMOD_RET, **parts},
    )


@contextlib.contextmanager
def armed(*faults: Fault, compiled: str = "") -> Iterator[None]:
    """Hold faults of the engine core.

    :param compiled: an object with the predicates of all of them.
    """
    with contextlib.ExitStack() as undo:
        for each in faults:
            undo.callback(_disarm, CoreEngine(compiled).arm(each, progress=lambda _: None))
        yield


def _disarm(fault: ArmedFault) -> None:
    assert not fault.disarm()


def chain(length: int) -> list[str]:
    """Return functions of the job's path, with one at the end that it is never in then."""
    known = symbols.running()
    path = [name for name in PATH if name in known][: length - 1]
    path += path[-1:] * (length - 1 - len(path))  # a function may be named twice
    return [*path, next(name for name in ELSEWHERE if name in known)]


@contextlib.contextmanager
def by_cgroup(number: int) -> Iterator[None]:
    """Hold a fault of a control group with so many in it, of which the job is none."""
    root = Path("/sys/fs/cgroup/bench")
    below = [root / f"{n // 1000}" / f"{n}" for n in range(number - 1)]
    for directory in below:
        directory.mkdir(parents=True, exist_ok=True)
    root.mkdir(exist_ok=True)
    inside = subprocess.Popen(["/bench/job", "1", "10"], stdin=subprocess.PIPE)
    try:
        (root / "cgroup.procs").write_text(str(inside.pid))
        with armed(fault([], scope=Scope(cgroups=("/bench",)))):
            yield
    finally:
        inside.communicate()
        for directory in sorted(root.rglob("*/"), reverse=True):
            directory.rmdir()
        root.rmdir()


def with_predicate(pid: int) -> contextlib.AbstractContextManager[None]:
    """Hold a fault whose predicate was compiled before the machine was booted."""
    document = json.loads(Path("/bench/predicate.json").read_text(encoding="utf-8"))
    document["fault"]["scope"]["pids"] = [pid]
    given = Assignment.from_json(document)
    return armed(given.fault, compiled=given.object)


def in_scope(frames: Sequence[str]) -> Arm:
    """Return what holds a fault of the job with this chain."""
    return lambda pid: armed(fault([pid], frames))


def technique(frames: Sequence[str]) -> Arm:
    """Return what holds inject.py's programs for this chain."""
    return lambda _: like_inject_py(frames)


def bpftrace(frame: str = "", test: str = "1") -> Arm:
    """Return what holds bpftrace's program for a chain of one frame, or of none."""
    command = (*BPFTRACE, bpftrace_program(frame, test))
    return lambda _: running(command, HOOK, *filter(None, [frame]))


LENGTHS = (1, 4, 8)
"""Of the chains that are compared."""


def framed(bystander: int) -> Iterator[tuple[str, Arm]]:
    """Yield what frames cost that are all entered, by name: each with a floor of its own."""
    yield "nothing attached", lambda _: contextlib.nullcontext()
    for length in LENGTHS:
        frames = chain(length)
        yield f"{length} frame(s): floor", functools.partial(_floor_of, frames)
        yield (
            f"{length} frame(s): core, out of scope",
            functools.partial(_out_of, bystander, frames),
        )
        yield f"{length} frame(s): core, in scope", in_scope(frames)


def _floor_of(frames: Sequence[str], _: int) -> contextlib.AbstractContextManager[None]:
    return floor_of_frames(frames)


def _out_of(
    bystander: int, frames: Sequence[str], _: int
) -> contextlib.AbstractContextManager[None]:
    return armed(fault([bystander], frames))


DRY_RUN = "core, in scope, would inject (dry run), stacks: {}"


def _dry_run(stacks: Stacks, pid: int) -> contextlib.AbstractContextManager[None]:
    return armed(fault([pid], dry_run=True, stacks=stacks))


def contenders(bystander: int) -> Iterator[tuple[str, Arm]]:
    """Yield what is compared, by name."""
    yield "nothing attached", lambda _: contextlib.nullcontext()
    yield "floor: an empty fmod_ret", lambda _: peers(("floor_fmod_ret", HOOK))
    yield "floor: an empty kprobe", lambda _: peers(("floor_kprobe", HOOK))
    yield "core, out of scope", lambda _: armed(fault([bystander]))
    yield "core, out of scope by cgroup", lambda _: by_cgroup(1)
    yield "core, in scope, a frame is never entered", in_scope([NEVER])
    for length in LENGTHS:
        frames = chain(length)
        yield f"core, in scope, {length} frame(s) that do not match", in_scope(frames)
    yield "core, in scope, a predicate does not hold", with_predicate
    yield "a program that walks the kernel's stack", lambda _: peers(("walk_fmod_ret", HOOK))
    yield (
        "core, in scope, recording sites",
        lambda pid: armed(fault([pid], sites=Sites())),
    )
    for stacks in Stacks:
        yield DRY_RUN.format(stacks), functools.partial(_dry_run, stacks)
    yield (
        "core by kprobe, out of scope",
        lambda _: armed(fault([bystander], mechanism=Mechanism.KPROBE)),
    )
    yield "inject.py's technique, a frame is never entered", technique([NEVER])
    for length in LENGTHS:
        frames = chain(length)
        yield f"inject.py's technique, {length} frame(s) that do not match", technique(frames)
    yield (
        "inject.py itself, a predicate does not hold",
        lambda _: running((*INJECT_PY, "(gfpflags == 1)"), HOOK),
    )
    yield "bpftrace, out of scope", bpftrace(test=f"pid == {bystander}")
    yield "bpftrace, a frame is never entered", bpftrace(NEVER)
    yield "bpftrace, 1 frame(s) that do not match", bpftrace(*chain(1))
    pipes = list(PATH[:1])
    yield "core, injecting: each pipe(2) fails", in_scope(pipes)
    yield "inject.py's technique, injecting: each pipe(2) fails", technique(pipes)
    yield "bpftrace, injecting: each pipe(2) fails", bpftrace(PATH[0])
    yield "failslab with task-filter, out of scope", lambda pid: failslab(pid, marked=False)
    yield "failslab with task-filter, in scope", lambda pid: failslab(pid, marked=True)
