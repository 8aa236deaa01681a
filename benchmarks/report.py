"""Facts of the machine -> tables, and what is off."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.machine import NS_PER_INSTRUCTION

Facts = Sequence[Mapping[str, Any]]

NOTHING, FLOOR = "nothing attached", "floor: an empty fmod_ret"
WALK = "a program that walks the kernel's stack"


class Ratio(NamedTuple):
    """What a contender adds, as a multiple of what another one does.

    :param times: as docs/performance.md has it.
    :param within: by what part of it a short run may differ.
    """

    name: str
    times: float
    group: str = "cost"
    floor: str = ""
    within: float = 0.1


EXPECTED = (
    Ratio("core, out of scope", 1.14, within=0.25),
    Ratio("core, out of scope by cgroup", 1.14),
    Ratio("core, in scope, a frame is never entered", 1.66, within=0.25),
    Ratio("core, in scope, would inject (dry run), stacks: none", 8.32),
    Ratio("core, in scope, recording sites", 1.28, floor=WALK),
    *(
        Ratio(f"{length} frame(s): core, {scope}", times, "frames")
        for length, *both in ((1, 1.14, 1.84), (4, 1.14, 1.86), (8, 1.13, 1.97))
        for scope, times in zip(("out of scope", "in scope"), both, strict=True)
    ),
)
"""Those that a short run looks at."""

COMPARED = ("cost", "frames", "place", "arm64", "arm64-place")
"""Groups whose costs are compared with a floor's."""

_FLOORS = "times the floor"


def merged(facts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one fact for each thing that was measured, with what all boots have shown.

    :param facts: in any order; each has `group` and `name`, and `ns` and `seconds` as
        lists, `memory`, or `error`.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for fact in facts:
        place = (fact["group"], fact["name"])
        if place not in found:
            found[place] = dict(fact)
            continue
        for key, value in fact.items():
            seen = found[place].get(key)
            found[place][key] = seen + value if isinstance(seen, list) else value
    return list(found.values())


def renewed(
    known: Sequence[dict[str, Any]], facts: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return facts of before, and those that were measured now in place of their groups."""
    new = {group: [fact for fact in facts if fact["group"] == group] for group in groups(facts)}
    kept = {group: [fact for fact in known if fact["group"] == group] for group in groups(known)}
    return [fact for each in (kept | new).values() for fact in each]


def instructions(fact: Mapping[str, Any]) -> float:
    """Return how many instructions an iteration took: the lesser of the runs."""
    return float(min(fact["ns"])) / NS_PER_INSTRUCTION


def added(facts: Facts, group: str = "cost") -> dict[str, float]:
    """Return by how many instructions each contender makes an iteration longer."""
    cost = {fact["name"]: instructions(fact) for fact in of(facts, group) if "error" not in fact}
    return {name: value - cost[NOTHING] for name, value in cost.items()} if cost else {}


def spread(fact: Mapping[str, Any]) -> float:
    """Return by what part of the least of its runs the greatest is above it."""
    runs = fact.get("ns") or fact.get("seconds") or [1]
    return float(max(runs) / min(runs) - 1)


def of(facts: Facts, group: str) -> list[Mapping[str, Any]]:
    """Return the facts of a group."""
    return [fact for fact in facts if fact["group"] == group]


def rows(facts: Facts, group: str) -> list[tuple[str, ...]]:
    """Return a group as a table: its head, then a row for each fact."""
    compared = ("instructions", "added", _FLOORS)
    head = {
        "cost": ("attached to should_failslab", *compared),
        "frames": ("attached to frames and should_failslab", *compared),
        "place": ("attached to security_file_permission", *compared),
        "arm64": ("on arm64, attached to should_failslab", *compared),
        "arm64-place": ("on arm64, attached to security_file_permission", *compared),
        "start": ("from start to armed", "seconds", "peak memory"),
    }.get(group, (group, "instructions an iteration"))
    more = added(facts, group) if group in COMPARED else {}
    return [head, *(_row(fact, more, len(head)) for fact in of(facts, group))]


def _row(fact: Mapping[str, Any], more: Mapping[str, float], width: int) -> tuple[str, ...]:
    name = fact["name"]
    if "error" in fact:
        return (name, fact["error"], *[""] * (width - 2))
    if fact["group"] == "start":
        return (name, f"{min(fact['seconds']):.2f}", f"{fact['memory'] / 1e6:.1f} MB")
    if fact["group"] not in COMPARED:
        return (name, f"{instructions(fact):.0f}")
    floor = floor_of(name)
    floors = f"{more[name] / more[floor]:.2f}" if floor in more else ""
    return (name, f"{instructions(fact):.0f}", f"{more[name]:.0f}", floors)


def floor_of(name: str) -> str:
    """Return the name of the floor that a contender is compared with."""
    frames, colon, _ = name.partition(": ")
    return f"{frames}: floor" if colon and frames.endswith("frame(s)") else FLOOR


def groups(facts: Facts) -> list[str]:
    """Return the names of the groups, in the order in which they were measured."""
    return [group for group, _ in itertools.groupby(fact["group"] for fact in facts)]


def tables(facts: Facts) -> Iterator[Table]:
    """Yield a table for each group of facts."""
    for group in groups(facts):
        (title, *head), *body = rows(facts, group)
        table = Table(title, *head, "spread")
        for row, fact in zip(body, of(facts, group), strict=True):
            table.add_row(*row, "" if "error" in fact else f"{spread(fact):.2%}")
        yield table


def times(facts: Facts, ratio: Ratio) -> float:
    """Return a ratio as it was measured; 0 where it was not."""
    more = added(facts, ratio.group)
    floor = ratio.floor or floor_of(ratio.name)
    return more[ratio.name] / more[floor] if {ratio.name, floor} <= more.keys() else 0.0


def off(facts: Facts) -> list[str]:
    """Return which ratios are off by more than they may be."""
    return [
        f"{ratio.name}: {found:.2f} times the floor, and it was {ratio.times}"
        for ratio in EXPECTED
        if abs((found := times(facts, ratio)) / ratio.times - 1) > ratio.within
    ]
