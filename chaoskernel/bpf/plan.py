"""Fault -> what it switches in the program, and its entry points: pure, and knows no kernel.

The one answer for both engines: core writes the switches into an object that is compiled, and
bcc_text.py writes them into the text.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from chaoskernel.bpf import abi
from chaoskernel.bpf.placement import Attach, Entry, PlacedHook, Placement, Probe
from chaoskernel.fault.hook_types import Subject
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.spec import Fault, Mechanism, Stacks
from chaoskernel.fault.where import Peer, Where, peer_of

_THREAD_SIZE = 1 << 14
"""Bytes of a kernel stack on 64-bit machines, if no page has more (arch/*/include/asm/)."""

_PROCESSES = 0
_AF_INET, _AF_INET6 = 2, 10  # include/linux/socket.h; to import socket takes a while
_STACKS = {
    Stacks.ALL: abi.STACKS_ALL,
    Stacks.SAMPLE: abi.STACKS_SAMPLE,
    Stacks.NONE: abi.STACKS_NONE,
}
_KINDS = {Kind.SLAB: abi.HOOK_SLAB, Kind.PAGE: abi.HOOK_PAGE, Kind.BIO: abi.HOOK_BIO}

_WORDS = struct.Struct("=2Q")
"""An address of IPv6's length, as it lies in memory."""

LEARNER, LEARNED_AT = "learn_place", "security_inode_getattr"
"""What tells the address of a file's dentry, and where it is attached."""


WATCHING = {"watched": abi.NR_CALLS, "calls": abi.MAX_CALLS}
"""Sizes of the maps of `chaoskernel watch`; a fault has no use for them."""

MARKER = "mark_tasks"
"""What marks the tasks that are in listed control groups."""


class Kernel(NamedTuple):
    """What a program has to know of its kernel, beside the placement; 0 where nothing asks.

    :param cgroup_subsystem: the number of the controller whose v1 hierarchy has the scope's
        cgroups (enum cgroup_subsys_id); v2 has none.
    :param has_task_pt_regs: programs can ask where a thread's registers are.
    :param text: where the pages of the kernel's text are counted from, for sites.
    :param cache_size: bytes of the objects that slab caches are.
    :param system_calls: the address of the table of system calls; 0 where it is not known.
    """

    cgroup_subsystem: int = 0
    has_task_pt_regs: bool = False
    text: int = 0
    system_calls: int = 0
    cache_size: int = 0


class Plan(NamedTuple):
    """What a fault is in the program.

    :param entries: in the order in which they are to be attached.  Returns are watched before
        entries are, so that no activation is taken for an active one for ever; the hook comes
        last and goes first.
    :param sizes: of those maps whose size depends on the fault.
    :param cleanups: entry points that follow what must not fail; without all of them, each
        request's stack is looked at.  Entries come before returns: one return too many would hide
        a task.
    :param near: entry points that count what is near; the fault does without those that are
        refused.
    """

    switches: abi.Switches
    entries: tuple[Entry, ...]
    sizes: Mapping[str, int]
    near: tuple[Entry, ...] = ()
    cleanups: tuple[Entry, ...] = ()


def plan(fault: Fault, placement: Placement, kernel: Kernel | None = None) -> Plan:
    """Return what a fault switches, and what is attached for it."""
    sizes = {
        "pods": max(1, len(fault.scope.pods)),
        "walks": abi.MAX_WALKS if fault.callchain else 1,
        "sites": abi.MAX_SITES if fault.sites else 1,
        "text": abi.NR_TEXT_PAGES if fault.sites else 1,
        "walked": abi.NR_WALKED if fault.sites or fault.meets_page_faults else 1,
        **dict.fromkeys(WATCHING, 1),
    }
    switches = _switches(fault, placement, kernel or Kernel())
    near = (
        _entry("near", Attach.FENTRY, Attach.KPROBE, each.probe, number)
        for number, each in enumerate(placement.near)
    )
    cleanups = [
        Entry(function, attach, name)
        for function, attach in (
            ("begin_cleanup", Attach.KPROBE),
            ("end_cleanup", Attach.KRETPROBE),
        )
        for name in placement.cleanups
    ]
    entries = tuple(_entries(fault, placement))
    return Plan(switches, entries, sizes, tuple(near), tuple(cleanups))


def _switches(fault: Fault, placement: Placement, kernel: Kernel) -> abi.Switches:
    switches = abi.Switches()
    switches.probability_of_2_32 = fault.limits.probability_of_2_32
    switches.times = fault.limits.times
    switches.return_trampoline = placement.layout.return_trampoline
    switches.thread_size = max(_THREAD_SIZE, mmap.PAGESIZE)
    switches.by_place = bool(fault.where.named)
    switches.nr_frames = len(placement.frames)
    for _, named in functions(placement):
        switches.named[_first(named)] = named
    switches.scope = _scope(fault)
    switches.cgroup_hierarchy = placement.layout.cgroup_hierarchy
    switches.cgroup_subsystem = kernel.cgroup_subsystem
    switches.dry_run = fault.dry_run
    switches.has_task_pt_regs = kernel.has_task_pt_regs
    for number, placed in enumerate(placement.hooks):
        _set_hook(switches.hooks[number], fault.kind, placed)
    switches.by_peer = bool(fault.where.peers)
    switches.by_site = fault.sites is not None
    switches.text = kernel.text
    switches.system_calls = kernel.system_calls
    switches.page_fault = abi.Function(*placement.layout.page_fault)
    for number, span in enumerate(placement.layout.undone):
        switches.undone[number] = abi.Function(*span)
    switches.hold_page_faults = fault.holds_page_faults
    switches.stacks = _STACKS[fault.stacks]
    switches.cache_size = kernel.cache_size
    peers = [peer for peer in map(peer_of, fault.where.peers) if not peer.name]
    switches.nr_peers = len(peers)
    for number, peer in enumerate(peers):
        _set_peer(switches.peers[number], peer)
    return switches


def _set_hook(switches: abi.HookSwitches, kind: Kind, placed: PlacedHook) -> None:
    switches.value = number_of(placed.value)
    switches.bits = placed.hook.bits
    switches.argument = placed.hook.argument
    switches.kind = _KINDS.get(kind, abi.HOOK_FUNCTION)
    switches.subject = getattr(abi, f"SUBJECT_{placed.hook.subject.name}")
    switches.subjects = sum(1 << number for number in placed.subjects)
    switches.unless = placed.hook.unless
    switches.socket = placed.socket
    switches.end = placed.subjects[0] if placed.subjects else 0
    switches.own_ends = placed.hook.subject in (Subject.OWN_NAME, Subject.LISTENER)


def _set_peer(switches: abi.Peer, peer: Peer) -> None:
    switches.port = peer.port
    if peer.network is None:
        return
    mapped = peer.network.version == 4
    switches.family = _AF_INET if mapped else _AF_INET6
    before = b"\0" * 10 + b"\xff" * 2 if mapped else b""
    switches.address[:] = _WORDS.unpack(before + peer.network.network_address.packed)
    switches.mask[:] = _WORDS.unpack(b"\xff" * len(before) + peer.network.netmask.packed)


def names_of(where: Where) -> list[bytes]:
    """Return the keys of the Unix sockets among the peers in the table `names`."""
    return [_name(peer.name) for peer in map(peer_of, where.peers) if peer.name]


def _name(name: bytes) -> bytes:
    key = abi.Name()
    key.length = 0 if name[0] else len(name)
    ctypes.memmove(ctypes.addressof(key) + abi.Name.name.offset, name, len(name))
    return bytes(key)


def functions(placement: Placement) -> list[tuple[Probe, int]]:
    """Return each function of the chain once, with the frames that name it as bits."""
    named: dict[Probe, int] = {}
    for frame, probe in enumerate(placement.frames):
        named[probe] = named.get(probe, 0) | 1 << frame
    return list(named.items())


def _first(named: int) -> int:
    """Return the first of the frames that name a function: the number of its entry points.

    Where it is the only one, a program knows its frame when it is compiled.
    """
    return (named & -named).bit_length() - 1


def _entries(fault: Fault, placement: Placement) -> list[Entry]:
    chain = [(_first(named), probe) for probe, named in functions(placement)]
    leaves = (_entry("leave", Attach.FEXIT, Attach.KRETPROBE, probe, n) for n, probe in chain)
    wide = "wide_" if fault.scope.system_wide else ""
    enters = (
        _entry(
            f"{wide}enter" if probe.mechanism is Mechanism.FMOD_RET else "enter",
            Attach.FENTRY,
            Attach.KPROBE,
            probe,
            number,
        )
        for number, probe in chain
    )
    hooks = (
        _entry(f"{wide}hook", Attach.FMOD_RET, Attach.KPROBE, placed.probe, number)
        for number, placed in enumerate(placement.hooks)
    )
    return [*_trackers(fault), *leaves, *enters, *hooks]


def _scope(fault: Fault) -> int:
    if fault.scope.system_wide:
        return abi.SYSTEM_WIDE
    return abi.BY_CGROUP if fault.scope.by_cgroup else _PROCESSES


def _entry(
    role: str, trampoline: Attach, kprobe: Attach, probe: Probe, slot: int | None = None
) -> Entry:
    attach = trampoline if probe.mechanism is Mechanism.FMOD_RET else kprobe
    number = "" if slot is None else f"_{slot}"
    return Entry(f"{role}_{attach.value}{number}", attach, probe.symbol)


def _trackers(fault: Fault) -> Iterator[Entry]:
    names = {"exit": "sched_process_exit"}
    if not fault.scope.system_wide:
        names["fork"] = "sched_process_fork"
    if fault.scope.commands:
        names["exec"] = "sched_process_exec"
    if fault.scope.by_cgroup:
        names |= {"mkdir": "cgroup_mkdir", "rmdir": "cgroup_rmdir", "move": "cgroup_attach_task"}
    for name, tracepoint in names.items():
        yield Entry(f"track_{name}", Attach.RAW_TRACEPOINT, tracepoint)


def number_of(value: str) -> int:
    """Return what a hook returns to fail as a number; `Placement.value` has it in C."""
    sign, name = (-1, value[1:]) if value.startswith("-") else (1, value)
    if name.isdigit():
        return sign * int(name)
    return sign * (1 if name == "true" else int(getattr(errno, name)))
