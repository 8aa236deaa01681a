"""The peers that the engines are compared with, each as a context that holds it.

Programs of ours with inject.py's technique, BCC's inject.py itself, bpftrace, and the kernel's
own failslab.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chaoskernel.engine import libbpf

HOOK = "should_failslab"
INJECT_PY = ("/usr/sbin/inject-bpfcc", "kmalloc")
BPFTRACE = ("/usr/bin/bpftrace", "--unsafe", "-e")

_KPROBES = Path("/sys/kernel/debug/kprobes/list")
_LOOK_SECONDS = 0.02


@contextlib.contextmanager
def peers(*attached: tuple[str, str], frames: int = 0) -> Iterator[None]:
    """Hold programs of peers.bpf.c, each with the function that it is attached to."""

    class Chain(ctypes.Structure):
        _fields_ = (("nr_frames", ctypes.c_uint64),)

    module = libbpf.Object(Path("/bench/peers.bpf.o").read_bytes())
    with contextlib.ExitStack() as undo:
        undo.callback(module.close)
        module.initial(".rodata.chain", Chain)[0] = Chain(frames)
        for program, function in attached:
            module.want(program, function if _by_trampoline(program) else "")
        module.load()
        for program, function in attached:
            if _by_trampoline(program):
                undo.callback(module.attach(program, function))
            else:
                at_return = program.startswith("leave")
                undo.callback(module.attach_kprobe(program, function, at_return=at_return))
        yield


def _by_trampoline(program: str) -> bool:
    return any(f"_{way}" in program for way in ("fmod_ret", "fentry", "fexit"))


def floor_of_frames(frames: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """Hold empty programs where a chain has its own: at entry and return of each function."""
    functions = list(enumerate(dict.fromkeys(frames)))
    leaves = [(f"floor_fexit_{n}", name) for n, name in functions]
    enters = [(f"floor_fentry_{n}", name) for n, name in functions]
    return peers(*leaves, *enters, ("floor_fmod_ret", HOOK))


def like_inject_py(
    frames: Sequence[str], hook: str = HOOK
) -> contextlib.AbstractContextManager[None]:
    """Hold what inject.py attaches for a chain, outermost first."""
    probes = [(f"{way}_{n}", name) for n, name in enumerate(frames) for way in ("enter", "leave")]
    return peers(*probes, ("fail", hook), frames=len(frames))


def bpftrace_program(frame: str = "", test: str = "1", *, hook: str = HOOK) -> str:
    """Return what makes a hook fail under a frame, in bpftrace's language.

    :param frame: one function; empty for none.
    :param test: what else has to hold.
    """
    if not frame:
        return f"kprobe:{hook} /{test}/ {{ override(-12); }}"
    return (
        f"kprobe:{frame} /{test}/ {{ @in[tid] = 1; }} "
        f"kretprobe:{frame} /@in[tid]/ {{ delete(@in[tid]); }} "
        f"kprobe:{hook} /@in[tid]/ {{ override(-12); }}"
    )


@contextlib.contextmanager
def running(command: Sequence[str], *functions: str) -> Iterator[None]:
    """Hold a program that attaches kprobes to functions and says nothing when it has.

    :raises OSError: it ended before.
    """
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: probed(functions), process)
        yield
    finally:
        process.kill()
        process.wait()


def probed(functions: Sequence[str]) -> bool:
    """Tell whether all of these functions have a kprobe."""
    listed = _KPROBES.read_text(encoding="ascii")
    return all(f" {function}+" in listed for function in functions)


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until a process has done something.

    :raises OSError: it ended before.
    """
    while not ready():
        if (status := process.poll()) is not None:
            assert process.stderr
            said = process.stderr.read().strip().splitlines()[-1:] or ["it said nothing"]
            raise OSError(f"it ended with status {status}: {said[0]}")
        time.sleep(_LOOK_SECONDS)


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


if __name__ == "__main__":
    # What takes as long to start as a loader of inject.py's technique would.
    with like_inject_py(sys.argv[1:]):
        sys.stdin.read()
