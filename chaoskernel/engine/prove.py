"""Proof that a hook is alive: this process provokes it, and the program counts.

That a program can be attached proves nothing.  A compiler may have copied the hook, so
that its callers use the copy (seen on Ubuntu's 6.8: should_failslab.constprop.0), or may
have left the call out; or the kernel's function tracer is off.  Of a function that nobody
can call without harm it has to do that the kernel lists it among those that call a program
where they are entered; one with copies has been refused before (kernel.symbols).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from chaoskernel.bpf.program import Probe
from chaoskernel.engine import disks
from chaoskernel.engine.seed import EXEMPT, WITNESS, Tables
from chaoskernel.errors import DeadHook, UnsupportedKernel
from chaoskernel.fault.spec import Fault, Kind, Mechanism
from chaoskernel.kernel import ftrace, symbols

CALLED = "called"
"""The hook was provoked, and the program was seen to run."""

ATTACHED = "attached"
"""The kernel lists the function as one that calls the program; it was not called."""

ACCEPTED = "accepted"
"""The kernel took the program, and its lists cannot be read here: there is no tracefs."""

_PAGES = 64


class Witness(Tables, Protocol):
    """The program's tables, and what it has counted."""

    def counters(self) -> Mapping[str, int]:
        """Return the counters, summed over the CPUs."""


def prove(program: Witness, fault: Fault, hook: Probe) -> str:
    """Check that the kernel comes through the hook; the program injects nothing yet.

    :return: how that was shown: called, attached or accepted.
    :raises DeadHook: the hook was provoked and was not called, or cannot be.
    :raises UnsupportedKernel: nothing here can provoke it, or the function tracer is off.
    """
    if fault.kind is Kind.FUNCTION:
        return _prove_function(program, hook)
    symbol = hook.symbol
    provoked = _PROVOCATIONS[fault.kind](program)
    if program.counters()["provoked"]:
        return CALLED
    if not provoked:
        raise UnsupportedKernel(
            f"{symbol} cannot be shown to be alive: no block device can be read",
            needs="attach a disk, or a loop device on a file",
        )
    _require_tracing(hook)
    clones = symbols.running().clones(symbol)
    why = f"its callers use {', '.join(clones)}" if clones else "its calls were compiled out"
    raise DeadHook(
        f"{symbol} is there, but this kernel does not call it",
        needs=f"{why}; a kernel with "
        "CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAIL_MAKE_REQUEST has live hooks, "
        "and `chaoskernel lab` boots one",
    )


def _prove_function(program: Witness, hook: Probe) -> str:
    call = re.fullmatch(r"(?:__\w+?_)?sys_(\w+)", hook.symbol)
    if call and call[1] in _HARMLESS:
        with _witness(program, os.getpid()), contextlib.suppress(OSError):
            _HARMLESS[call[1]]()
        if program.counters()["provoked"]:
            return CALLED
    _require_tracing(hook)
    by_kprobe = hook.mechanism is Mechanism.KPROBE
    seen = (ftrace.calls_kprobe if by_kprobe else ftrace.calls_trampoline)(hook.symbol)
    if seen is None:
        return ACCEPTED
    if not seen:
        place = "/sys/kernel/debug/kprobes/list" if by_kprobe else "enabled_functions of tracefs"
        raise DeadHook(
            f"{hook.symbol} took the program, but does not call it",
            needs=f"{place} lists the functions that do; dmesg may tell why it is not among them",
        )
    return ATTACHED


def _require_tracing(hook: Probe) -> None:
    """Check that nobody has switched tracing off since the start began."""
    ftrace.require_on()
    if hook.mechanism is Mechanism.KPROBE:
        ftrace.require_kprobes(hook.symbol)


@contextlib.contextmanager
def _witness(program: Tables, pid: int) -> Iterator[None]:
    """Have the program count the hook calls of this process, or of one that it started.

    The program's tracker takes the other one out when it ends.
    """
    program.list_processes([pid], WITNESS)
    try:
        yield
    finally:
        program.list_processes([pid], EXEMPT)


def _allocate(program: Witness) -> bool:
    """Have the kernel allocate slab objects: those of a pipe."""
    with _witness(program, os.getpid()):
        for end in os.pipe():
            os.close(end)
    return True


def _touch_pages(program: Witness) -> bool:
    """Have the kernel allocate pages: those of a mapping that is written to."""
    with _witness(program, os.getpid()), mmap.mmap(-1, _PAGES * mmap.PAGESIZE) as pages:
        for page in range(_PAGES):
            pages[page * mmap.PAGESIZE] = 1
    return True


def _read_disks(program: Witness) -> bool:
    """Have the kernel submit a bio: a read of some disk, around the page cache."""
    return disks.provoke(
        lambda pid: _witness(program, pid), lambda: program.counters()["provoked"] > 0
    )


_PROVOCATIONS: dict[Kind, Callable[[Witness], bool]] = {
    Kind.SLAB: _allocate,
    Kind.PAGE: _touch_pages,
    Kind.BIO: _read_disks,
}
"""What provokes each hook; tells whether it could."""

_NO_FILE = 2**31 - 1
_NOWHERE = Path("/proc/self/nothing")

_HARMLESS: dict[str, Callable[[], object]] = {
    "close": lambda: os.close(_NO_FILE),
    "fdatasync": lambda: os.fdatasync(_NO_FILE),
    "fsync": lambda: os.fsync(_NO_FILE),
    "ftruncate": lambda: os.ftruncate(_NO_FILE, 0),
    "lseek": lambda: os.lseek(_NO_FILE, 0, os.SEEK_SET),
    "mkdir": _NOWHERE.mkdir,
    "openat": lambda: os.open("", os.O_RDONLY),
    "pread64": lambda: os.pread(_NO_FILE, 1, 0),
    "pwrite64": lambda: os.pwrite(_NO_FILE, b"", 0),
    "read": lambda: os.read(_NO_FILE, 1),
    "rename": lambda: _NOWHERE.rename(_NOWHERE),
    "rmdir": _NOWHERE.rmdir,
    "unlink": _NOWHERE.unlink,
    "write": lambda: os.write(_NO_FILE, b""),
}
"""System calls that fail for want of a file before they do anything.  A C library may use
another one for the same; then it is looked for, as any function is."""
