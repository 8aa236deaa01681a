"""Fault -> program: a pure function that knows no kernel.

What a fault's program does stands in the files beside this one.  Here are the switches
that come before that text and the entry points that come after it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from chaoskernel.fault.hook_types import Hook
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.origin import marked
from chaoskernel.fault.spec import Fault, Mechanism

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
"""Names of the counters, in the order in which the program keeps them.

`reached`: hook calls by tasks in scope; `matched`: those under the call chain;
`injected`: those that failed; `held_…`: those that were held back, and why
(`held_dry_run`: what would have failed); `provoked`: hook calls that the engine
itself brought about, to see that the hook is alive; `missed_returns`: activations that
had ended without a kretprobe's seeing it, and were not taken for active; `untracked`:
processes, threads and cgroups that escaped the scope or the call chain because a table was
full; `unlisted`: requests that failed, or would have, of processes for which the list of those
hit, of MAX_HIT, has no room; `held_site`: requests that are not at a site that is to fail;
`unlisted_sites`: those at sites for which the table of sites has no room, or whose stack the
kernel could not tell; `held_page_fault`: requests for a page that the program touched, whose
failure the kernel would answer by asking again; `page_faults`: such requests that failed, or
would have; `held_cleanup`: requests of a clean-up whose failure would leave something broken
for everybody.
"""

HOOK_COUNTERS = ("reached", "matched", "injected", "provoked")
"""Those that are kept for each hook, in that order; `injected` is what would have failed
in a dry run."""

_PARTS = ("common", "chain", "scope", "event", "decide")
"""The files of C, each of which builds on those before it."""


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


MAX_HIT = 4096
"""How many processes the list of those hit has room for; in a fault's program too."""


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
    :param suspended: nanoseconds for which the host had been suspended, of a kernel whose
        programs have no CLOCK_BOOTTIME; None of any other.
    :param page_fault: the function that all page faults come through.
    :param undone: functions that clean up, and must not fail.
    """

    cache_name: int = 0
    cache_size: int = 0
    bootstrap_cache: int = 0
    return_trampoline: int = 0
    cgroup_controller: str = ""
    cgroup_hierarchy: int = 0
    suspended: int | None = None
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


class Placement(NamedTuple):
    """Where the parts of a fault attach on one kernel; frames outermost first."""

    hooks: tuple[PlacedHook, ...]
    frames: tuple[Probe, ...]
    layout: Layout = Layout()
    ids: Probe | None = None
    left_out: tuple[str, ...] = ()

    @property
    def mechanism(self) -> Mechanism:
        """The way to override the hooks' return values: the same for all of them."""
        return self.hooks[0].probe.mechanism


class Entry(NamedTuple):
    """An entry point: its C function and what that is attached to."""

    function: str
    attach: Attach
    symbol: str


class Program(NamedTuple):
    """C text with its entry points, in the order in which they are to be attached.

    Returns are watched before entries are, so that no activation is taken for
    an active one for ever; the hook comes last and goes first.

    :param users: the C that is the user's, by its key in the fault.
    """

    text: str
    entries: tuple[Entry, ...]
    users: Mapping[str, str]


class _HookSource(NamedTuple):
    declarations: str
    arguments: tuple[str, ...]


_HOOKS = {
    Kind.SLAB: _HookSource(
        declarations="#include <linux/gfp.h>\nstruct kmem_cache;",
        arguments=("s", "gfpflags"),
    ),
    Kind.PAGE: _HookSource(
        declarations="#include <linux/gfp.h>",
        arguments=("gfp_mask", "order"),
    ),
    Kind.BIO: _HookSource(
        declarations="struct bio;",
        arguments=("bio",),
    ),
    Kind.FUNCTION: _HookSource(declarations="", arguments=()),
}


def render(fault: Fault, placement: Placement) -> Program:
    """Return the program of a fault for the places that were found for it."""
    functions = list(_functions(fault, placement))
    sources: list[tuple[Entry, str]] = [
        *(_leave(index, function.probe) for index, function in enumerate(functions)),
        *(_enter(index, function) for index, function in enumerate(functions)),
        _hook(fault, placement),
    ]
    here = Path(__file__).parent
    logic = ((here / f"{part}.bcc.c").read_text(encoding="utf-8") for part in _PARTS)
    text = "\n".join(
        [_switches(fault, placement.layout), *logic, *(source for _, source in sources)]
    )
    entries = (*_tracepoints(fault), *(entry for entry, _ in sources))
    return Program(text, entries, dict(_users(fault)))


def _users(fault: Fault) -> Iterator[tuple[str, str]]:
    yield "headers", ", ".join(fault.headers)
    yield "parameters", fault.parameters
    yield "predicate", fault.predicate
    for index, frame in enumerate(fault.callchain):
        yield f"callchain[{index}].parameters", frame.parameters
        yield f"callchain[{index}].predicate", frame.predicate


def _switches(fault: Fault, layout: Layout) -> str:
    clock = "" if layout.suspended is None else f"#define SUSPENDED {layout.suspended}ULL"
    numbers = ",\n".join(f"\tCOUNT_{name.upper()}" for name in COUNTERS)
    undone = " || ".join(f"address - {begin:#x} < {size:#x}" for begin, size in layout.undone)
    includes = "\n".join(f"#include <{header}> {marked('headers')}" for header in fault.headers)
    return f"""\
{includes}
{_HOOKS[fault.kind].declarations}

#define HOOK_{fault.kind.name} 1
#define NR_FRAMES {len(fault.callchain)}
#define SYSTEM_WIDE {int(fault.scope.system_wide)}
#define SCOPED_BY_CGROUP {int(fault.scope.by_cgroup)}
#define NR_PODS {len(fault.scope.pods)}
#define SCOPED_BY_COMMAND {int(bool(fault.scope.commands))}
#define PROBABILITY_OF_2_32 {fault.limits.probability_of_2_32}ULL
#define TIMES {fault.limits.times}ULL
#define DRY_RUN {int(fault.dry_run)}
#define CACHE_NAME_OFFSET {layout.cache_name}
#define CACHE_SIZE_OFFSET {layout.cache_size}
#define BOOTSTRAP_CACHE {layout.bootstrap_cache:#x}
#define CGROUP_HIERARCHY {layout.cgroup_hierarchy}
#define CGROUP_CONTROLLER {layout.cgroup_controller or "v2"}_cgrp_id
#define RETURN_TRAMPOLINE {layout.return_trampoline:#x}
#define PAGE_FAULT_BEGIN {layout.page_fault.begin:#x}
#define PAGE_FAULT_SIZE {layout.page_fault.size:#x}
#define HAS_UNDONE {int(bool(layout.undone))}
#define IS_UNDONE(address) ({undone or 0})
#define HOLD_PAGE_FAULTS {int(fault.holds_page_faults)}
#define MAX_HIT {MAX_HIT}
{clock}

enum counter {{
{numbers},
	NR_COUNTERS,
}};
"""


def _tracepoints(fault: Fault) -> Iterator[Entry]:
    names = ["sched_process_exit"]
    if not fault.scope.system_wide:
        names.append("sched_process_fork")
    if fault.scope.commands:
        names.append("sched_process_exec")
    if fault.scope.by_cgroup:
        names += ["cgroup_mkdir", "cgroup_rmdir"]
    for name in names:
        yield Entry(f"raw_tracepoint__{name}", Attach.RAW_TRACEPOINT, name)


class _Function(NamedTuple):
    """A function of the chain, and what the frames that name it ask of its arguments.

    :param predicates: by the frame's index; empty is true.
    """

    probe: Probe
    parameters: str
    predicates: dict[int, str]


def _functions(fault: Fault, placement: Placement) -> list[_Function]:
    """Return each function of the chain once."""
    functions: dict[Probe, _Function] = {}
    for index, (frame, probe) in enumerate(zip(fault.callchain, placement.frames, strict=True)):
        function = functions.setdefault(probe, _Function(probe, frame.parameters, {}))
        function.predicates[index] = frame.predicate
    return list(functions.values())


def _enter(index: int, function: _Function) -> tuple[Entry, str]:
    symbol, parameters = function.probe.symbol, _after_comma(function.parameters)
    if function.probe.mechanism is Mechanism.FMOD_RET:
        entry = Entry(f"kfunc__{symbol}", Attach.FENTRY, symbol)
        head, position = f"KFUNC_PROBE({symbol}{parameters})", "position_of(ctx)"
        back = "0"
    else:
        entry = Entry(f"chaos_enter_{index}", Attach.KPROBE, symbol)
        head = f"int {entry.function}(struct pt_regs *ctx{parameters})"
        position, back = "PT_REGS_SP(ctx)", "return_of(PT_REGS_SP(ctx))"
    origin_of_parameters = marked(f"callchain[{min(function.predicates)}].parameters")
    named = sum(1 << frame for frame in function.predicates)
    free = sum(1 << frame for frame, predicate in function.predicates.items() if not predicate)
    tests = "".join(
        f"\tif ({predicate}) {marked(f'callchain[{frame}].predicate')}\n"
        f"\t\tmatched |= {1 << frame:#x};\n"
        for frame, predicate in function.predicates.items()
        if predicate
    )
    return (
        entry,
        f"""
{head} {origin_of_parameters}
{{
	u32 matched = {free:#x};

	if (!in_scope(false))
		return 0;
{tests}	enter({position}, {back}, {named:#x}, matched);
	return 0;
}}""",
    )


def _leave(index: int, probe: Probe) -> tuple[Entry, str]:
    if probe.mechanism is Mechanism.FMOD_RET:
        entry = Entry(f"kretfunc__{probe.symbol}", Attach.FEXIT, probe.symbol)
        head, position = f"KRETFUNC_PROBE({probe.symbol})", "position_of(ctx)"
    else:
        entry = Entry(f"chaos_leave_{index}", Attach.KRETPROBE, probe.symbol)
        head, position = f"int {entry.function}(struct pt_regs *ctx)", "RETURN_POSITION(ctx)"
    return (
        entry,
        f"""
{head}
{{
	leave({position});
	return 0;
}}""",
    )


def _hook(fault: Fault, placement: Placement) -> tuple[Entry, str]:
    source, (placed,) = _HOOKS[fault.kind], placement.hooks
    probe, parameters = placed.probe, _after_comma(placed.hook.parameters)
    if probe.mechanism is Mechanism.FMOD_RET:
        entry = Entry(f"kmod_ret__{probe.symbol}", Attach.FMOD_RET, probe.symbol)
        head, position = f"MODIFY_RETURN({probe.symbol}{parameters})", "position_of(ctx)"
        override = f"return {placed.value}"
    else:
        entry = Entry("chaos_hook", Attach.KPROBE, probe.symbol)
        head = f"int {entry.function}(struct pt_regs *ctx{parameters})"
        position, override = "PT_REGS_SP(ctx)", f"bpf_override_return(ctx, {placed.value})"
    return (
        entry,
        f"""
{head} {marked("parameters")}
{{
	bool predicate, chosen = false;
	struct event *event;

	if (!in_scope(true))
		return 0;
	predicate = {fault.predicate or "true"}; {marked("predicate")}
	if (!matches({position}, predicate, &chosen))
		return 0;
	if (!should_fail(ctx, {position}, chosen, guard_of_request({", ".join(source.arguments)})))
		return 0;
	event = begin_event(ctx);
	if (event) {{
		describe({", ".join(("event", *source.arguments))});
		end_event(event);
	}}
	if (!DRY_RUN)
		{override};
	return 0;
}}
""",
    )


def _after_comma(parameters: str) -> str:
    return f", {parameters}" if parameters else ""
