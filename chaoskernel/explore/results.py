"""The document of an exploration's results: what `--json` prints; docs/explore.md has its schema.

Pure functions of what was found.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from chaoskernel.explore.findings import Findings, Found, Result
from chaoskernel.explore.outcome import Outcome, errno_name, severity
from chaoskernel.explore.plan import why_left_out

SCHEMA = 1


def document(findings: Findings, state: str = "") -> dict[str, Any]:
    """Return the results as one document of JSON types.

    :param state: the file that the command for a replay names.
    """
    plan = findings.plan
    order = sorted(findings.sites.values(), key=lambda found: _rank(findings, found))
    return {
        "schema": SCHEMA,
        "kind": "chaoskernel.explore",
        "mode": plan.mode.value,
        "command": list(plan.command),
        "kernel": dict(findings.kernel),
        "versions": dict(findings.versions),
        "options": {key: value for key, value in plan.to_json().items() if key != "command"},
        "began_at": findings.begun,
        "duration": findings.seconds,
        "ended_by": findings.end,
        "baseline": baseline(findings),
        "outcomes": {kind.value: number for kind, number in findings.counts().items()},
        "sites": [site(findings, found, state) for found in order],
    }


def baseline(findings: Findings) -> dict[str, Any]:
    """Return what the program does without a fault."""
    runs = findings.baseline.runs
    seconds = [each.ending.seconds for each in runs]
    return {
        "runs": len(runs),
        "status": runs[0].ending.status if runs else None,
        "durations": seconds,
        "duration": statistics.median(seconds) if seconds else 0.0,
        "masked": findings.baseline.masked,
        "descriptors": findings.baseline.descriptors if runs else None,
        "memory": findings.baseline.memory if runs else 0,
        "output": runs[0].tail if runs else "",
        "sites": sum(not found.under for found in findings.sites.values()),
        "unsteady": sum(not found.steady for found in findings.sites.values()),
        "requests": findings.baseline_facts.get("requests", 0),
        "lost": findings.baseline_facts.get("lost", 0),
    }


def site(findings: Findings, found: Found, state: str = "") -> dict[str, Any]:
    """Return a site, and what came of failing it."""
    mine = findings.of_site(found.site.id)
    one = found.site
    return {
        "id": one.id,
        "fault": found.fault.value,
        "hook": one.hook,
        "errno": errno_name(one.error),
        "error": one.error,
        "entered": {"by": one.by.value, "name": one.call},
        "function": one.telling.function if one.places else "",
        "frames": [
            {"function": each.function, "offset": each.offset, "module": each.module}
            for each in one.places
        ],
        "truncated": one.truncated,
        "phases": ["exec"] if one.in_exec else [phase.value for phase in found.phases],
        "count": found.count,
        "steady": found.steady,
        "under": found.under or None,
        "task": one.command,
        "arguments": dict(one.arguments),
        "left_out": "" if mine else why_left_out(findings.plan, one, found.phases),
        **(_result(mine[0], state) if mine else _NOT_TRIED),
        "attempts": [{"attempt": each.attempt.id, **_result(each, state)} for each in mine],
    }


_NOT_TRIED: Mapping[str, Any] = {
    "outcome": None,
    "detail": "",
    "leaks": [],
    "flaky": False,
    "tries": [],
    "duration": 0.0,
    "output": "",
    "kernel_log": [],
    "replay": "",
}


def _result(result: Result, state: str) -> dict[str, Any]:
    return {
        "outcome": result.outcome.value,
        "detail": result.detail,
        "leaks": list(result.leaks),
        "flaky": result.flaky,
        "tries": [each.value for each in result.tries],
        "duration": result.seconds,
        "output": result.tail,
        "kernel_log": [*result.kernel, *result.log],
        "replay": replay(result, state),
    }


def replay(result: Result, state: str = "") -> str:
    """Return the command that plays an attempt again."""
    words = ["chaoskernel", "explore", "--replay", result.attempt.id]
    return shlex.join([*words, *(["--state", state] if state else [])])


def worst(results: Iterable[Result]) -> Outcome | None:
    """Return the worst outcome; None where there is no result."""
    return max((each.outcome for each in results), key=severity, default=None)


def _rank(findings: Findings, found: Found) -> tuple[int, str, str, str]:
    """Return what sites are sorted by: the worst first, then by where they are."""
    found_worst = worst(findings.of_site(found.site.id))
    rank = -severity(found_worst) if found_worst else 1
    return rank, found.site.call, found.site.telling.function, found.site.id
