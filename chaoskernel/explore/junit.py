"""The results as JUnit has them: a test case for each attempt, which continuous integration shows.

A case fails where its outcome is neither fine nor accepted, and is skipped where the site was not
reached.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.accept import Judged
from chaoskernel.explore.findings import Findings, Result
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.results import replay
from chaoskernel.terminal import shown


def write(findings: Findings, judged: Judged, path: Path, state: str) -> None:
    """Write the results to a file.

    :raises ChaosKernelError: it cannot be written.
    """
    tree = ET.ElementTree(suite(findings, judged, state))
    ET.indent(tree)
    try:
        tree.write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise ChaosKernelError(f"{path} cannot be written: {error.strerror}") from error


def suite(findings: Findings, judged: Judged, state: str = "") -> ET.Element:
    """Return the element of a test suite."""
    worse = {each.attempt.id for each in judged.worse}
    results = list(findings.results.values())
    unreached = [each for each in results if each.outcome is Outcome.NOT_REACHED]
    root = ET.Element(
        "testsuite",
        name=f"explore {' '.join(findings.plan.command)}",
        tests=str(len(results)),
        failures=str(len(worse)),
        errors="0",
        skipped=str(len(unreached)),
        time=f"{sum(each.seconds for each in results):.3f}",
        timestamp=findings.begun,
    )
    for each in results:
        root.append(_case(findings, each, each.attempt.id in worse, judged, state))
    return root


def _case(
    findings: Findings, result: Result, fails: bool, judged: Judged, state: str
) -> ET.Element:
    site = findings.sites[result.attempt.sites[-1]]
    where = site.site.telling.function
    entered = site.site.call or site.site.by.value
    case = ET.Element(
        "testcase",
        classname=f"{site.fault.value}.{entered}",
        name=f"{where} {result.attempt.id}",
        time=f"{result.seconds:.3f}",
    )
    said = shown(f"{result.outcome}: {result.detail}" if result.detail else result.outcome)
    if fails:
        failure = ET.SubElement(case, "failure", type=result.outcome.value, message=said)
        stack = "\n".join(map(str, site.site.places))
        failure.text = shown(f"{stack}\n{replay(result, state)}", lines=True)
    elif result.outcome is Outcome.NOT_REACHED:
        ET.SubElement(case, "skipped", message=said)
    elif result.attempt.id in judged.accepted:
        ET.SubElement(case, "system-out").text = f"accepted: {said}"
    return case
