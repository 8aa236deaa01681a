"""`chaoskernel faults`: what can fail, in the user's words, here and elsewhere."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chaoskernel.cli import faults
from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.kernel import report
from chaoskernel.kernel.report import Finding, Offer


def offers(usable: bool | None = True) -> dict[Kind, Offer]:
    """What a kernel has that lacks slab, and of which the rest is as it is said."""
    found = {
        kind: Offer(
            tuple(Finding(hook.symbol, report.PRESENT) for hook in row.hooks),
            Finding(kind.value, "present" if usable else "unknown", usable),
        )
        for kind, row in TABLE.items()
    }
    lacks = "CONFIG_FAILSLAB and CONFIG_FUNCTION_ERROR_INJECTION; here allocation is nearest"
    absent = Finding("should_failslab", "absent", False, "CONFIG_FAILSLAB")
    return {**found, Kind.SLAB: Offer((absent,), Finding("slab", "absent", False, lacks))}


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "faults", lambda *_: offers())


def listed(*arguments: str) -> Result:
    result = CliRunner().invoke(faults.command, arguments)
    assert result.exception is None, result.exception
    return result


def as_json(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(listed(*arguments, "--json").stdout)
    return found


def test_every_fault_is_listed_with_its_usual_error_first() -> None:
    found = {fault["fault"]: fault for fault in as_json()}
    assert list(found) == [kind.value for kind in Kind]
    for kind, row in TABLE.items():
        assert found[kind.value]["errors"] == list(row.errors)
        assert found[kind.value]["usual_error"] == (row.errors[0] if row.errors else None)
    text = listed().stdout
    assert [kind.value for kind in Kind if f" {kind.value} " not in text] == []


@pytest.mark.parametrize("arguments", [[], ["write"], ["allocation"], ["bio"], ["function"]])
@pytest.mark.parametrize("color", [True, False])
def test_rows_fit_a_terminal(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], color: bool
) -> None:
    if color:
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    text = listed(*arguments).stdout
    assert ("\x1b[" in text) is color, "headings are bold on a terminal"
    assert not re.search(r"\x1b\[[\d;]*3\d", text), "no colour was wanted"
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in text.splitlines()) <= 80


def test_what_is_not_usable_says_what_would_give_it_and_what_is_nearest() -> None:
    (slab,) = as_json("slab")
    assert (slab["usable"], slab["found"], slab["stand_in"]) == (False, "absent", "allocation")
    assert slab["remedy"].startswith("CONFIG_FAILSLAB and CONFIG_FUNCTION_ERROR_INJECTION")
    text = " ".join(listed("slab").stdout.split())
    assert "no: absent" in text
    assert "here allocation is nearest" in text


def test_a_fault_is_shown_in_full() -> None:
    text = listed("write").stdout
    for error in TABLE[Kind.WRITE].errors:
        assert error in text
    for words in ("pwrite64", "security_file_permission", "one is required", "int mask"):
        assert words in text
    (fork,) = as_json("fork")
    assert (fork["paths"], fork["predicate"], fork["needs_place"]) == (False, None, False)
    assert len(as_json("write")) == 1


def test_a_fault_of_sockets_shows_what_peers_it_takes() -> None:
    text = " ".join(listed("connect").stdout.split())
    assert "peers: addresses, networks, ports, Unix sockets" in text
    assert [fault["peers"] for fault in as_json("connect") + as_json("write")] == [True, False]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("pwrite64", ["write"]),
        ("ETIMEDOUT", ["connect", "recv"]),
        ("enotblk", ["mount"]),
        ("task_alloc", ["allocation", "fork"]),
    ],
)
def test_a_word_is_looked_for(word: str, expected: list[str]) -> None:
    assert [fault["fault"] for fault in as_json(word)] == expected


def test_a_word_that_nothing_has_is_one_line() -> None:
    result = CliRunner().invoke(faults.command, ["nope"])
    assert isinstance(result.exception, ChaosKernelError)
    assert str(result.exception) == (
        "no fault has to do with 'nope'; `chaoskernel faults` lists them all"
    )


def test_what_only_root_can_tell_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed().stderr == ""
    monkeypatch.setattr(report, "faults", lambda *_: offers(None))
    assert listed("write").stderr == "? is for what only root can tell; run it as root\n"
    assert as_json("write")[0]["usable"] is None


def test_names_are_completed() -> None:
    begun = faults.command.params[0].shell_complete(faults.command.make_context("x", []), "mo")
    assert [(item.value, item.help) for item in begun] == [("mount", "mount, move_mount")]
