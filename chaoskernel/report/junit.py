"""Reports as test results: a case for each activity and fault, or for each site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaoskernel import junit
from chaoskernel.junit import Case, Suite
from chaoskernel.report.journal import FAULTS
from chaoskernel.report.model import Exploration, Journal


def render(reports: Sequence[Journal | Exploration]) -> str:
    """Return a suite for each report."""
    return junit.render(Suite(report.title, list(_cases(report))) for report in reports)


def _cases(report: Journal | Exploration) -> Iterator[Case]:
    return _of_journal(report) if isinstance(report, Journal) else _of_exploration(report)


def _of_journal(run: Journal) -> Iterator[Case]:
    for span in run.spans:
        if span.lane != FAULTS:
            failure = span.state if span.state != "succeeded" else None
            yield Case(span.lane, span.label, span.end - span.begin, failure)
    for fault in run.faults:
        failure = None if fault.hits else fault.verdict or "injected nothing"
        yield Case("fault", fault.name, failure=failure)
    failure = "; ".join([run.outcome, *run.shortfalls]) if run.is_bad else None
    yield Case("experiment", "outcome", failure=failure)


def _of_exploration(found: Exploration) -> Iterator[Case]:
    for site in found.sites:
        case = Case(f"{site.fault}.{site.call}", f"{site.function} {site.id}", site.seconds)
        said = f"{site.outcome}: {site.detail}" if site.detail else site.outcome
        if site.is_bad:
            details = "\n".join([*site.frames, site.replay])
            case = case._replace(failure=said, kind=site.outcome, details=details)
        elif site.outcome in ("", "not reached"):
            case = case._replace(skipped=said or "not tried")
        yield case
