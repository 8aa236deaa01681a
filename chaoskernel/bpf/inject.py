"""Fault -> the switches of inject.bpf.c and its entry points: pure, and knows no kernel.

The structures are those of bpf/logic, member by member.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaoskernel.bpf.program import (
    COUNTERS,
    HOOK_COUNTERS,
    Attach,
    Entry,
    PlacedHook,
    Placement,
    Probe,
)
from chaoskernel.fault.chain import MAX_FRAMES
from chaoskernel.fault.hook_types import Subject
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import MAX_FAILED
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.fault.where import MAX_PEERS, UNIX_PATH_MAX, Peer, Where, peer_of

OBJECT = f"inject.{os.uname().machine}.bpf.o"
"""What setup makes of inject.bpf.c; a kprobe's registers are those of one architecture."""

WALKS = 1 << 15
"""MAX_WALKS: places in which what a call chain has of a thread is kept."""

IDS = 1 << 22
"""NR_IDS: thread groups, and threads, that there can be."""

_THREAD_SIZE = 1 << 14
"""Bytes of a kernel stack on 64-bit machines, if no page has more (arch/*/include/asm/)."""

_PROCESSES, _SYSTEM_WIDE, _BY_CGROUP = 0, 1, 2
_KINDS = (Kind.SLAB, Kind.PAGE, Kind.BIO)
"""`enum chaos_hook`; all others are functions."""

_SUBJECTS = tuple(Subject)
"""`enum chaos_subject`."""

MAX_HOOKS = 12
"""Of one fault: MAX_HOOKS of the program."""

MAX_UNDONE = 3
"""Of one fault: MAX_UNDONE of the program."""

LEARNER, LEARNED_AT = "learn_place", "security_inode_getattr"
"""What tells the address of a file's dentry, and where it is attached."""

MARKER = "mark_tasks"
"""What marks the tasks that are in listed control groups."""

MAX_PLACES = 1024
"""What the table of places holds: MAX_PLACES of the program."""

PLACES = 1 << 12
"""NR_PLACES: bytes of the places' bitmap."""

_u8, _u32, _u64, _s64 = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int64


class HookSwitches(ctypes.Structure):
    """`struct chaos_hook_switches`."""

    _fields_ = (
        ("value", _s64),
        ("bits", _u64),
        ("argument", _u32),
        ("kind", _u32),
        ("subject", _u32),
        ("subjects", _u32),
        ("unless", _u32),
        ("socket", _u32),
        ("end", _u32),
        ("own_ends", _u32),
    )


class PeerSwitches(ctypes.Structure):
    """`struct chaos_peer`: an address of 16 bytes, as IPv6 has it, and which of its bits count."""

    _fields_ = (
        ("family", _u32),
        ("port", _u32),
        ("address", _u8 * 16),
        ("mask", _u8 * 16),
    )


class FunctionSwitches(ctypes.Structure):
    """`struct chaos_function`."""

    _fields_ = (("begin", _u64), ("size", _u64))


class Switches(ctypes.Structure):
    """`struct chaos_switches`: constants to the verifier, which drops what they make dead."""

    _fields_ = (
        ("probability_of_2_32", _u64),
        ("times", _u64),
        ("return_trampoline", _u64),
        ("thread_size", _u64),
        ("by_place", _u32),
        ("nr_frames", _u32),
        ("named", _u32 * MAX_FRAMES),
        ("scope", _u32),
        ("cgroup_hierarchy", _u32),
        ("cgroup_subsystem", _u32),
        ("dry_run", _u32),
        ("has_task_pt_regs", _u32),
        ("by_peer", _u32),
        ("nr_peers", _u32),
        ("by_site", _u32),
        ("text", _u64),
        ("system_calls", _u64),
        ("page_fault", FunctionSwitches),
        ("undone", FunctionSwitches * MAX_UNDONE),
        ("hold_page_faults", _u32),
        ("hooks", HookSwitches * MAX_HOOKS),
        ("peers", PeerSwitches * MAX_PEERS),
    )


class Failed(ctypes.Structure):
    """`struct chaos_failed`."""

    _fields_ = (
        ("site", _u64),
        ("first", _u64),
        ("last", _u64),
        ("requests", _u64),
        ("injected", _u64),
    )


class State(ctypes.Structure):
    """`struct chaos_state`: memory that the program and its owner share."""

    _fields_ = (
        ("deadline", _u64),
        ("tickets", _u64),
        ("last_event", _u64),
        ("learned", _u64),
        ("whole", _u64),
        ("phase", _u64),
        ("phases", _u64),
        ("failed", Failed * MAX_FAILED),
        ("members", _u8 * IDS),
        ("depths", _u8 * IDS),
        ("places", _u8 * PLACES),
    )


class HookCounts(ctypes.Structure):
    """`struct chaos_hook_counts`."""

    _fields_ = tuple((name, _u64) for name in HOOK_COUNTERS)


class Counts(ctypes.Structure):
    """`struct chaos_counts` of one CPU."""

    _fields_ = (
        ("counters", _u64 * len(COUNTERS)),
        ("hooks", HookCounts * MAX_HOOKS),
        ("entered", _u64 * MAX_FRAMES),
        ("matched", _u64 * MAX_FRAMES),
    )


class Process(ctypes.Structure):
    """`struct chaos_process`."""

    _fields_ = (("started", _u64), ("pid", _u64))


class Name(ctypes.Structure):
    """`struct chaos_name`."""

    _fields_ = (("length", _u32), ("name", _u8 * (UNIX_PATH_MAX + 4)))


class Hits(ctypes.Structure):
    """`struct chaos_hits`."""

    _fields_ = (("count", _u64), ("command", ctypes.c_char * 16))


def set_switches(
    switches: Switches,
    fault: Fault,
    placement: Placement,
    *,
    cgroup_subsystem: int,
    has_task_pt_regs: bool,
    text: int = 0,
    system_calls: int = 0,
) -> None:
    """Say what a fault asks for.

    :param cgroup_subsystem: the number of the controller whose v1 hierarchy has the scope's
        cgroups (enum cgroup_subsys_id); v2 has none.
    :param has_task_pt_regs: programs of this kernel can ask where a thread's registers are.
    :param text: where the pages of the kernel's text are counted from, for sites.
    :param system_calls: the address of the table of system calls; 0 where it is not known.
    """
    switches.probability_of_2_32 = fault.limits.probability_of_2_32
    switches.times = fault.limits.times
    switches.return_trampoline = placement.layout.return_trampoline
    switches.thread_size = max(_THREAD_SIZE, mmap.PAGESIZE)
    switches.by_place = bool(fault.where.named)
    switches.nr_frames = len(placement.frames)
    for slot, (_, named) in enumerate(functions(placement)):
        switches.named[slot] = named
    switches.scope = _scope(fault)
    switches.cgroup_hierarchy = placement.layout.cgroup_hierarchy
    switches.cgroup_subsystem = cgroup_subsystem
    switches.dry_run = fault.dry_run
    switches.has_task_pt_regs = has_task_pt_regs
    for number, placed in enumerate(placement.hooks):
        _set_hook(switches.hooks[number], fault.kind, placed)
    switches.by_peer = bool(fault.where.peers)
    peers = [peer for peer in map(peer_of, fault.where.peers) if not peer.name]
    switches.nr_peers = len(peers)
    switches.by_site = fault.sites is not None
    switches.text = text
    switches.system_calls = system_calls
    switches.page_fault = FunctionSwitches(*placement.layout.page_fault)
    for number, span in enumerate(placement.layout.undone):
        switches.undone[number] = FunctionSwitches(*span)
    switches.hold_page_faults = fault.holds_page_faults
    for number, peer in enumerate(peers):
        _set_peer(switches.peers[number], peer)


def _set_hook(switches: HookSwitches, kind: Kind, placed: PlacedHook) -> None:
    switches.value = number_of(placed.value)
    switches.bits = placed.hook.bits
    switches.argument = placed.hook.argument
    switches.kind = _KINDS.index(kind) if kind in _KINDS else len(_KINDS)
    switches.subject = _SUBJECTS.index(placed.hook.subject)
    switches.subjects = sum(1 << number for number in placed.subjects)
    switches.unless = placed.hook.unless
    switches.socket = placed.socket
    switches.end = placed.subjects[0] if placed.subjects else 0
    switches.own_ends = placed.hook.subject in (Subject.OWN_NAME, Subject.LISTENER)


def _set_peer(switches: PeerSwitches, peer: Peer) -> None:
    switches.port = peer.port
    if peer.network is None:
        return
    mapped = peer.network.version == 4
    switches.family = socket.AF_INET if mapped else socket.AF_INET6
    before = b"\0" * 10 + b"\xff" * 2 if mapped else b""
    switches.address[:] = before + peer.network.network_address.packed
    switches.mask[:] = b"\xff" * len(before) + peer.network.netmask.packed


def names_of(where: Where) -> list[bytes]:
    """Return the keys of the Unix sockets among the peers in the table `names`."""
    return [_name(peer.name) for peer in map(peer_of, where.peers) if peer.name]


def _name(name: bytes) -> bytes:
    key = Name()
    key.length = 0 if name[0] else len(name)
    key.name[: len(name)] = name
    return bytes(key)


def functions(placement: Placement) -> list[tuple[Probe, int]]:
    """Return each function of the chain once, with the frames that name it as bits."""
    named: dict[Probe, int] = {}
    for frame, probe in enumerate(placement.frames):
        named[probe] = named.get(probe, 0) | 1 << frame
    return list(named.items())


def entries(fault: Fault, placement: Placement) -> list[Entry]:
    """Return the entry points that a fault needs, in the order in which they are to be attached.

    Returns are watched before entries are, so that no activation is taken for an active
    one for ever; the hook comes last and goes first.
    """
    chain = list(enumerate(probe for probe, _ in functions(placement)))
    leaves = (_entry("leave", Attach.FEXIT, Attach.KRETPROBE, probe, n) for n, probe in chain)
    enters = (_entry("enter", Attach.FENTRY, Attach.KPROBE, probe, n) for n, probe in chain)
    role = "wide_hook" if fault.scope.system_wide else "hook"
    swap = filter(None, [placement.ids])
    ids = (_entry("track_ids", Attach.FENTRY, Attach.KPROBE, probe) for probe in swap)
    hooks = (
        _entry(role, Attach.FMOD_RET, Attach.KPROBE, placed.probe, number)
        for number, placed in enumerate(placement.hooks)
    )
    return [*_trackers(fault), *ids, *leaves, *enters, *hooks]


def _scope(fault: Fault) -> int:
    if fault.scope.system_wide:
        return _SYSTEM_WIDE
    return _BY_CGROUP if fault.scope.by_cgroup else _PROCESSES


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


def source() -> str:
    """Return the text of inject.bpf.c, with that of bpf/logic in its place."""
    text = file("inject.bpf.c").read_text(encoding="utf-8")
    return re.sub(
        r'(?m)^#include "(logic/\w+\.h)"$',
        lambda found: file(found[1]).read_text(encoding="utf-8"),
        text,
    )


def file(name: str) -> Path:
    """Return the place of a file of this package.

    importlib.resources, whose import takes as long as that of half the agent, would say the same:
    an agent is always run from a directory.
    """
    return Path(__file__).parent / name


def shown(switches: Switches, wanted: Sequence[Entry]) -> str:
    """Return what is switched and what is attached where, as a comment in C."""
    attached = (f" * {entry.function} on {entry.symbol}\n" for entry in wanted)
    set_ones = [
        f" * {name} = {list(value) if isinstance(value, ctypes.Array) else value}\n"
        for name, *_ in Switches._fields_
        if (value := getattr(switches, name))
    ]
    return (
        f"/*\n * The switches that are not 0:\n{''.join(set_ones)}"
        f" *\n * What is attached:\n{''.join(attached)} */\n"
    )
