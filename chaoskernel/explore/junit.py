"""The results as test cases: one for each attempt.

A case fails where its outcome is neither fine nor accepted, and is skipped where the site was not
reached.
"""

from __future__ import annotations

from pathlib import Path

from chaoskernel import junit
from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.accept import Judged
from chaoskernel.explore.findings import Findings, Result
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.results import replay


def write(findings: Findings, judged: Judged, path: Path, state: str) -> None:
    """Write the results to a file.

    :raises ChaosKernelError: it cannot be written.
    """
    text = junit.render([suite(findings, judged, state)])
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ChaosKernelError(f"{path} cannot be written: {error.strerror}") from error


def suite(findings: Findings, judged: Judged, state: str = "") -> junit.Suite:
    """Return the results as test cases."""
    worse = {each.attempt.id for each in judged.worse}
    return junit.Suite(
        f"explore {' '.join(findings.plan.command)}",
        [
            _case(findings, each, each.attempt.id in worse, judged, state)
            for each in findings.results.values()
        ],
        findings.begun,
    )


def _case(
    findings: Findings, result: Result, fails: bool, judged: Judged, state: str
) -> junit.Case:
    site = findings.sites[result.attempt.sites[-1]]
    entered = site.site.call or site.site.by.value
    case = junit.Case(
        f"{site.fault.value}.{entered}",
        f"{site.site.telling.function} {result.attempt.id}",
        result.seconds,
    )
    said = f"{result.outcome}: {result.detail}" if result.detail else result.outcome.value
    if fails:
        details = "\n".join([*map(str, site.site.places), replay(result, state)])
        return case._replace(failure=said, kind=result.outcome.value, details=details)
    if result.outcome is Outcome.NOT_REACHED:
        return case._replace(skipped=said)
    if result.attempt.id in judged.accepted:
        return case._replace(output=f"accepted: {said}")
    return case
