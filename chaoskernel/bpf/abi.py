"""What the program's C defines: limits, numbers and layouts.

Written by `python -m tools.abi` from chaoskernel/bpf/logic; not by hand.
"""

from __future__ import annotations

import ctypes

MAX_FRAMES = 16
MAX_HOOKS = 12
MAX_PLACES = 1024
MAX_PEERS = 64
MAX_LEVELS = 64
MAX_CGROUPS = 16384
MAX_COMMANDS = 256
WAYS = 8
WALKS_SHIFT = 49
MAX_WALKS = 32768
MAX_HIT = 4096
MAX_EVENTS = 256
MAX_STACK = 64
MAX_SITES = 4096
MAX_FAILED = 2
MAX_UNDONE = 3
MAX_NEAR = 12
NR_CALLS = 512
MAX_CALLS = 4096
NR_NAMES = 10
NAME_LENGTH = 48
NR_TEXT = 128
SITE_SHIFT = 24
MAX_CACHE_NAME = 32
MAX_PARAMETERS = 6
COMMAND_LENGTH = 16
NR_PLACES = 4096
NR_BUSY = 4096
NR_CLEANING = 1024
SORT_SHIFT = 54
NR_SORTS = 1024
NR_WHOLE = 64
SAMPLE_SHIFT = 60
NR_WALKED = 64
NR_TEXT_PAGES = 524288
NR_IDS = 4194304

COUNTERS = (
    "reached",
    "matched",
    "injected",
    "held_probability",
    "held_times",
    "held_deadline",
    "held_nofail",
    "held_bootstrap",
    "held_interrupt",
    "held_kthread",
    "held_exiting",
    "held_oom",
    "held_dry_run",
    "provoked",
    "missed_returns",
    "untracked",
    "unlisted",
    "held_site",
    "unlisted_sites",
    "held_page_fault",
    "page_faults",
    "held_cleanup",
)
"""Names of the counters, in the order in which the program keeps them."""

HOOK_COUNTERS = ("reached", "matched", "injected", "provoked")
"""Those that are kept for each hook, in that order; `injected` is what would have
failed in a dry run."""

HOOK_SLAB = 0
HOOK_PAGE = 1
HOOK_BIO = 2
HOOK_FUNCTION = 3

SUBJECT_NONE = 0
SUBJECT_FILE = 1
SUBJECT_PATH = 2
SUBJECT_DENTRY = 3
SUBJECT_PROGRAM = 4
SUBJECT_DESTINATION = 5
SUBJECT_MESSAGE = 6
SUBJECT_SOCKET = 7
SUBJECT_SERVER = 8
SUBJECT_OWN_NAME = 9
SUBJECT_LISTENER = 10

SYSTEM_WIDE = 1
BY_CGROUP = 2

STACKS_ALL = 0
STACKS_SAMPLE = 1
STACKS_NONE = 2

IN_SCOPE = 1
EXEMPT = 2
WITNESS = 3
LISTED = 3
BY_GROUP = 4

ABOUT_UNWATCHED = 0
ABOUT_NOTHING = 1
ABOUT_DESCRIPTOR = 2
ABOUT_MAPPED = 3
ABOUT_LOCKED = 4
ABOUT_PATH_1 = 5
ABOUT_PATH_2 = 6
ABOUT_PATH_3 = 7
ABOUT_PATH_4 = 8
ABOUT_ADDRESS = 9

CALLER_PAGE_FAULT = 1
CALLER_UNDONE = 2
CALLER_FAILED_SITE = 4
CALLERS_KNOWN = 8


class HookSwitches(ctypes.Structure):
    """`struct chaos_hook_switches`."""

    _fields_ = (
        ("value", ctypes.c_int64),
        ("bits", ctypes.c_uint64),
        ("argument", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("subject", ctypes.c_uint32),
        ("subjects", ctypes.c_uint32),
        ("unless", ctypes.c_uint32),
        ("socket", ctypes.c_uint32),
        ("end", ctypes.c_uint32),
        ("own_ends", ctypes.c_uint32),
    )


class Peer(ctypes.Structure):
    """`struct chaos_peer`."""

    _fields_ = (
        ("family", ctypes.c_uint32),
        ("port", ctypes.c_uint32),
        ("address", ctypes.c_uint64 * 2),
        ("mask", ctypes.c_uint64 * 2),
    )


class Function(ctypes.Structure):
    """`struct chaos_function`."""

    _fields_ = (
        ("begin", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )


class Switches(ctypes.Structure):
    """`struct chaos_switches`."""

    _fields_ = (
        ("probability_of_2_32", ctypes.c_uint64),
        ("times", ctypes.c_uint64),
        ("return_trampoline", ctypes.c_uint64),
        ("thread_size", ctypes.c_uint64),
        ("by_place", ctypes.c_uint32),
        ("nr_frames", ctypes.c_uint32),
        ("named", ctypes.c_uint32 * 16),
        ("scope", ctypes.c_uint32),
        ("cgroup_hierarchy", ctypes.c_uint32),
        ("cgroup_subsystem", ctypes.c_uint32),
        ("dry_run", ctypes.c_uint32),
        ("has_task_pt_regs", ctypes.c_uint32),
        ("by_peer", ctypes.c_uint32),
        ("nr_peers", ctypes.c_uint32),
        ("by_site", ctypes.c_uint32),
        ("text", ctypes.c_uint64),
        ("system_calls", ctypes.c_uint64),
        ("page_fault", Function),
        ("undone", Function * 3),
        ("hold_page_faults", ctypes.c_uint32),
        ("stacks", ctypes.c_uint32),
        ("cache_size", ctypes.c_uint32),
        ("hooks", HookSwitches * 12),
        ("peers", Peer * 64),
    )


class Failed(ctypes.Structure):
    """`struct chaos_failed`."""

    _fields_ = (
        ("site", ctypes.c_uint64),
        ("entry", ctypes.c_uint64),
        ("first", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
        ("requests", ctypes.c_uint64),
        ("injected", ctypes.c_uint64),
    )


class State(ctypes.Structure):
    """`struct chaos_state`."""

    _fields_ = (
        ("deadline", ctypes.c_uint64),
        ("tickets", ctypes.c_uint64),
        ("last_event", ctypes.c_uint64),
        ("learned", ctypes.c_uint64),
        ("whole", ctypes.c_uint64),
        ("phase", ctypes.c_uint64),
        ("phases", ctypes.c_uint64),
        ("described", ctypes.c_uint64),
        ("cleanups", ctypes.c_uint64),
        ("sparing", ctypes.c_uint64),
        ("failed", Failed * 2),
        ("busy", ctypes.c_uint32 * 4096),
        ("cleaning", ctypes.c_uint32 * 1024),
        ("sorts", ctypes.c_uint32 * 1024),
        ("members", ctypes.c_uint8 * 4194304),
        ("places", ctypes.c_uint8 * 4096),
    )


class HookCounts(ctypes.Structure):
    """`struct chaos_hook_counts`."""

    _fields_ = (
        ("reached", ctypes.c_uint64),
        ("matched", ctypes.c_uint64),
        ("injected", ctypes.c_uint64),
        ("provoked", ctypes.c_uint64),
    )


class Counts(ctypes.Structure):
    """`struct chaos_counts`."""

    _fields_ = (
        ("counters", ctypes.c_uint64 * 22),
        ("hooks", HookCounts * 12),
        ("entered", ctypes.c_uint64 * 16),
        ("matched", ctypes.c_uint64 * 16),
        ("near", ctypes.c_uint64 * 12),
    )


class Event(ctypes.Structure):
    """`struct chaos_event`."""

    _fields_ = (
        ("sequence", ctypes.c_uint64),
        ("at", ctypes.c_uint64),
        ("cgroup", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("tid", ctypes.c_uint32),
        ("command", ctypes.c_char * 16),
        ("arguments", ctypes.c_uint64 * 4),
        ("cache", ctypes.c_char * 32),
        ("stack_size", ctypes.c_int64),
        ("stack", ctypes.c_uint64 * 64),
        ("hook", ctypes.c_uint64),
        ("begun", ctypes.c_uint64),
    )


class Process(ctypes.Structure):
    """`struct chaos_process`."""

    _fields_ = (
        ("started", ctypes.c_uint64),
        ("pid", ctypes.c_uint64),
    )


class Hits(ctypes.Structure):
    """`struct chaos_hits`."""

    _fields_ = (
        ("count", ctypes.c_uint64),
        ("command", ctypes.c_char * 16),
    )


class Walk(ctypes.Structure):
    """`struct chaos_walk`."""

    _fields_ = (
        ("task", ctypes.c_uint64),
        ("depth", ctypes.c_uint64),
        ("chosen", ctypes.c_uint64),
        ("entry", ctypes.c_uint64),
        ("at", ctypes.c_uint64 * 16),
        ("back", ctypes.c_uint64 * 16),
    )


class Command(ctypes.Structure):
    """`struct chaos_command`."""

    _fields_ = (("name", ctypes.c_char * 16),)


class Site(ctypes.Structure):
    """`struct chaos_site`."""

    _fields_ = (
        ("key", ctypes.c_uint64),
        ("count", ctypes.c_uint64),
        ("phases", ctypes.c_uint64),
        ("entry", ctypes.c_uint64),
        ("others", ctypes.c_uint64),
        ("call", ctypes.c_uint64),
        ("callers", ctypes.c_uint64),
        ("complete", ctypes.c_uint64),
        ("first", Event),
    )


class Name(ctypes.Structure):
    """`struct chaos_name`."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("name", ctypes.c_char * 112),
    )


class Walked(ctypes.Structure):
    """`struct chaos_walked`."""

    _fields_ = (
        ("taken", ctypes.c_uint64),
        ("stack", ctypes.c_uint64 * 64),
    )
