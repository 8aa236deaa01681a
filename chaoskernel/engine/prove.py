"""Proof that a hook is alive: this process provokes it, and the program counts.

That a program can be attached proves nothing.  A compiler may have copied the hook, so
that its callers use the copy (seen on Ubuntu's 6.8: should_failslab.constprop.0), or may
have left the call out.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from chaoskernel.engine.seed import EXEMPT, WITNESS, Tables
from chaoskernel.errors import DeadHook, UnsupportedKernel
from chaoskernel.kernel import symbols
from chaoskernel.spec import Fault, Hook

_PAGES = 64
_SECTOR = 4096
_BLOCK_DEVICES = Path("/sys/block")
_MODULES = Path("/lib/modules")
_MAX_FILES = 8


class Witness(Tables, Protocol):
    """The program's tables, and what it has counted."""

    def counters(self) -> Mapping[str, int]:
        """Return the counters, summed over the CPUs."""


def prove(program: Witness, fault: Fault, symbol: str) -> None:
    """Check that the kernel comes through the hook; the program injects nothing yet.

    A fault of a function is not proven: nobody knows how to have any function called.

    :param symbol: the hook's name.
    :raises DeadHook: the hook was provoked and was not called.
    :raises UnsupportedKernel: nothing here can provoke it.
    """
    if fault.hook not in _PROVOCATIONS:
        return
    with _witness(program):
        provoked = _PROVOCATIONS[fault.hook]()
        calls = program.counters()["provoked"]
    if calls:
        return
    if not provoked:
        raise UnsupportedKernel(
            f"{symbol} cannot be shown to be alive: no block device can be read",
            needs="attach a disk, or a loop device on a file",
        )
    clones = symbols.running().clones(symbol)
    why = f"its callers use {', '.join(clones)}" if clones else "its calls were compiled out"
    raise DeadHook(
        f"{symbol} is there, but this kernel does not call it",
        needs=f"{why}; a kernel with "
        "CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAIL_MAKE_REQUEST has live hooks, "
        "and `chaoskernel lab` boots one",
    )


@contextlib.contextmanager
def _witness(program: Tables) -> Iterator[None]:
    """Have the program count the hook calls of this process for a while."""
    program.list_processes([os.getpid()], WITNESS)
    try:
        yield
    finally:
        program.list_processes([os.getpid()], EXEMPT)


def _allocate() -> bool:
    """Have the kernel allocate slab objects: those of a pipe."""
    for end in os.pipe():
        os.close(end)
    return True


def _touch_pages() -> bool:
    """Have the kernel allocate pages: those of a mapping that is written to."""
    with mmap.mmap(-1, _PAGES * mmap.PAGESIZE) as pages:
        for page in range(_PAGES):
            pages[page * mmap.PAGESIZE] = 1
    return True


def _read_disks() -> bool:
    """Have the kernel submit a bio: a read of some disk, around the page cache.

    A container without privilege may open no disk, but files: its own program, and those of
    the host's.  They are read too, and tell nothing when they lie on no disk.
    """
    with mmap.mmap(-1, _SECTOR) as buffer:
        files = itertools.islice(_MODULES.glob("*/modules.*"), _MAX_FILES)
        for file in (sys.executable, *map(str, sorted(files))):
            _read(file, buffer)
        return any(_read(f"/dev/{disk.name}", buffer) for disk in sorted(_BLOCK_DEVICES.iterdir()))


def _read(device: str, buffer: mmap.mmap) -> bool:
    # A device without a medium, or one that this process may not open.
    with contextlib.suppress(OSError):
        descriptor = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_NONBLOCK)
        try:
            return os.preadv(descriptor, [buffer], 0) > 0
        finally:
            os.close(descriptor)
    return False


_PROVOCATIONS: dict[Hook, Callable[[], bool]] = {
    Hook.SLAB: _allocate,
    Hook.PAGE: _touch_pages,
    Hook.BIO: _read_disks,
}
"""What provokes each hook; tells whether it could."""
