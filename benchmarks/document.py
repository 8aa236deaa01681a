"""The parts of docs/performance.md that are facts: written by what measures, never by hand.

Each stands between `<!-- facts: NAME -->` and `<!-- end -->`; what is around them is prose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from benchmarks import work
from benchmarks.guest.work import ALL, group_of
from benchmarks.report import (
    COMPARED,
    FLOOR,
    NOTHING,
    WALK,
    Facts,
    added,
    floor_of,
    groups,
    instructions,
    of,
    rows,
    spread,
)

_BLOCK = re.compile(r"(<!-- facts: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

_OUT, _NEVER = "core, out of scope", "core, in scope, a frame is never entered"
_OUT_BY_CGROUP = "core, out of scope by cgroup"
_ONE = "core, in scope, 1 frame(s) that do not match"
_RECORDING = "core, in scope, recording sites"
_NO_STACKS = "core, in scope, would inject (dry run), stacks: none"
_TECHNIQUE = "inject.py's technique, "
_OFF_PATH = re.compile(r"core, in scope, off the path, (\d+) levels")


def updated(text: str, facts: Facts) -> str:
    """Return a text with its facts replaced.

    :raises KeyError: it asks for facts that there are not.
    """
    return _BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]](facts) + found[3], text)


def _cost(facts: Facts) -> str:
    return _table(rows(facts, "cost"))


def _growth(facts: Facts) -> str:
    others = (*COMPARED, "start", *map(group_of, ALL))
    names = [group for group in groups(facts) if group not in others]
    return "\n".join(_table(rows(facts, group)) for group in names)


def _frames(facts: Facts) -> str:
    return _table(rows(facts, "frames"))


def _frames_targets(facts: Facts) -> str:
    return _table([("target", "measured", ""), *_each_frames_target(facts)])


def _each_frames_target(facts: Facts) -> Iterator[tuple[str, str, str]]:
    more = added(facts, "frames")
    for scope, most in (("out of scope", 1.15), ("in scope", 1.5)):
        for name in more:
            if name.endswith(f": core, {scope}"):
                times = more[name] / more[floor_of(name)]
                length = name.partition(":")[0]
                said = f"{scope} at most {most:g} times the floor: {length}"
                yield said, f"{times:.3f}", _met(times <= most)


def _place(facts: Facts) -> str:
    return _table(rows(facts, "place"))


def _arm64(facts: Facts) -> str:
    return "\n".join(_table(rows(facts, group)) for group in ("arm64", "arm64-place"))


def _place_targets(facts: Facts) -> str:
    return _table([("target", "measured", ""), *_each_place_target(facts)])


def _each_place_target(facts: Facts) -> Iterator[tuple[str, str, str]]:
    more = added(facts, "place")
    if not more:
        return  # they need another kernel, and may be left out
    floors = more[_OUT] / more[FLOOR]
    yield "out of scope at most 1.2 times the floor", f"{floors:.3f}", _met(floors <= 1.2)
    off = {
        int(found[1]): cost for name, cost in more.items() if (found := _OFF_PATH.fullmatch(name))
    }
    least, most = min(off), max(off)
    each = (off[most] - off[least]) / (most - least)
    yield "at most 40 instructions for each level of the path", f"{each:.1f}", _met(each <= 40)


def _work(facts: Facts) -> str:
    return _table(work.rows(facts))


def _work_targets(facts: Facts) -> str:
    return _table([("target", "measured", ""), *work.targets(facts)])


def _start(facts: Facts) -> str:
    return _table(rows(facts, "start"))


def _steps(facts: Facts) -> str:
    """Say how long each step of an agent's took, until the next began."""
    both = {fact["name"]: fact["steps"] for fact in of(facts, "start") if "steps" in fact}
    table = [("until", *both)]
    for step in next(iter(both.values())):
        table.append((step, *(f"{steps[step]:.2f}" for steps in both.values())))
    return _table(table)


def _repeats(facts: Facts) -> str:
    """Say how far apart runs are."""
    widest = max(facts, key=spread)
    runs = max(len(fact.get("ns", ())) for fact in facts)
    return (
        f"Of up to {runs} runs of each, the greatest is at most {spread(widest):.2%} above "
        f"the least ({widest['group']}: {widest['name']}).\n"
    )


def _targets(facts: Facts) -> str:
    return _table([("target", "measured", ""), *_each_target(facts)])


def _each_target(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Yield target, what was measured, and whether it was met."""
    more = added(facts)
    floors = more[_OUT] / more[FLOOR]
    yield "out of scope at most 1.15 times the floor", f"{floors:.3f}", _met(floors <= 1.15)
    part = more[_OUT] / more[f"{_TECHNIQUE}a frame is never entered"]
    yield "and at most a third of inject.py's technique", f"{part:.3f}", _met(part <= 1 / 3)
    if _OUT_BY_CGROUP in more:
        part = more[_OUT_BY_CGROUP] / more[FLOOR]
        yield (
            "out of scope by control group at most 1.2 times the floor",
            f"{part:.3f}",
            _met(part <= 1.2),
        )
    for name in (_NEVER, _ONE):
        case = name.removeprefix("core, in scope, ")
        part = more[name] / more[_TECHNIQUE + case]
        yield f"in scope, at most half of it: {case}", f"{part:.3f}", _met(part <= 1 / 2)
    if _RECORDING in more:
        part = more[_RECORDING] / more[WALK]
        yield (
            "recording a site at most 1.3 walks of the stack",
            f"{part:.3f}",
            _met(part <= 1.3),
        )
    if _NO_STACKS in more:
        part = more[_NO_STACKS] / more[FLOOR]
        yield "all would fail, without stacks: 3 times the floor", f"{part:.3f}", _met(part <= 3)
    one, *_, most = (fact for fact in of(facts, "control groups, out of scope"))
    part = _beyond(facts, instructions(most)) / _beyond(facts, instructions(one))
    name = f"{int(most['name']):,} control groups cost what one does".replace(",", " ")
    yield name, f"{part:.3f} of it", _met(abs(part - 1) < 0.01)
    started = {fact["name"]: fact for fact in of(facts, "start") if "error" not in fact}
    part = min(started["core"]["seconds"]) / min(started["bcc"]["seconds"])
    yield "core armed in a tenth of bcc's time", f"{part:.3f} of it", _met(part <= 0.1)
    part = started["core"]["memory"] / started["bcc"]["memory"]
    yield "in a third of its memory", f"{part:.3f} of it", _met(part <= 1 / 3)
    seconds, size = min(started["core"]["seconds"]), started["core"]["memory"] / 1e6
    yield "core armed in 0.55 s", f"{seconds:.2f} s", _met(seconds <= 0.55)
    yield "in 20 MB", f"{size:.1f} MB", _met(size <= 20)


def _beyond(facts: Facts, cost: float) -> float:
    (nothing,) = (fact for fact in of(facts, "cost") if fact["name"] == NOTHING)
    return cost - instructions(nothing)


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _table(lines: list[tuple[str, ...]]) -> str:
    head, *body = lines
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))


BLOCKS: Mapping[str, Callable[[Facts], str]] = {
    "arm64": _arm64,
    "cost": _cost,
    "frames": _frames,
    "frames-targets": _frames_targets,
    "growth": _growth,
    "place": _place,
    "place-targets": _place_targets,
    "start": _start,
    "steps": _steps,
    "repeats": _repeats,
    "targets": _targets,
    "work": _work,
    "work-targets": _work_targets,
}
