"""Accepted outcomes: a file that says what of the results is known, and why it is left so.

An entry is matched by the attempt's name where the kernel is the one that the file was written
on, and else by the functions of its sites.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.findings import Findings, Result
from chaoskernel.explore.outcome import FINE, Outcome, severity

_SCHEMA = 1
_MOST_BYTES = 16 << 20
_OF_ANOTHER_FORM = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
_HEAD = """\
# Outcomes that are accepted; --accept fails on anything worse.  Each needs a reason.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One accepted outcome.

    :param where: for each site of the attempt its fault, hook and functions.
    """

    attempt: str
    outcome: Outcome
    where: tuple[tuple[str, ...], ...]
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """The results, set against what is accepted.

    :param accepted: names of attempts.
    :param worse: results that are neither fine nor accepted, the worst first.
    :param by_functions: the kernel is another one, and entries were matched by functions.
    """

    accepted: frozenset[str]
    worse: tuple[Result, ...]
    by_functions: bool = False


def judged(findings: Findings, path: Path | None) -> Judged:
    """Set results against what a file accepts; without a file nothing is accepted.

    :raises ChaosKernelError: the file cannot be read, or has no reason somewhere.
    """
    kernel, entries = read(path) if path else ({}, [])
    same = dict(kernel) == dict(findings.kernel)
    bad = [each for each in findings.results.values() if each.outcome not in FINE]
    accepted = frozenset(
        each.attempt.id
        for each in bad
        for entry in entries
        if _matches(findings, each, entry, same)
        and severity(each.outcome) <= severity(entry.outcome)
    )
    worse = sorted(
        (each for each in bad if each.attempt.id not in accepted),
        key=lambda each: -severity(each.outcome),
    )
    return Judged(accepted, tuple(worse), bool(entries) and not same)


def read(path: Path) -> tuple[Mapping[str, str], list[Entry]]:
    """Return the kernel that a file was written on, and its entries.

    :raises ChaosKernelError: it cannot be read, or an entry is wrong.
    """
    kernel, entries = _parsed(path)
    for each in entries:
        if not each.reason.strip():
            raise ChaosKernelError(
                f"{path}: {each.attempt} has no reason", hint="write why it is accepted"
            )
    return kernel, entries


def _parsed(path: Path) -> tuple[Mapping[str, str], list[Entry]]:
    try:
        with path.open("rb") as file:
            found = yaml.safe_load(file.read(_MOST_BYTES))
        if found["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {found['schema']}, not {_SCHEMA}")
        return dict(found["kernel"]), [_entry(each) for each in found["accepted"]]
    except OSError as error:
        raise ChaosKernelError(
            f"{path} cannot be read: {error.strerror}", hint="--write-accept writes it"
        ) from error
    except (
        yaml.YAMLError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as wrong:
        why = " ".join(str(wrong).split())[:200]
        raise ChaosKernelError(
            f"{path} is not a file of accepted outcomes: {why}",
            hint="remove it; --write-accept writes it anew",
        ) from None


def write(findings: Findings, path: Path) -> int:
    """Write what is not fine to a file, to be given reasons; return how many entries it has.

    Reasons that the file has already are kept.

    :raises ChaosKernelError: it cannot be written, or is something else.
    """
    known = _parsed(path)[1] if path.exists() else []
    reasons = {each.attempt: each.reason for each in known}
    bad = [each for each in findings.results.values() if each.outcome not in FINE]
    bad.sort(key=lambda each: (-severity(each.outcome), each.attempt.id))
    document = {
        "schema": _SCHEMA,
        "kernel": dict(findings.kernel),
        "accepted": [
            {
                "attempt": each.attempt.id,
                "outcome": each.outcome.value,
                "detail": each.detail,
                "sites": [list(where) for where in _where(findings, each)],
                "reason": reasons.get(each.attempt.id, ""),
            }
            for each in bad
        ],
    }
    try:
        path.write_text(_HEAD + yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise ChaosKernelError(f"{path} cannot be written: {error.strerror}") from error
    return len(bad)


def _entry(each: Mapping[str, Any]) -> Entry:
    where = tuple(tuple(map(str, site)) for site in each["sites"])
    return Entry(
        str(each["attempt"]), Outcome(each["outcome"]), where, str(each.get("reason") or "")
    )


def _matches(findings: Findings, result: Result, entry: Entry, same: bool) -> bool:
    if same:
        return result.attempt.id == entry.attempt
    mode = entry.attempt.partition("@")[2]
    return result.attempt.id.partition("@")[2] == mode and _where(findings, result) == entry.where


def _where(findings: Findings, result: Result) -> tuple[tuple[str, ...], ...]:
    """Return what is the same of sites in another build: fault, hook and functions."""
    found: Sequence[Any] = [findings.sites[each] for each in result.attempt.sites]
    return tuple(
        (each.fault.value, each.site.hook, *(place.function for place in each.site.places))
        for each in found
    )
