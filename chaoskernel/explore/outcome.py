"""What a run comes to: one pure function of what was seen, and of the baseline.

docs/explore.md defines each outcome in the same order.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import os
from collections.abc import Callable

from chaoskernel.explore.observation import Baseline, Observation

_MEMORY_FACTOR = 1.5
_MEMORY_BYTES = 4 << 20


class Outcome(enum.StrEnum):
    """What became of a program whose request failed, the worst last."""

    SURVIVED = "survived"
    NOT_REACHED = "not reached"
    REPORTED = "reported"
    DAMAGED = "damaged"
    DEGRADED = "degraded"
    CRASHED = "crashed"
    HUNG = "hung"
    CORRUPTED = "corrupted"
    KERNEL = "kernel"


ORDER = tuple(Outcome)
"""From the best to the worst."""

FINE = frozenset({Outcome.SURVIVED, Outcome.REPORTED, Outcome.NOT_REACHED})
"""What a program may come to without a reason to look at it."""


def severity(outcome: Outcome) -> int:
    """Return a number that is higher for what is worse."""
    return ORDER.index(outcome)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, and what tells it, in a line.

    :param leaks: what it kept that it did not keep in the baseline, such as `3 descriptors`.
    """

    outcome: Outcome
    detail: str = ""
    leaks: tuple[str, ...] = ()


def judge(seen: Observation, baseline: Baseline) -> Verdict:
    """Say what a run came to.  What is worse is asked first."""
    for outcome, why in _RULES:
        detail = why(seen, baseline)
        if detail is not None:
            return Verdict(outcome, detail, leaks(seen, baseline))
    raise AssertionError("the last rule holds always")


def differences(seen: Observation, baseline: Baseline) -> list[str]:
    """Return how a run differs from every run of the baseline; leaks apart."""
    ending, found = seen.ending, []
    if ending.not_started:
        found.append(f"not started: {os.strerror(ending.not_started)}")
    if ending.hung:
        found.append("it hangs")
    if ending.signal:
        found.append(f"killed by {ending.signal}")
    if seen.ready is False:
        found.append("never ready")
    for name, value in (("check", seen.steady), ("verification", seen.intact)):
        if value is False:
            found.append(f"the {name} fails")
    if (ending.status, seen.workload) not in baseline.statuses and not found:
        found.append(_statuses(seen))
    if seen.output not in baseline.outputs and not found:
        found.append("another output")
    return found


def leaks(seen: Observation, baseline: Baseline) -> tuple[str, ...]:
    """Return what a run kept that no run of the baseline did."""
    found = []
    usual = baseline.descriptors
    if usual is not None and seen.descriptors is not None and seen.descriptors > usual:
        found.append(_number(seen.descriptors - usual, "descriptor"))
    if seen.memory > baseline.memory * _MEMORY_FACTOR + _MEMORY_BYTES:
        found.append(f"{(seen.memory - baseline.memory) >> 20} MB of memory")
    return tuple(found)


def errno_name(number: int) -> str:
    """Return the name of an error number, such as ENOMEM; empty for 0."""
    return errno.errorcode.get(number, str(number)) if number else ""


def _kernel(seen: Observation, _: Baseline) -> str | None:
    if seen.kernel:
        return seen.kernel[0]
    return "the guest was lost" if seen.lost else None


def _not_reached(seen: Observation, _: Baseline) -> str | None:
    if seen.failed and all(seen.failed):
        return None
    missing = [str(n + 1) for n, failed in enumerate(seen.failed) if not failed]
    if len(seen.failed) > 1 and len(missing) < len(seen.failed):
        return f"site {missing[0]} of {len(seen.failed)} was not reached"
    return ""


def _corrupted(seen: Observation, _: Baseline) -> str | None:
    if seen.intact is not False:
        return None
    return _and(seen.detail or "the verification fails", _end_of(seen))


def _hung(seen: Observation, _: Baseline) -> str | None:
    return f"ended after {seen.ending.seconds:.1f} s" if seen.ending.hung else None


def _crashed(seen: Observation, _: Baseline) -> str | None:
    if seen.ending.signal:
        return f"killed by {seen.ending.signal}"
    return seen.log[0] if seen.log else None


def _degraded(seen: Observation, _: Baseline) -> str | None:
    if seen.steady is not False:
        return None
    again = "" if seen.steady_again is not False else ", not even after a restart"
    return _and("the check does not hold" + again, seen.detail)


def _survived(seen: Observation, baseline: Baseline) -> str | None:
    return None if differences(seen, baseline) else ""


def _reported(seen: Observation, baseline: Baseline) -> str | None:
    return ", ".join(differences(seen, baseline))


def _statuses(seen: Observation) -> str:
    if seen.workload:
        return f"the workload exits with status {seen.workload}"
    return f"exit status {seen.ending.status}"


def _end_of(seen: Observation) -> str:
    ending = seen.ending
    if ending.hung:
        return "it hung"
    return f"killed by {ending.signal}" if ending.signal else ""


def _and(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


_RULES: tuple[tuple[Outcome, Callable[[Observation, Baseline], str | None]], ...] = (
    (Outcome.KERNEL, _kernel),
    (Outcome.NOT_REACHED, _not_reached),
    (Outcome.CORRUPTED, _corrupted),
    (Outcome.HUNG, _hung),
    (Outcome.CRASHED, _crashed),
    (Outcome.DEGRADED, _degraded),
    (Outcome.SURVIVED, _survived),
    (Outcome.REPORTED, _reported),
)
"""The first whose function says something is the outcome."""
