"""Where the parts of a fault attach on one kernel, and the entry points that are attached."""

from __future__ import annotations

import enum
from typing import NamedTuple

from chaoskernel.fault.hook_types import Hook
from chaoskernel.fault.spec import Mechanism


class Attach(enum.Enum):
    """What an entry point is attached to."""

    RAW_TRACEPOINT = "raw_tracepoint"
    FENTRY = "fentry"
    FEXIT = "fexit"
    FMOD_RET = "fmod_ret"
    KPROBE = "kprobe"
    KRETPROBE = "kretprobe"


class Probe(NamedTuple):
    """A function of a kernel, and the way to reach it."""

    symbol: str
    mechanism: Mechanism


class Span(NamedTuple):
    """Where a function lies, and how long it is in bytes; 0 and 0 where that is not known."""

    begin: int = 0
    size: int = 0


class Layout(NamedTuple):
    """Addresses and offsets of one kernel; 0 where they are not known.

    :param cache_name: offset of the name in struct kmem_cache, in bytes.
    :param cache_size: that of the size of its objects.
    :param bootstrap_cache: address of the pointer to the cache of caches.
    :param return_trampoline: what a kretprobe puts in place of a return address.
    :param cgroup_controller: of the v1 hierarchy that has the scope's cgroups; else v2 has them.
    :param cgroup_hierarchy: its number, as in /proc/cgroups.
    :param page_fault: the function that all page faults come through.
    :param undone: functions that clean up, and must not fail.
    """

    cache_name: int = 0
    cache_size: int = 0
    bootstrap_cache: int = 0
    return_trampoline: int = 0
    cgroup_controller: str = ""
    cgroup_hierarchy: int = 0
    page_fault: Span = Span()
    undone: tuple[Span, ...] = ()


class PlacedHook(NamedTuple):
    """One of a fault's hooks on one kernel.

    :param value: what it returns to fail, in C.
    :param hook: its entry in the table of hooks.
    :param subjects: which of its arguments are its subject; 0 is the first.
    :param socket: which of them is the socket, where that is something else.
    """

    probe: Probe
    value: str
    hook: Hook
    subjects: tuple[int, ...] = ()
    socket: int = 0


class Near(NamedTuple):
    """A system call that is near the one that a fault fails, and its entry point."""

    call: str
    probe: Probe


class Placement(NamedTuple):
    """Where the parts of a fault attach on one kernel; frames outermost first.

    :param near: what is counted, and does not fail.
    :param cleanups: the functions of `Layout.undone`, by name.
    """

    hooks: tuple[PlacedHook, ...]
    frames: tuple[Probe, ...]
    layout: Layout = Layout()
    left_out: tuple[str, ...] = ()
    near: tuple[Near, ...] = ()
    cleanups: tuple[str, ...] = ()

    @property
    def mechanism(self) -> Mechanism:
        """The way to override the hooks' return values: the same for all of them."""
        return self.hooks[0].probe.mechanism


class Entry(NamedTuple):
    """An entry point: its C function and what that is attached to."""

    function: str
    attach: Attach
    symbol: str
