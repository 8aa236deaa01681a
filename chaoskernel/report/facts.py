"""What is said of a fault's record, by label: what was asked for, what was hit, what came of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from chaoskernel.backend.outcome import function_of
from chaoskernel.backend.record import in_words
from chaoskernel.terminal import shown

_HELD = "held_"
_SHOWN = 4
_STACKS = 3
_MAX_COUNT = 2**64
"""What a counter of the kernel's stays below."""

_ESCAPED = {
    "untracked": "processes, threads or control groups: a table was full",
    "unfollowed_mounts": "changes of what is mounted below the paths: too many file systems, or "
    "one does not answer",
}
"""What came while a fault was in force and is not in its scope, by the counter."""

OF_ANOTHER_FORM = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a record of another form leads to, wherever in it the form is another."""

STACKS = "most often in"
"""The label of a fact that has several lines."""

Record = Mapping[str, Any]


def facts(record: Record) -> dict[str, object]:
    """Return what is said of a fault, by label; what does not apply is left out.

    :raises OF_ANOTHER_FORM: the record has another form.
    """
    found = {label: fact(record) for label, fact in _FACTS.items()}
    return {label: value for label, value in found.items() if value is not None}


def readable_facts(record: Record) -> dict[str, str]:
    """Return the same as text; what has another form costs itself alone."""
    found = {}
    for label, fact in _FACTS.items():
        try:
            value = fact(record)
        except OF_ANOTHER_FORM:
            value = "(this version cannot read it)"
        if value is not None:
            found[label] = shown(value, lines=True)
    return found


def count(value: object) -> str:
    """Return a counter as text; what cannot be one is unknown, as one that is missing is."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT
    return str(value) if is_count else "unknown"


def _stands_in(fault: Mapping[str, Any]) -> str | None:
    stands_for = fault.get("stand_in_for")
    return (
        f"{fault.get('fault', '')} for {stands_for}, which this kernel lacks"
        if stands_for
        else None
    )


def _hook(fault: Mapping[str, Any]) -> str:
    engine = fault.get("engine", "")
    how = f"by {fault.get('mechanism', '')} ({engine})"
    return f"{fault.get('hook', '')} {how if engine != 'none' else '(a rehearsal: not attached)'}"


def chain(frames: list[Mapping[str, Any]]) -> str:
    """Return a call chain in one line, outermost function first, and how often each matched."""
    return " → ".join(map(_frame, frames)) or "any"


def _frame(frame: Mapping[str, Any]) -> str:
    counted = ""
    if frame.keys() >= {"entered", "matched"}:
        counted = f" ({count(frame['matched'])} of {count(frame['entered'])})"
    return f"{frame.get('symbol', frame)}{counted}"


def targets(named: list[Mapping[str, Any]]) -> str:
    """Return in one line what a scope names."""
    return ", ".join(map(in_words, named))


def _hit(counters: Mapping[str, Any]) -> str | None:
    """Return who was hit, the most first; a table has room for a few."""
    found = sorted(counters.get("processes", []), key=lambda hit: -_number(hit["injected"]))
    named = [f"{hit['command']} ({hit['pid']}): {count(hit['injected'])}" for hit in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    if unlisted := counters.get("unlisted"):
        more.append(f"{unlisted} more requests, by processes beyond those that are listed")
    return ", ".join(named + more) or None


def _number(value: object) -> int:
    return value if isinstance(value, int) and count(value) != "unknown" else 0


def _not_followed(counters: Mapping[str, Any]) -> str | None:
    escaped = [f"{counters[key]} {what}" for key, what in _ESCAPED.items() if counters.get(key)]
    return "; ".join(escaped) or None


def _last(events: list[Mapping[str, Any]]) -> str | None:
    """Return where in the kernel the last injection was, the innermost function first."""
    found = [event["stack"] for event in events if event.get("stack_kept", True)]
    return next(map(_inwards, found[-1:]), None) or None


def _inwards(stack: list[object]) -> str:
    """Return a stack in one line, the innermost function first."""
    return " ← ".join(map(function_of, stack))


def _stacks(fault: Mapping[str, Any]) -> str | None:
    """Return where in the kernel most of the kept injections were, a line for each stack."""
    found = [*fault.get("stacks", [])][:_STACKS]
    lines = [f"{count(each['count'])} times {_inwards(each['stack'])}" for each in found]
    lines += filter(None, [left_out(fault)])
    return "\n".join(shown(line) for line in lines) if found else None


def left_out(fault: Record) -> str:
    """Return of how many injections the stacks are; nothing where they are of all."""
    kept = _number(fault.get("stacks_of"))
    injected = _number(fault.get("counters", {}).get("injected"))
    return f"(of {kept} whose stacks were kept)" if kept < injected else ""


def _held_back(counters: Mapping[str, Any]) -> str:
    held = [
        f"{count(value)} by {key.removeprefix(_HELD)}"
        for key, value in counters.items()
        if key.startswith(_HELD) and value
    ]
    return ", ".join(held) or "none"


def _lifetime(fault: Mapping[str, Any]) -> str:
    try:
        start = datetime.datetime.fromisoformat(fault["armed_at"])
        end = datetime.datetime.fromisoformat(fault["ended_at"])
    except (KeyError, ValueError, TypeError):
        return "unknown"
    day, clock = f"{start:%Y-%m-%d}", "%H:%M:%S"
    seconds = (end - start).total_seconds()
    return f"{seconds:.1f} s, {day} from {start:{clock}} to {end:{clock}} {start:%Z}".rstrip()


_FACTS: Mapping[str, Callable[[Record], object]] = {
    "asked for": lambda fault: fault.get("summary"),
    "stands in": _stands_in,
    "hook": _hook,
    "call chain": lambda fault: chain(
        fault.get("counters", {}).get("frames") or fault.get("callchain", [])
    ),
    "targets": lambda fault: targets(fault.get("targets", [])),
    "left out": lambda fault: ", ".join(map(str, fault.get("left_out", []))) or None,
    "reached": lambda fault: count(fault.get("counters", {}).get("reached")),
    "matched": lambda fault: count(fault.get("counters", {}).get("matched")),
    "injected": lambda fault: count(fault.get("counters", {}).get("injected")),
    "would have failed": lambda fault: (
        count(fault.get("counters", {}).get("held_dry_run")) if fault.get("dry_run") else None
    ),
    "held back": lambda fault: _held_back(fault.get("counters", {})),
    "hit": lambda fault: _hit(fault.get("counters", {})),
    "not followed": lambda fault: _not_followed(fault.get("counters", {})),
    STACKS: _stacks,
    "last one": lambda fault: None if fault.get("stacks") else _last(fault.get("events", [])),
    "warning": lambda fault: "; ".join(fault.get("warnings", [])) or None,
    "in force": _lifetime,
    "ended by": lambda fault: f"{fault.get('reason', '')} ({fault.get('state', '')})",
    "verdict": lambda fault: fault.get("verdict"),
}
"""In the order in which they are shown."""
