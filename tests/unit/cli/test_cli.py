"""What all commands have: help with examples, completion, and errors in lines."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from unittest import mock

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from chaoskernel.cli import _COMMANDS, cli, lab, suggestions
from tests.unit.chaosmesh.manifest.documents import SEED
from tests.unit.cli.program import PROGRAM, program


def test_every_command_is_listed() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert [name for name in _COMMANDS if f"  {name} " not in result.output] == []


@pytest.mark.parametrize(
    "name", [*sorted(_COMMANDS), *(f"lab {name}" for name in sorted(lab.command.commands))]
)
def test_the_help_of_a_command_has_examples(name: str) -> None:
    result = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert "\n  Example" in result.output
    assert f"chaoskernel {name}" in result.output.partition("\n  Example")[2]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert (result.exit_code, f"_CHAOSKERNEL_COMPLETE={shell}_complete" in result.output) == (
        0,
        True,
    )


def test_a_shell_completes_commands() -> None:
    completed = subprocess.run(
        [PROGRAM],
        env={
            "COMP_WORDS": "chaoskernel co",
            "COMP_CWORD": "1",
            "_CHAOSKERNEL_COMPLETE": "bash_complete",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.split() == ["plain,completion", "plain,convert"]


def test_what_is_wrong_with_a_document_is_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "k.yaml"
    path.write_text(SEED.replace("mode: one", "mode: x") + "    times: -1\n", encoding="utf-8")
    ended = program("convert", path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"{path}:7:9: spec.mode: 'x' is not one of one, all, fixed, fixed-percent, "
        "random-max-percent",
        f"{path}:15:12: spec.failKernRequest.times: -1 is not in 0..4294967295",
    ]
    assert ended.stdout == ""


def without_doubts(text: str) -> list[str]:
    """Return lines without those about notices that somebody else has on this host."""
    return [line for line in text.splitlines() if "has a notice that is not believed" not in line]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["convert", "/tmp"], "/tmp: it cannot be read: Is a directory"),
        (["convert", "{}"], "{}: it cannot be read: No such file or directory"),
        (["stop", "x"], "no fault named 'x' is in force on this host; there "),
        (["summary", "/dev/null"], "/dev/null is not a JSON document of up to 256 MiB; name "),
        pytest.param(
            ["summary", "/dev/zero"],
            "/dev/zero is not a JSON document of up to 256 MiB; name ",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_wrong_is_one_line_of_a_sentence(words: list[str], line: str) -> None:
    ended = program(*words)
    assert (ended.returncode, ended.stdout) == (1, "")
    (said,) = without_doubts(ended.stderr)
    assert said.startswith(line)


@pytest.mark.parametrize("words", [["--help"], ["ps", "--json"], ["gallery"]])
def test_output_that_nobody_takes_is_no_traceback(words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert without_doubts(ended.stderr) == ["the output: No space left on device"]


HOSTILE = "a\x1b]0;pwned\x07\x1b[2J\u202e"
HARMLESS = r"a\x1b]0;pwned\x07\x1b[2J\u202e"


@pytest.mark.parametrize(
    "words",
    [
        ["convert", HOSTILE],
        ["run", "-f", HOSTILE, "--pid", "1"],
        ["summary", HOSTILE],
        ["stop", HOSTILE],
        ["run", "--engine", "none", "--dry-run", "--pid-file", f"/{HOSTILE}"],
        ["run", "--spec", HOSTILE, "--pid", "2"],
        ["lab", "run", "--source", HOSTILE, "true"],
        [HOSTILE],
        ["ps", f"--{HOSTILE}"],
        ["ps", HOSTILE],
        ["ps", HOSTILE, HOSTILE],
        ["run", f"--times={HOSTILE}"],
        ["lab", HOSTILE],
    ],
)
def test_names_of_files_and_words_are_harmless_on_a_terminal(words: list[str]) -> None:
    """A shell's * may have found the file that somebody else named."""
    ended = program(*words)
    assert ended.returncode in {1, 2}
    assert ended.stderr.replace("\n", "").isprintable()
    assert "pwned" in ended.stderr


def test_a_document_is_harmless_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "chaos.yaml"
    path.write_text(json.dumps({"kind": HOSTILE, HOSTILE: HOSTILE}))
    ended = program("convert", path)
    assert ended.returncode == 1
    assert ended.stderr.replace("\n", "").isprintable()
    assert "pwned" in ended.stderr


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("chek", "there is no command 'chek'; did you mean check?"),
        ("sumary", "there is no command 'sumary'; did you mean summary?"),
        ("xyzzy", "there is no command 'xyzzy'; chaoskernel --help lists them"),
    ],
)
def test_a_misspelled_command_is_told_which_is_near(typed: str, line: str) -> None:
    ended = program(typed)
    assert ended.returncode == 2
    assert line in ended.stderr


def test_characters_that_the_output_lacks_are_spelled(tmp_path: Path) -> None:
    stack = ["h", "path_mount", "caf\u00e9"]
    fault = {"name": "f", "events": [{"stack": stack}], "counters": {}}
    path = tmp_path / "journal.json"
    path.write_text(json.dumps({"chaoskernel": {"faults": [fault]}}), encoding="utf-8")
    ended = subprocess.run(
        [PROGRAM, "summary", path],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "100"},
    )
    assert ended.returncode == 0, ended.stderr
    assert rb"h <- path_mount <- caf\xe9" in ended.stdout


def completed(*words: str) -> list[str]:
    """Return what bash proposes for the last word."""
    line = " ".join(["chaoskernel", *words])
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    with mock.patch.dict(os.environ, asked):
        proposed = BashComplete(cli, {}, "chaoskernel", "_CHAOSKERNEL_COMPLETE").complete()
    return [row.partition(",")[2] for row in proposed.splitlines()]


def test_a_shell_completes_faults_and_the_errors_that_they_document() -> None:
    assert completed("run", "--fault", "for") == ["fork"]
    assert completed("run", "--fault", "fork", "--errno", "EA") == ["EAGAIN"]
    assert "ENOTEMPTY" in completed("run", "--errno", "ENOT")


def test_a_shell_completes_functions_from_the_kernels_list_or_its_symbols(tmp_path: Path) -> None:
    listed, symbols = tmp_path / "list", tmp_path / "kallsyms"
    symbols.write_text("0 T __x64_sys_fsync\n0 T vfs_fsync\n0 T __x64_sys_fork\n")
    context = click.Context(cli)
    option = click.Option(["--function"])
    places = (listed, symbols)
    names = [each.value for each in suggestions.functions(context, option, "sys_f", places)]
    assert names == ["sys_fork", "sys_fsync"]
    listed.write_text("__x64_sys_fsync\tERRNO\nshould_failslab\tERRNO\n")
    names = [each.value for each in suggestions.functions(context, option, "s", places)]
    assert names == ["should_failslab", "sys_fsync"]
