"""What came of a fault, from its counters and its latest injections; pure."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chaoskernel.fault.families import FAMILIES, call_of, kinds_of

_HELD = "held_"
_DRY_RUN = "held_dry_run"
_TOP = 10
"""How many stacks a record keeps."""

_Event = Mapping[str, Any]


def hits(counters: Mapping[str, Any]) -> int:
    """Return how many calls were made to fail or, in a dry run, would have been."""
    return sum(int(counters.get(key, 0)) for key in ("injected", _DRY_RUN))


def with_stacks(events: Iterable[_Event]) -> list[_Event]:
    """Return the events whose stacks were kept: those of the others are not known."""
    return [event for event in events if event.get("stack_kept", True)]


def top_stacks(events: Sequence[_Event]) -> list[dict[str, Any]]:
    """Return the stacks of injections, those of the most first, at most ten.

    Each has `count`, its `hook`, and the `stack` by the names of its functions, the innermost
    first: offsets tell places apart that a reader takes for one.
    """
    counted = collections.Counter(
        (str(event.get("hook", "")), tuple(map(function_of, event.get("stack", []))))
        for event in with_stacks(events)
    )
    return [
        {"count": count, "hook": hook, "stack": list(stack)}
        for (hook, stack), count in counted.most_common(_TOP)
    ]


def function_of(place: object) -> str:
    """Return the function of a place such as `path_mount+0x20`."""
    return str(place).partition("+")[0]


def injection_times(events: Sequence[_Event], dropped: int) -> tuple[str, str]:
    """Return when the first and the last injection were; empty where that is not known.

    :param dropped: how many earlier ones were not kept.
    """
    times = [str(event.get("at", "")) for event in events]
    if not times:
        return "", ""
    return "" if dropped else min(times), max(times)


def chain_end(counters: Mapping[str, Any]) -> str:
    """Return why a call chain was never complete; nothing when it was, or had no frames."""
    for frame in counters.get("frames", []):
        if not frame["matched"]:
            if not frame["entered"]:
                return f"{frame['symbol']} was never called"
            return (
                f"{frame['symbol']} was called {_times(frame['entered'])}, "
                "never in its place or as its predicate says"
            )
    return ""


def why_nothing(counters: Mapping[str, Any]) -> str:
    """Return why nothing was injected, as far as the counters tell."""
    if not counters:
        return "its counters are unknown"
    if end := chain_end(counters):
        return end
    if not (reached := int(counters.get("reached", 0))):
        return f"nothing in scope made such a call{near(counters)}"
    if not counters.get("matched"):
        return (
            f"such calls were made {_times(reached)}, none at the place that was asked for "
            "(`chaoskernel watch` shows theirs)"
        )
    held = held_back(counters)
    return f"all were held back: {held}" if held else f"matched {counters['matched']}"


def near(counters: Mapping[str, Any]) -> str:
    """Return which calls the scope made that are near one that it never made, after a semicolon.

    Where they were not counted, those that it may make; nothing where there are none.
    """
    hooks = [str(hook.get("symbol", "")) for hook in counters.get("hooks", [])]
    call = call_of(hooks[0]) if len(hooks) == 1 else ""
    counted = {str(each["call"]): int(each["count"]) for each in counters.get("near", ())}
    if made := sorted(filter(counted.get, counted), key=lambda name: -counted[name]):
        return "; it made " + ", ".join(
            f"{counted[name]} {name} (fault {kinds_of(name)[0].value})"
            if kinds_of(name)
            else f"{counted[name]} {name}"
            for name in made
        )
    if counted:
        return f", nor one near it: {', '.join(counted)}"
    for kind in kinds_of(call):
        if others := [other for other in FAMILIES[kind] if other != call]:
            return f"; it may make {' or '.join(others)}, which the fault {kind.value} fails too"
    return ""


def why_few(counters: Mapping[str, Any]) -> str:
    """Return why fewer calls failed than was hoped for, as far as the counters tell."""
    if not hits(counters):
        return why_nothing(counters)
    seen = f"reached {counters.get('reached', 0)}, matched {counters.get('matched', 0)}"
    held = held_back(counters)
    return f"{seen}, held back {held}" if held else seen


def held_back(counters: Mapping[str, Any]) -> str:
    """Return how many calls were held back by each reason, in words; empty where none was."""
    held = {
        key.removeprefix(_HELD): value for key, value in counters.items() if key.startswith(_HELD)
    }
    return ", ".join(f"{value} by {reason}" for reason, value in held.items() if value)


def verdict(counters: Mapping[str, Any], *, dry_run: bool, rehearsal: bool, lost: bool) -> str:
    """Return in one sentence what came of a fault.

    :param rehearsal: nothing was attached.
    :param lost: its agent ended without its final counters.
    """
    if rehearsal:
        return "a rehearsal: nothing was attached"
    unsure = "; its agent was lost, so these are the last counts that it reported" if lost else ""
    found = hits(counters)
    if not found:
        return f"nothing failed: {why_nothing(counters)}{unsure}"
    calls = "1 call" if found == 1 else f"{found} calls"
    did = "would have failed" if dry_run else "failed"
    return f"{calls} {did}, of {counters.get('reached', 0)} that the scope made{unsure}"


def _times(number: int) -> str:
    return f"{number} times" if number > 1 else "once"
