"""Facts of programs in their work -> ratios to nothing, targets, and what is off."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.guest import work
from benchmarks.report import Facts, instructions, of

EXPECTED = {work.OUT: 0.915, work.TECHNIQUE: 0.905}
"""Operations of the job of a short run, as a part of those of nothing, as docs/performance.md
has them."""

TARGET = 0.98
"""Out of scope costs a fiftieth of the operations, and no more."""

_TOLERANCE = 0.1


def per_million(facts: Facts) -> dict[str, dict[str, float]]:
    """Return by job, then by contender, how many operations a million instructions make."""
    return {
        each.name: {
            fact["name"]: 1e6 / instructions(fact)
            for fact in of(facts, work.group_of(each))
            if "error" not in fact
        }
        for each in work.ALL
    }


def ratios(facts: Facts) -> dict[str, dict[str, float]]:
    """Return the same as parts of what nothing attached makes, of the jobs that were measured."""
    return {
        job: {name: made / rates[work.NOTHING] for name, made in rates.items()}
        for job, rates in per_million(facts).items()
        if work.NOTHING in rates
    }


def rows(facts: Facts) -> list[tuple[str, ...]]:
    """Return a table: a row for each contender, a column for each job."""
    rates, parts = per_million(facts), ratios(facts)
    names = list(dict.fromkeys(name for each in parts.values() for name in each))
    head = ("attached", *parts)
    nothing = tuple(f"{rates[job][work.NOTHING]:.3g} a million" for job in parts)
    body = [
        (name, *(f"{parts[job][name]:.3f}" if name in parts[job] else "" for job in parts))
        for name in names
        if name != work.NOTHING
    ]
    return [head, (work.NOTHING, *nothing), *body]


def targets(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Yield target, what was measured, and whether it was met."""
    for job, parts in ratios(facts).items():
        part = parts[work.OUT]
        met = "met" if part >= TARGET else "missed"
        yield f"out of scope at least {TARGET} of nothing: {job}", f"{part:.4f}", met


def off(facts: Facts) -> list[str]:
    """Return which ratios are off by more than a tenth."""
    found = ratios(facts).get(work.SHORT_JOB, {})
    return [
        f"{work.SHORT_JOB}, {name}: {found.get(name, 0):.3f} of nothing, and it was {expected}"
        for name, expected in EXPECTED.items()
        if abs(found.get(name, 0) / expected - 1) > _TOLERANCE
    ]
