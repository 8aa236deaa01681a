"""Accepted outcomes, and JUnit's view of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore import accept, junit
from chaoskernel.explore.outcome import Outcome
from tests.unit.explore.test_results import CRASHES, FINE, findings

CRASH = f"{CRASHES.id}@persistent"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What --write-accept writes, with a reason."""
    path = tmp_path / "accepted.yaml"
    assert accept.write(findings(), path) == 1
    path.write_text(path.read_text(encoding="utf-8").replace("reason: ''", "reason: known"))
    return path


def test_without_a_file_nothing_is_accepted() -> None:
    assert [each.attempt.id for each in accept.judged(findings(), None).worse] == [CRASH]


def test_what_a_file_accepts_is_not_worse(file: Path) -> None:
    judged = accept.judged(findings(), file)
    assert judged == accept.Judged(frozenset({CRASH}), ())


def test_worse_outcome_than_the_accepted_one_is_reported(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("outcome: crashed", "outcome: degraded"), encoding="utf-8")
    assert [each.outcome for each in accept.judged(findings(), file).worse] == [Outcome.CRASHED]


def test_entry_without_a_reason_is_refused(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("reason: known", "reason: ' '"), encoding="utf-8")
    with pytest.raises(ChaosKernelError, match=f"{CRASH} has no reason; write why"):
        accept.judged(findings(), file)


def test_other_build_is_matched_by_functions(file: Path) -> None:
    found = findings()
    found.kernel = {**found.kernel, "build": "#2"}
    judged = accept.judged(found, file)
    assert (judged.worse, judged.by_functions) == ((), True)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("getname_flags", "another"), encoding="utf-8")
    assert len(accept.judged(found, file).worse) == 1


def test_reasons_survive_when_the_file_is_written_anew(file: Path) -> None:
    accept.write(findings(), file)
    assert accept.read(file)[1][0].reason == "known"


@pytest.mark.parametrize(
    "text", ["", "[]", "schema: 2", "schema: 1\naccepted: 3", "a: [", "schema: 1"]
)
def test_file_of_another_form_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ChaosKernelError, match="--write-accept writes it anew") as caught:
        accept.read(path)
    assert "\n" not in str(caught.value)


def test_junit_has_a_case_for_each_attempt(file: Path, tmp_path: Path) -> None:
    found = findings()
    path = tmp_path / "junit.xml"
    junit.write(found, accept.judged(found, None), path, "x.jsonl")
    (suite,) = ET.parse(path).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "crashed: killed by SIGSEGV"
    assert f"chaoskernel explore --replay {CRASH} --state x.jsonl" in (failure.text or "")
    accepted = junit.suite(found, accept.judged(found, file))
    assert all(case.failure is None for case in accepted.cases)
    assert f"alloc_file {FINE.id}" in [case.name for case in accepted.cases]
