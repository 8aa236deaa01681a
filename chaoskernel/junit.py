"""Test results as JUnit has them, which continuous integration shows.

The schema is a handful of elements; texts are somebody else's, and without what XML cannot have.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chaoskernel.terminal import shown


class Case(NamedTuple):
    """One test case.

    :param group: what it belongs to, as the name of its class.
    :param seconds: how long it took.
    :param failure: why it fails; None where it does not.
    :param kind: of the failure, in a word.
    :param details: more lines about the failure.
    :param skipped: why it was skipped; None where it was not.
    :param output: what it wrote.
    """

    group: str
    name: str
    seconds: float = 0.0
    failure: str | None = None
    kind: str = ""
    details: str = ""
    skipped: str | None = None
    output: str = ""


class Suite(NamedTuple):
    """Cases that belong together.

    :param begun: when they were run, in ISO 8601; empty where that is unknown.
    """

    name: str
    cases: Sequence[Case]
    begun: str = ""


def render(suites: Iterable[Suite]) -> str:
    """Return a document with all suites."""
    root = ET.Element("testsuites", name="chaoskernel")
    root.extend(map(_suite, suites))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(suite: Suite) -> ET.Element:
    cases = suite.cases
    found = ET.Element(
        "testsuite",
        name=shown(suite.name),
        tests=str(len(cases)),
        failures=str(sum(case.failure is not None for case in cases)),
        errors="0",
        skipped=str(sum(case.skipped is not None for case in cases)),
        time=f"{sum(case.seconds for case in cases):.3f}",
    )
    if suite.begun:
        found.set("timestamp", suite.begun)
    found.extend(map(_case, cases))
    return found


def _case(case: Case) -> ET.Element:
    found = ET.Element(
        "testcase",
        classname=shown(case.group),
        name=shown(case.name),
        time=f"{case.seconds:.3f}",
    )
    if case.failure is not None:
        failure = ET.SubElement(found, "failure", message=shown(case.failure))
        if case.kind:
            failure.set("type", case.kind)
        failure.text = shown(case.details, lines=True)
    if case.skipped is not None:
        ET.SubElement(found, "skipped", message=shown(case.skipped))
    if case.output:
        ET.SubElement(found, "system-out").text = shown(case.output, lines=True)
    return found
