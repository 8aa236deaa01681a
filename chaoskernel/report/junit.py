"""Test results as JUnit has them, which continuous integration shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaoskernel.report.extra import require
from chaoskernel.report.journal import FAULTS
from chaoskernel.report.model import Exploration, Journal
from chaoskernel.terminal import shown

try:
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite
except ImportError:  # the extra is not installed
    JUnitXml = None  # type: ignore[assignment,misc]


def render(reports: Sequence[Journal | Exploration]) -> str:
    """Return a suite for each report: a case for each activity and fault, or for each site."""
    require(JUnitXml, "a file of test results")
    results = JUnitXml("chaoskernel")
    for report in reports:
        suite = TestSuite(_data(report.title))
        of = _of_journal(report) if isinstance(report, Journal) else _of_exploration(report)
        suite.add_testcases(list(of))
        results.add_testsuite(suite)
    written: bytes = results.tostring()  # type: ignore[no-untyped-call]
    return written.decode()


def _of_journal(run: Journal) -> Iterator[TestCase]:
    for span in run.spans:
        if span.lane != FAULTS:
            case = _case(span.lane, span.label, span.end - span.begin)
            if span.state != "succeeded":
                case.result = [Failure(_data(span.state))]
            yield case
    for fault in run.faults:
        case = _case("fault", fault.name, 0.0)
        if not fault.hits:
            case.result = [Failure(_data(fault.verdict or "injected nothing"))]
        yield case
    case = _case("experiment", "outcome", 0.0)
    if run.is_bad:
        case.result = [Failure(_data("; ".join([run.outcome, *run.shortfalls])))]
    yield case


def _of_exploration(found: Exploration) -> Iterator[TestCase]:
    for site in found.sites:
        case = _case(f"{site.fault}.{site.call}", f"{site.function} {site.id}", site.seconds)
        said = _data(f"{site.outcome}: {site.detail}" if site.detail else site.outcome)
        if site.is_bad:
            failure = Failure(said, site.outcome)
            failure.text = shown("\n".join([*site.frames, site.replay]), lines=True)
            case.result = [failure]
        elif site.outcome in ("", "not reached"):
            case.result = [Skipped(said or "not tried")]
        yield case


def _case(classname: str, name: str, seconds: float) -> TestCase:
    return TestCase(_data(name), _data(classname), round(seconds, 3))


def _data(text: str) -> str:
    """Return text of others without what XML cannot have."""
    return shown(text)
