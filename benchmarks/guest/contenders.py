"""What is compared: the engine core and its peers, each as a context that holds it.

It is imported by main.py, in the emulated machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chaoskernel.engine import libbpf
from chaoskernel.engine.core import CoreEngine
from chaoskernel.kernel import symbols
from chaoskernel.scope import Scope
from chaoskernel.spec import Fault, Frame, Hook, Limits, Mechanism

ITERATIONS = 10_000
HOOK = "should_failslab"
PATH = (
    *("do_pipe2", "create_pipe_files", "get_pipe_inode", "alloc_pipe_info"),
    *("alloc_file_pseudo", "alloc_file", "alloc_empty_file", "__alloc_file"),
)
"""Functions that pipe(2) is in while it allocates, outermost first; not all are everywhere."""

NEVER = "__x64_sys_mount"
"""One that the job never comes by."""

_KPROBES = Path("/sys/kernel/debug/kprobes/list")

ELSEWHERE = "filp_close"
"""One that the job comes by twice in an iteration, and in which it allocates nothing."""

SHORT = (
    "nothing attached",
    "floor: an empty fmod_ret",
    "core, out of scope",
    "core, in scope, a frame is never entered",
    "core, in scope, 1 frame(s) that do not match",
    "inject.py's technique, a frame is never entered",
    "inject.py's technique, 1 frame(s) that do not match",
)
"""What is enough to see that the ratios are what they were."""


class Job:
    """A process that waits for a line, does its work, and says how long an iteration took."""

    def __init__(self, threads: int = 1, iterations: int = ITERATIONS) -> None:
        self._process = subprocess.Popen(
            ["/bench/job", str(threads), str(iterations)],
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


def fault(pids: Sequence[int], frames: Sequence[str] = (), **parts: Any) -> Fault:
    """Return a fault of slab."""
    scope = parts.pop("scope", None) or Scope(pids=tuple(pids))
    return Fault(
        name="bench",
        scope=scope,
        hook=Hook.SLAB,
        callchain=tuple(map(Frame, frames)),
        limits=parts.pop("limits", Limits(duration=3600)),
        **parts,
    )


@contextlib.contextmanager
def armed(*faults: Fault) -> Iterator[None]:
    """Hold faults of the engine core."""
    held = [CoreEngine().arm(each, progress=lambda _: None) for each in faults]
    try:
        yield
    finally:
        for each in held:
            assert not each.disarm()


@contextlib.contextmanager
def peers(*attached: tuple[str, str], frames: int = 0) -> Iterator[None]:
    """Hold programs of peers.bpf.c, each with the function that it is attached to."""

    class Chain(ctypes.Structure):
        _fields_ = (("nr_frames", ctypes.c_uint64),)

    module = libbpf.Object(Path("/bench/peers.bpf.o").read_bytes())
    with contextlib.ExitStack() as undo:
        undo.callback(module.close)
        module.initial(".rodata.chain", Chain).nr_frames = frames
        for program, function in attached:
            module.want(program, function if program.endswith("fmod_ret") else "")
        module.load()
        for program, function in attached:
            if program.endswith("fmod_ret"):
                undo.callback(module.attach(program, function))
            else:
                at_return = program.startswith("leave")
                undo.callback(module.attach_kprobe(program, function, at_return=at_return))
        yield


def like_inject_py(frames: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """Hold what inject.py attaches for a chain, outermost first."""
    probes = [(f"{way}_{n}", name) for n, name in enumerate(frames) for way in ("enter", "leave")]
    return peers(*probes, ("fail", HOOK), frames=len(frames))


@contextlib.contextmanager
def inject_py(spec: str) -> Iterator[None]:
    """Hold what BCC's own inject.py attaches; it says nothing when it has."""
    process = subprocess.Popen(
        ["/usr/sbin/inject-bpfcc", "kmalloc", spec], stderr=subprocess.PIPE, text=True
    )
    try:
        while HOOK not in _KPROBES.read_text(encoding="ascii"):
            if process.poll() is not None:
                assert process.stderr
                raise OSError(f"it ended: {process.stderr.read().strip().splitlines()[-1]}")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def failslab(pid: int, *, marked: bool) -> Iterator[None]:
    """Use the kernel's own fault injection, with its filter by task; it fails nothing."""
    directory = Path("/sys/kernel/debug/failslab")
    for name, value in (
        ("task-filter", "Y"),
        ("ignore-gfp-wait", "N"),
        ("times", "-1"),
        ("probability", "100"),
    ):
        (directory / name).write_text(value)
    (directory / "space").write_text(str(2**30))  # bytes that are let through first
    for task in Path(f"/proc/{pid}/task").iterdir():
        (task / "make-it-fail").write_text(str(int(marked)))
    try:
        yield
    finally:
        (directory / "probability").write_text("0")
        (directory / "ignore-gfp-wait").write_text("Y")


def chain(length: int) -> list[str]:
    """Return functions of the job's path, with one at the end that it is never in then."""
    known = symbols.running()
    path = [name for name in PATH if name in known][: length - 1]
    path += path[-1:] * (length - 1 - len(path))  # a function may be named twice
    return [*path, ELSEWHERE]


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
    document["scope"]["pids"] = [pid]
    return armed(Fault.from_json(document))


def in_scope(frames: Sequence[str]) -> Arm:
    """Return what holds a fault of the job with this chain."""
    return lambda pid: armed(fault([pid], frames))


def technique(frames: Sequence[str]) -> Arm:
    """Return what holds inject.py's programs for this chain."""
    return lambda _: like_inject_py(frames)


def contenders(bystander: int) -> Iterator[tuple[str, Arm]]:
    """Yield what is compared, by name."""
    yield "nothing attached", lambda _: contextlib.nullcontext()
    yield "floor: an empty fmod_ret", lambda _: peers(("floor_fmod_ret", HOOK))
    yield "floor: an empty kprobe", lambda _: peers(("floor_kprobe", HOOK))
    yield "core, out of scope", lambda _: armed(fault([bystander]))
    yield "core, out of scope by cgroup", lambda _: by_cgroup(1)
    yield "core, in scope, a frame is never entered", in_scope([NEVER])
    for length in (1, 4, 8):
        frames = chain(length)
        yield f"core, in scope, {length} frame(s) that do not match", in_scope(frames)
    yield "core, in scope, a predicate does not hold", with_predicate
    yield "core, in scope, would inject (dry run)", lambda pid: armed(fault([pid], dry_run=True))
    yield (
        "core by kprobe, out of scope",
        lambda _: armed(fault([bystander], mechanism=Mechanism.KPROBE)),
    )
    yield "inject.py's technique, a frame is never entered", technique([NEVER])
    for length in (1, 4, 8):
        frames = chain(length)
        yield f"inject.py's technique, {length} frame(s) that do not match", technique(frames)
    yield "inject.py itself, a predicate does not hold", lambda _: inject_py("(gfpflags == 1)")
    pipes = list(PATH[:1])
    yield "core, injecting: each pipe(2) fails", in_scope(pipes)
    yield "inject.py's technique, injecting: each pipe(2) fails", technique(pipes)
    yield "failslab with task-filter, out of scope", lambda pid: failslab(pid, marked=False)
    yield "failslab with task-filter, in scope", lambda pid: failslab(pid, marked=True)
