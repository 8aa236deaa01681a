"""Proof that a hook is alive: this process provokes it, and the program counts.

That a program can be attached proves nothing.  A compiler may have copied the hook, so
that its callers use the copy (seen on Ubuntu's 6.8: should_failslab.constprop.0), or may
have left the call out.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from chaoskernel.engine import disks
from chaoskernel.engine.seed import EXEMPT, WITNESS, Tables
from chaoskernel.errors import DeadHook, UnsupportedKernel
from chaoskernel.kernel import symbols
from chaoskernel.spec import Fault, Hook

_PAGES = 64


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
    provoked = _PROVOCATIONS[fault.hook](program)
    if program.counters()["provoked"]:
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


_PROVOCATIONS: dict[Hook, Callable[[Witness], bool]] = {
    Hook.SLAB: _allocate,
    Hook.PAGE: _touch_pages,
    Hook.BIO: _read_disks,
}
"""What provokes each hook; tells whether it could."""
