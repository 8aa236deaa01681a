"""`chaoskernel lab`: exit statuses, and what status tells."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from chaoskernel.cli import lab, lab_options
from chaoskernel.errors import LostGuest, TimeLimit
from chaoskernel.lab import guest, kernel


@pytest.mark.parametrize(("error", "status"), [(TimeLimit("late"), 124), (LostGuest("gone"), 125)])
def test_what_ends_a_guest_has_an_exit_status(error: Exception, status: int) -> None:
    with pytest.raises(SystemExit) as left, lab.exit_statuses():
        raise error
    assert left.value.code == status


def test_a_variable_without_a_value_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOS_GIVEN", "here")
    passed = lab_options.variables(("CHAOS_GIVEN", "CHAOS_EMPTY=", "CHAOS_SET=a=b"))
    assert passed == {"CHAOS_GIVEN": "here", "CHAOS_EMPTY": "", "CHAOS_SET": "a=b"}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("CHAOS_ABSENT", "there is no variable CHAOS_ABSENT here; write CHAOS_ABSENT=VALUE"),
        ("=x", "'' is not the name of a variable; write NAME=VALUE"),
        ("", "'' is not the name of a variable; write NAME=VALUE"),
        ("-u=x", "'-u' is not the name of a variable; write NAME=VALUE"),
        ("A B=x", "'A B' is not the name of a variable; write NAME=VALUE"),
    ],
)
def test_what_is_no_variable_is_refused(
    monkeypatch: pytest.MonkeyPatch, setting: str, said: str
) -> None:
    monkeypatch.delenv("CHAOS_ABSENT", raising=False)
    with pytest.raises(click.UsageError) as refused:
        lab_options.variables((setting,))
    assert refused.value.message == said


def test_status_is_readable_by_programs(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        lab.command, ["status", "--json"], env={"CHAOSKERNEL_CACHE": str(tmp_path)}
    )
    facts = json.loads(result.output)
    assert result.exit_code == 0
    assert facts["cache"] == str(tmp_path)
    assert facts["kernel"] in {"running", "cached", "none"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--memory", "banana"),
        ("--memory", "0G"),
        ("--timeout", "nan"),
        ("--timeout", "-5"),
        ("--timeout", "1e9"),
        ("--cpus", "0"),
        ("--env", "CHAOS_NOBODY_SET_THIS"),
        ("--env", "=x"),
        ("--rw", "/nonexistent"),
        ("--source", "newest"),
        ("--source", "../6.1"),
        ("--config", "/nonexistent"),
        ("--config", __file__),
        ("--package", ""),
        ("--package", "-oDir::Etc=/x"),
        ("--package", "Linux"),
        ("--package", "linux-image-amd64="),
        ("--package", "linux-image-amd64 bash"),
        ("--package", "/nonexistent"),
        ("--package", "absent.deb"),
        ("--package", "/"),
        ("--suite", "-x"),
        ("--suite", "unstable main"),
        ("--suite", "../unstable"),
        ("--suite", "/"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_built(option: str, value: str) -> None:
    ended = CliRunner().invoke(lab.command, ["run", option, value, "--", "true"])
    assert ended.exit_code == 2
    assert f"Invalid value for '{option}'" in ended.output


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--package", "linux-image-amd64", "--source", "6.12"], "leave out --source"),
        (["--suite", "unstable", "--source", "6.12"], "leave out --source"),
        (
            ["--arch", "arm64", "--package", "linux-image-arm64", "--source", "6.12"],
            "leave out --source",
        ),
        (["--arch", "riscv64"], "is not 'arm64'"),
        (["--package", "FILE.deb", "--suite", "unstable"], "leave out --suite"),
        (["--package", "linux-image-amd64", "--package", "bash"], "files only"),
        (["--package", "FILE.deb", "--package", "linux-image-amd64"], "files only"),
    ],
)
@pytest.mark.parametrize("command", [["build"], ["run", "--", "true"], ["shell"]])
def test_options_that_exclude_each_other_are_refused(
    tmp_path: Path, command: list[str], options: list[str], problem: str
) -> None:
    (tmp_path / "FILE.deb").touch()
    given = [str(tmp_path / word) if word == "FILE.deb" else word for word in options]
    ended = CliRunner().invoke(lab.command, [command[0], *given, *command[1:]])
    assert ended.exit_code == 2
    assert problem in ended.output


def test_build_asks_for_the_newest_package_and_run_takes_what_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[kernel.Wanted, bool]] = []
    found = kernel.Kernel(tmp_path / "vmlinuz", "6.1", None, "stock")

    def find_or_build(
        _progress: object, wanted: kernel.Wanted, *, newest: bool = False
    ) -> kernel.Kernel:
        asked.append((wanted, newest))
        return found

    monkeypatch.setattr(kernel, "find_or_build", find_or_build)
    monkeypatch.setattr(guest, "acceleration", lambda _: "tcg")
    monkeypatch.setattr(guest, "run", lambda *_, **__: 0)
    options = ["--package", "linux-image-amd64", "--suite", "unstable"]
    wanted = kernel.Wanted(packages=("linux-image-amd64",), suite="unstable")
    for words in (["build", *options], ["run", *options, "--", "true"]):
        assert CliRunner().invoke(lab.command, words).exit_code == 0
    assert asked == [(wanted, True), (wanted, False)]
