"""Fault -> the text that BCC compiles: a pure function that knows no kernel.

What a program does is in bpf/logic, in the words of bpf/bcc.h.  Here are the constants that come
before that text, and the thin entry points after it, with the C that is the user's in them:
BCC makes reads of what their parameters lead to.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from chaoskernel.bpf.placement import Attach, Entry, Layout, Placement, Probe
from chaoskernel.bpf.plan import Plan, functions, plan
from chaoskernel.bpf.text import file
from chaoskernel.fault.origin import marked
from chaoskernel.fault.spec import Fault

_LOGIC = ("predicate", "scope", "chain", "event", "guard", "callers", "decide", "entry")
"""The parts of bpf/logic that this engine has: what is not here is core's alone."""

_PREFIXES = {Attach.FENTRY: "kfunc__", Attach.FEXIT: "kretfunc__", Attach.FMOD_RET: "kmod_ret__"}
"""By which BCC knows what a trampoline program is attached to."""

_TASK = "(struct task_struct *)"
_TRACKERS = {
    "track_exit": "exited()",
    "track_fork": f"forked({_TASK}ctx->args[1])",
    "track_exec": "executed()",
    "track_mkdir": "cgroup_made((struct cgroup *)ctx->args[0])",
    "track_rmdir": "cgroup_removed((struct cgroup *)ctx->args[0])",
}


class Program(NamedTuple):
    """C text with its entry points, in the order in which they are to be attached.

    :param users: the C that is the user's, by its key in the fault.
    """

    text: str
    entries: tuple[Entry, ...]
    users: Mapping[str, str]


def render(fault: Fault, placement: Placement) -> Program:
    """Return the program of a fault for the places that were found for it."""
    wanted = plan(fault, placement)
    wanted = wanted._replace(entries=tuple(e for e in wanted.entries if e.function != "track_move"))
    named = dict(functions(placement))
    entries = [_of_bcc(entry) for entry in wanted.entries]
    bodies = [
        _BODIES[_role(entry)](made, fault, placement, named)
        for entry, made in zip(wanted.entries, entries, strict=True)
    ]
    text = "\n".join(
        [
            *_before(fault, placement.layout, wanted),
            *(f'#include "logic/{part}.h"' for part in _LOGIC),
            "",
            file("maps.bcc.c").read_text(encoding="utf-8"),
            *bodies,
        ]
    )
    return Program(text, tuple(entries), dict(_users(fault)))


def _users(fault: Fault) -> Iterator[tuple[str, str]]:
    yield "headers", ", ".join(fault.headers)
    yield "parameters", fault.parameters
    yield "predicate", fault.predicate
    for index, frame in enumerate(fault.callchain):
        yield f"callchain[{index}].parameters", frame.parameters
        yield f"callchain[{index}].predicate", frame.predicate


def _before(fault: Fault, layout: Layout, wanted: Plan) -> Iterator[str]:
    yield from (f"#include <{header}> {marked('headers')}" for header in fault.headers)
    yield ""
    yield from (f"#define SIZE_OF_{name.upper()} {size}" for name, size in wanted.sizes.items())
    yield f"#define CACHE_NAME_OFFSET {layout.cache_name}"
    yield f"#define CACHE_SIZE_OFFSET {layout.cache_size}"
    yield f"#define BOOTSTRAP_CACHE {layout.bootstrap_cache:#x}"
    yield '#include "bcc.h"'
    yield ""
    said = _initial(wanted.switches)
    if layout.cgroup_controller:  # headers know the number
        said = f"{said[:-1]}, .cgroup_subsystem = {layout.cgroup_controller}_cgrp_id}}"
    yield f"static const struct chaos_switches switches = {said};"
    yield ""


def _initial(value: Any) -> str:
    """Return a structure, an array or a number as C has it where it is defined."""
    if isinstance(value, ctypes.Structure):
        members = ((f".{name}", getattr(value, name)) for name, *_ in value._fields_)
    elif isinstance(value, ctypes.Array):
        members = ((f"[{number}]", each) for number, each in enumerate(value))
    else:
        return f"{value}{'LL' if value < 0 else 'ULL'}"
    said = [f"{name} = {_initial(each)}" for name, each in members if _is_set(each)]
    return f"{{{', '.join(said)}}}"


def _is_set(value: Any) -> bool:
    return any(bytes(value)) if isinstance(value, ctypes.Structure | ctypes.Array) else bool(value)


def _of_bcc(entry: Entry) -> Entry:
    prefix = _PREFIXES.get(entry.attach)
    return entry._replace(function=f"{prefix}{entry.symbol}") if prefix else entry


def _role(entry: Entry) -> str:
    return entry.function.removeprefix("wide_").partition("_")[0]


def _tracker(entry: Entry, *_: object) -> str:
    return f"""
int {entry.function}(struct bpf_raw_tracepoint_args *ctx)
{{
	return {_TRACKERS[entry.function]};
}}"""


def _leave(entry: Entry, *_: object) -> str:
    if entry.attach is Attach.FEXIT:
        head, position = f"KRETFUNC_PROBE({entry.symbol})", "position_of(ctx, this_task(), 0)"
    else:
        head = f"int {entry.function}(struct pt_regs *ctx)"
        position = "RETURN_POSITION(ctx)"
    return f"""
{head}
{{
	if (*busy_of(bpf_get_current_task()))
		leave({position});
	return 0;
}}"""


def _enter(entry: Entry, fault: Fault, _: Placement, functions: Mapping[Probe, int]) -> str:
    named = next(bits for probe, bits in functions.items() if probe.symbol == entry.symbol)
    frames = [number for number in range(len(fault.callchain)) if named & 1 << number]
    parameters = _after_comma(fault.callchain[frames[0]].parameters)
    if entry.attach is Attach.FENTRY:
        head = f"KFUNC_PROBE({entry.symbol}{parameters})"
        position, back = "position_of(ctx, this_task(), 0)", "0"
    else:
        head = f"int {entry.function}(struct pt_regs *ctx{parameters})"
        position, back = "PT_REGS_SP(ctx)", "return_of(PT_REGS_SP(ctx))"
    free = sum(1 << number for number in frames if not fault.callchain[number].predicate)
    tests = "".join(
        f"\tif ({predicate}) {marked(f'callchain[{number}].predicate')}\n"
        f"\t\tmatched |= {1 << number:#x};\n"
        for number in frames
        if (predicate := fault.callchain[number].predicate)
    )
    return f"""
{head} {marked(f"callchain[{frames[0]}].parameters")}
{{
	u64 id = bpf_get_current_pid_tgid();
	u32 matched = {free:#x};

	if (!may_be_in_scope(id >> 32))
		return 0;
{tests}	enter(id, {position}, {back}, {named:#x}, matched);
	return 0;
}}"""


def _hook(entry: Entry, fault: Fault, placement: Placement, *_: object) -> str:
    (placed,) = placement.hooks
    parameters = _after_comma(placed.hook.parameters)
    if entry.attach is Attach.FMOD_RET:
        head = f"MODIFY_RETURN({entry.symbol}{parameters})"
        fails, override = "fails_in_trampoline", "return switches.hooks[0].value"
    else:
        head = f"int {entry.function}(struct pt_regs *ctx{parameters})"
        fails = "fails_in_kprobe"
        override = "bpf_override_return(ctx, switches.hooks[0].value)"
    return f"""
{head} {marked("parameters")}
{{
	u64 id = bpf_get_current_pid_tgid();
	bool predicate;

	if (!may_be_in_scope(id >> 32) || !concerns(id, NULL, 0))
		return 0;
	predicate = {fault.predicate or "true"}; {marked("predicate")}
	if (predicate && {fails}(ctx, 0))
		{override};
	return 0;
}}
"""


_BODIES: Mapping[str, Callable[..., str]] = {
    "track": _tracker,
    "leave": _leave,
    "enter": _enter,
    "hook": _hook,
}


def _after_comma(parameters: str) -> str:
    return f", {parameters}" if parameters else ""
