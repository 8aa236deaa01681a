"""`chaoskernel check`: a present hook is tried, and one that can be used makes it succeed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from chaoskernel.cli import check
from chaoskernel.errors import ChaosKernelError, DeadHook, EngineError
from chaoskernel.fault.hooks import Kind
from chaoskernel.kernel import report
from chaoskernel.kernel.report import Finding
from tests.unit.fakes import FakeBackend

PRESENT = {Kind.SLAB: Finding("should_failslab", report.PRESENT)}
ABSENT = {Kind.SLAB: Finding("should_failslab", "absent", False, "CONFIG_FAILSLAB gives it")}


def checked(
    monkeypatch: pytest.MonkeyPatch,
    hooks: dict[Kind, Finding],
    *arguments: str,
    refuse: ChaosKernelError | None = None,
) -> tuple[Result, FakeBackend]:
    target = FakeBackend(refuse=refuse)
    monkeypatch.setattr(report, "hooks", lambda *_: hooks)
    monkeypatch.setattr(check, "LocalBackend", lambda: target)
    return CliRunner().invoke(check.command, arguments), target


def hook(result: Result) -> dict[str, object]:
    text = result.stdout
    found: dict[str, object] = json.loads(text)[0]
    return found


def test_a_present_hook_is_proven_by_a_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    result, target = checked(monkeypatch, PRESENT, "--json")
    assert hook(result)["state"] == "live"
    assert result.exit_code == 0
    (fault,) = target.started
    assert fault.dry_run
    assert [record.state.value for record in target.records()] == ["ended"]


def test_a_hook_that_is_never_called_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = DeadHook("it is never called", needs="another kernel")
    result, _ = checked(monkeypatch, PRESENT, "--json", refuse=refusal)
    assert (hook(result)["state"], result.exit_code) == ("dead", 1)
    assert hook(result)["remedy"] == "another kernel"


def test_an_engine_that_fails_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = checked(monkeypatch, PRESENT, "--json", refuse=EngineError("no compiler"))
    assert (hook(result)["state"], hook(result)["usable"]) == ("not proven", None)
    assert result.exit_code == 1


def test_nothing_is_started_without_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    result, target = checked(monkeypatch, PRESENT, "--no-prove", "--json")
    assert (hook(result)["state"], result.exit_code) == ("present", 0)
    assert target.started == []


def test_what_is_missing_is_shown_with_what_would_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    result, target = checked(monkeypatch, ABSENT)
    assert result.exit_code == 1
    assert target.started == []
    for text in ("should_failslab", "absent", "CONFIG_FAILSLAB"):
        assert text in result.stdout


def test_the_first_line_says_what_can_be_injected(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {**PRESENT, Kind.WRITE: Finding("write", "absent", False, "CONFIG_SECURITY")}
    result, _ = checked(monkeypatch, both, "--no-prove")
    text = " ".join(result.stdout.split())
    assert text.startswith("1 of 2 faults can be injected here: slab; write needs CONFIG_SECURITY ")


@pytest.mark.parametrize("kind", [Kind.WRITE, Kind.ALLOCATION, Kind.FSYNC], ids=str)
def test_named_faults_are_proven_too(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    found = {kind: Finding(kind.value, report.PRESENT)}
    result, target = checked(monkeypatch, found, "--json")
    assert (hook(result)["state"], result.exit_code) == ("live", 0)
    assert [(fault.kind, fault.dry_run) for fault in target.started] == [(kind, True)]


def test_a_function_that_nobody_has_named_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {Kind.FUNCTION: Finding("function", report.PRESENT)}
    result, target = checked(monkeypatch, found, "--json")
    assert (hook(result)["state"], result.exit_code, target.started) == ("present", 0, [])


def test_rows_fit_a_terminal_and_options_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = "CONFIG_FAILSLAB and CONFIG_FUNCTION_ERROR_INJECTION; here allocation is nearest"
    found = {Kind.SLAB: Finding("slab", "__x64_sys_sync_file_range: absent", False, remedy)}
    result, _ = checked(monkeypatch, found, "--no-prove")
    assert max(map(len, result.stdout.splitlines())) <= 80
    rows = result.stdout.partition("usable")[2]
    assert "CONFIG_FUNCTION_ERROR_INJECTION" in rows
    # Nothing is cut off.
    assert "range: absent" in rows
    assert "nearest" in rows
