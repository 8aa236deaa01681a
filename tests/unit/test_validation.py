"""What `chaos validate` says of wrong experiments: docs/validation.md, row by row."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import InvalidActivity
from chaoslib.experiment import ensure_experiment_is_valid, run_experiment

from chaoskernel import actions, control, probes
from chaoskernel.backend.backends import sharing
from chaoskernel.toolkit import validation
from tests.unit.fakes import FakeBackend

PAGE = Path(__file__).parents[2] / "docs/validation.md"
BASE = {"name": "f", "fault": "slab", "commands": ["db"]}
CONTROL = {
    "name": "kernel faults",
    "provider": {"type": "python", "module": "chaoskernel.control"},
}
_ROW = re.compile(
    r"^\| (?P<mistake>[^|]+) \| (?:`(?P<function>\w+)` )?`(?P<given>\{[^|]*?\})`"
    r"(?:, configuration `(?P<configuration>\{[^|]*?\})`)? \| (?P<said>[^|]+) \|$",
    re.MULTILINE,
)
ROWS = [row.groupdict() for row in _ROW.finditer(PAGE.read_text(encoding="utf-8"))]

Document = dict[str, Any]


def activity(function: str, name: str = "a", /, **arguments: Any) -> Document:
    is_probe = function in ("ensure_injected", "counters", "injection_events", "kernel_supports")
    module = "chaoskernel.probes" if is_probe else "chaoskernel.actions"
    provider = {"type": "python", "module": module, "func": function, "arguments": arguments}
    return {"type": "probe" if is_probe else "action", "name": name, "provider": provider}


def experiment(*method: Document, **parts: Any) -> Document:
    whole = {"title": "t", "description": "d", "controls": [CONTROL], "method": list(method)}
    return {**whole, **parts}


def refused(document: Document) -> list[str]:
    with pytest.raises(InvalidActivity) as caught:
        ensure_experiment_is_valid(document)
    return str(caught.value).splitlines()


def test_the_page_has_all_rows() -> None:
    assert len(ROWS) >= 33
    assert PAGE.read_text(encoding="utf-8").count("\n| ") == len(ROWS) + 1  # and the heading


@pytest.mark.parametrize("row", ROWS, ids=[row["mistake"] for row in ROWS])
def test_a_wrong_experiment_is_refused_before_it_runs(
    row: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMES", "five")
    monkeypatch.setenv("DRY", "false")
    function = row["function"] or "start_injection"
    given = json.loads(row["given"])
    base = BASE if function == "start_injection" else {}
    if function == "start_pod_injection":
        base = {"name": "f"}
    method = [activity(function, **{**base, **given})]
    if function in ("ensure_injected", "wait_for_injection", "injection_events"):
        method.insert(0, activity("start_injection", "start", **BASE))
    configuration = json.loads(row["configuration"] or "{}")
    found = refused(experiment(*method, configuration=configuration))
    said = re.escape(row["said"].strip("`")).replace("…", ".*")  # not every fault is listed
    (line,) = found
    assert re.fullmatch(rf"'a' \({function}\): {said}", line), line


def test_everything_that_is_wrong_is_said_at_once_with_the_name_of_its_activity() -> None:
    first = activity("start_injection", "first", name="f g", fault="slap", times="x", pids=["y"])
    second = activity(
        "start_injection", "second", name="g", fault="write", errno="ENOPE", paths="data"
    )
    third = activity("ensure_injected", "third", name="h", minimum=0)
    hypothesis = {"title": "h", "probes": [third | {"tolerance": True}]}
    found = refused(
        experiment(first, rollbacks=[second], **{"steady-state-hypothesis": hypothesis})
    )
    keys = [re.sub(r" \(\w+\): (\w+):.*", r" \1", line) for line in found]
    assert keys == [
        "'third' minimum",
        *(f"'first' {key}" for key in ("pids", "fault", "times", "name")),
        "'second' scope",
        "'second' errno",
        "'second' paths",
        "'third' name",
    ]


@pytest.mark.parametrize(
    "parts",
    [
        {"configuration": {"later": activity("kernel_supports")}},
        {"secrets": {"host": {"later": "a password"}}},
    ],
)
@pytest.mark.parametrize("key", ["name", "fault", "pids", "times", "errno", "callchain"])
def test_what_is_known_in_a_run_only_is_no_mistake(parts: Document, key: str) -> None:
    given = {"name": "f", "fault": "write", "any_file": True, "pids": [4711], key: "${later}"}
    ensure_experiment_is_valid(experiment(activity("start_injection", **given), **parts))
    if key != "times":  # what is known is looked at all the same
        wrong = activity("start_injection", **given, times=-1)
        (line,) = refused(experiment(wrong, **parts))
        assert "times: -1" in line


def test_text_from_the_environment_that_is_right_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PID", "4711,4712")
    configuration = {"pid": {"type": "env", "key": "PID"}}
    given = {**BASE, "pids": "${pid}"}
    document = experiment(activity("start_injection", **given), configuration=configuration)
    ensure_experiment_is_valid(document)
    with sharing(target := FakeBackend()):
        journal = run_experiment(document)
    assert target.started[0].scope.pids == (4711, 4712)
    assert journal["status"] == "completed"


def test_an_experiment_with_other_activities_is_left_alone() -> None:
    other = {"type": "action", "name": "x", "provider": {"type": "process", "path": "true"}}
    ensure_experiment_is_valid(experiment(other, activity("stop_injection")))


def test_no_activity_is_forgotten() -> None:
    looked_up = {"delete_kernel_chaos", "pause_kernel_chaos", "resume_kernel_chaos"}
    named = {*actions.__all__, *probes.__all__} - looked_up - {"kernel_chaos_state", "not_survived"}
    assert {function for _, function in validation.CHECKS} == named


def test_where_the_toolkit_does_not_show_the_experiment_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    control.validate_control(CONTROL)
    assert "arguments are checked when their activity starts" in caplog.text
