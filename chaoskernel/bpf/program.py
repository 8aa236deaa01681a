"""Fault -> program: a pure function that knows no kernel.

What a fault's program does stands in `inject.bcc.c`.  Here are the switches that
come before that text and the entry points that come after it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from importlib import resources

from chaoskernel.spec import Fault, Hook, Mechanism

COUNTERS = (
    "reached",
    "matched",
    "injected",
    "held_probability",
    "held_times",
    "held_deadline",
    "held_nofail",
    "held_interrupt",
    "held_kthread",
    "held_exiting",
    "held_oom",
    "untracked",
)
"""Names of the counters, in the order in which the program keeps them.

`reached`: hook calls by tasks in scope; `matched`: those under the call chain;
`injected`: those that failed; `held_…`: those that were held back, and why;
`untracked`: processes and threads that a full table could not take in.
"""


class Attach(enum.Enum):
    """What an entry point is attached to."""

    RAW_TRACEPOINT = "raw_tracepoint"
    FENTRY = "fentry"
    FEXIT = "fexit"
    FMOD_RET = "fmod_ret"
    KPROBE = "kprobe"
    KRETPROBE = "kretprobe"


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """A function of a kernel, and the way to reach it."""

    symbol: str
    mechanism: Mechanism


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where the parts of a fault attach on one kernel; frames outermost first."""

    hook: Probe
    frames: tuple[Probe, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An entry point: its C function and what that is attached to."""

    function: str
    attach: Attach
    symbol: str


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """C text with its entry points, in the order in which they are to be attached.

    Returns are watched before entries are, so that no activation is taken for
    an active one for ever; the hook comes last and goes first.
    """

    text: str
    entries: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _HookSource:
    declarations: str
    arguments: str
    nofail: str
    value: str


_HOOKS = {
    Hook.SLAB: _HookSource(
        declarations="#include <linux/gfp.h>\nstruct kmem_cache;",
        arguments="struct kmem_cache *s, gfp_t gfpflags",
        nofail="gfpflags & __GFP_NOFAIL",
        value="-ENOMEM",
    ),
    Hook.PAGE: _HookSource(
        declarations="#include <linux/gfp.h>",
        arguments="gfp_t gfp_mask, unsigned int order",
        nofail="gfp_mask & __GFP_NOFAIL",
        value="true",
    ),
    Hook.BIO: _HookSource(
        declarations="struct bio;",
        arguments="struct bio *bio",
        nofail="false",
        value="-EIO",
    ),
}


def render(fault: Fault, placement: Placement) -> Program:
    """Return the program of a fault for the places that were found for it."""
    functions = list(_functions(placement))
    sources: list[tuple[Entry, str]] = [
        *(_leave(index, probe) for index, (probe, _) in enumerate(functions)),
        *(_enter(index, probe, frames) for index, (probe, frames) in enumerate(functions)),
        _hook(fault.hook, placement.hook),
    ]
    logic = resources.files(__package__).joinpath("inject.bcc.c").read_text(encoding="utf-8")
    text = "\n".join([_switches(fault), logic, *(source for _, source in sources)])
    return Program(text, (*_tracepoints(fault), *(entry for entry, _ in sources)))


def _switches(fault: Fault) -> str:
    numbers = ",\n".join(f"\tCOUNT_{name.upper()}" for name in COUNTERS)
    threshold = round(fault.limits.probability / 100 * 2**32)
    return f"""\
{_HOOKS[fault.hook].declarations}

#define NR_FRAMES {len(fault.callchain)}
#define SYSTEM_WIDE {int(fault.scope.system_wide)}
#define PROBABILITY_OF_2_32 {threshold}ULL
#define TIMES {fault.limits.times}ULL

enum counter {{
{numbers},
	NR_COUNTERS,
}};
"""


def _tracepoints(fault: Fault) -> Iterator[Entry]:
    names = ["sched_process_exit"]
    if not fault.scope.system_wide:
        names.append("sched_process_fork")
    for name in names:
        yield Entry(f"raw_tracepoint__{name}", Attach.RAW_TRACEPOINT, name)


def _functions(placement: Placement) -> Iterator[tuple[Probe, int]]:
    """Yield each function of the chain once, with the bit mask of the frames that name it."""
    masks: dict[Probe, int] = {}
    for index, probe in enumerate(placement.frames):
        masks[probe] = masks.get(probe, 0) | 1 << index
    yield from masks.items()


def _enter(index: int, probe: Probe, frames: int) -> tuple[Entry, str]:
    if probe.mechanism is Mechanism.FMOD_RET:
        entry = Entry(f"kfunc__{probe.symbol}", Attach.FENTRY, probe.symbol)
        head, position = f"KFUNC_PROBE({probe.symbol})", "position_of(ctx)"
    else:
        entry = Entry(f"chaos_enter_{index}", Attach.KPROBE, probe.symbol)
        head, position = f"int {entry.function}(struct pt_regs *ctx)", "PT_REGS_SP(ctx)"
    return (
        entry,
        f"""
{head}
{{
	if (in_scope())
		enter({position}, {frames:#x}, {frames:#x});
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


def _hook(hook: Hook, probe: Probe) -> tuple[Entry, str]:
    source = _HOOKS[hook]
    if probe.mechanism is Mechanism.FMOD_RET:
        entry = Entry(f"kmod_ret__{probe.symbol}", Attach.FMOD_RET, probe.symbol)
        return (
            entry,
            f"""
KMOD_RET({probe.symbol}, {source.arguments}, int ret)
{{
	if (in_scope() && should_fail(position_of(ctx), {source.nofail}))
		return {source.value};
	return 0;
}}
""",
        )
    entry = Entry("chaos_hook", Attach.KPROBE, probe.symbol)
    return (
        entry,
        f"""
int {entry.function}(struct pt_regs *ctx, {source.arguments})
{{
	if (in_scope() && should_fail(PT_REGS_SP(ctx), {source.nofail}))
		bpf_override_return(ctx, {source.value});
	return 0;
}}
""",
    )
