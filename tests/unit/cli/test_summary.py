"""`chaoskernel summary` tells from a journal what the kernel was made to do."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.cli.summary import command
from chaoskernel.errors import ChaosKernelError
from chaoskernel.report.facts import chain

FAULT: dict[str, Any] = {
    "name": "mount-enomem",
    "fault": "slab",
    "hook": "should_failslab",
    "mechanism": "fmod_ret",
    "engine": "bcc",
    "callchain": [
        {"symbol": "__x64_sys_mount", "mechanism": "fentry"},
        {"symbol": "path_mount", "mechanism": "fentry"},
    ],
    "targets": [{"pid": 812, "command": "mount_loop"}],
    "state": "ended",
    "armed_at": "2026-01-01T00:00:00+00:00",
    "ended_at": "2026-01-01T00:00:08.250000+00:00",
    "reason": "stop",
    "counters": {
        "reached": 40,
        "matched": 9,
        "injected": 4,
        "held_probability": 5,
        "held_times": 0,
        "frames": [
            {"symbol": "__x64_sys_mount", "entered": 12, "matched": 12},
            {"symbol": "path_mount", "entered": 13, "matched": 12},
        ],
        "processes": [
            {"pid": 812, "command": "mount_loop", "injected": 1},
            {"pid": 815, "command": "mount", "injected": 3},
        ],
    },
    "events": [
        {"stack": ["should_failslab+0x1"]},
        {"stack": ["should_failslab+0x1", "__kmalloc+0x5f", "path_mount+0x20"]},
    ],
}


def journal(tmp_path: Path, **parts: Any) -> Path:
    path = tmp_path / "journal.json"
    document = {
        "status": "completed",
        "deviated": False,
        "experiment": {"title": "mount survives"},
        "chaoskernel": {"faults": [FAULT], "shortfalls": []},
        **parts,
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def shown(path: Path, *options: str) -> str:
    result = CliRunner().invoke(command, [str(path), *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_record_shows_what_was_asked_for_where_it_was_most_often_and_what_came_of_it(
    tmp_path: Path,
) -> None:
    stacks = [{"count": n, "hook": "h", "stack": ["h", f"caller{n}"]} for n in (9, 7, 2, 1)]
    record = {
        **FAULT,
        "summary": "slab fails with ENOMEM for processes 812; always, for 5m",
        "verdict": "4 calls failed, of 40 that the scope made",
        "stacks": stacks,
        "stacks_of": 3,
    }
    part = {"verdict": "completed: fine", "faults": [record], "shortfalls": []}
    output = shown(journal(tmp_path, chaoskernel=part))
    seen = rows(output)
    assert seen["asked for"] == record["summary"]
    assert seen["verdict"] == record["verdict"]
    assert seen["most often in"] == "(9) caller9 → h"
    assert "(2) caller2 → h" in output
    assert "caller1" not in output
    assert "(of 3 whose stacks were kept)" in output
    assert "last one" not in seen
    assert output.rstrip().splitlines()[-1] == "completed: fine"


def rows(output: str) -> dict[str, str]:
    """Return the table's rows by their labels."""
    cells = [line[1:-1].split("│") for line in output.splitlines() if line.count("│") == 3]
    return {label.strip(): value.strip() for label, value in cells if label.strip()}


def test_each_fact_of_a_fault_has_a_row(tmp_path: Path) -> None:
    output = shown(journal(tmp_path))
    assert output.splitlines()[0] == "mount survives: completed"
    assert rows(output) == {
        "hook": "should_failslab by fmod_ret (bcc)",
        "call chain": "__x64_sys_mount (12 of 12) → path_mount (12 of 13)",
        "targets": "mount_loop (812)",
        "reached": "40",
        "matched": "9",
        "injected": "4",
        "held back": "5 by probability",
        "hit": "mount (815): 3, mount_loop (812): 1",
        "last one": "should_failslab ← __kmalloc ← path_mount",
        "in force": "8.2 s, 2026-01-01 from 00:00:00 to 00:00:08 UTC",
        "ended by": "stop (ended)",
    }


def test_the_last_injection_with_a_stack_is_shown(tmp_path: Path) -> None:
    without = {"stack": [], "stack_kept": False}
    fault = FAULT | {"events": [*FAULT["events"], without]}
    output = shown(journal(tmp_path, chaoskernel={"faults": [fault]}))
    assert rows(output)["last one"] == "should_failslab ← __kmalloc ← path_mount"
    output = shown(journal(tmp_path, chaoskernel={"faults": [FAULT | {"events": [without]}]}))
    assert "last one" not in rows(output)


def test_what_a_fault_did_not_see_has_rows(tmp_path: Path) -> None:
    counters = FAULT["counters"] | {"untracked": 3, "unlisted": 7, "unfollowed_mounts": 2}
    fault = FAULT | {"counters": counters, "left_out": ["32-bit callers: __ia32_sys_mount"]}
    output = shown(journal(tmp_path, chaoskernel={"faults": [fault]}))
    text = " ".join(output.replace("│", " ").split())
    assert "left out 32-bit callers: __ia32_sys_mount" in text
    assert "not followed 3 processes, threads or control groups: a table was full; 2 ch" in text
    assert "2 changes of what is mounted below the paths: too many file systems, or one" in text
    assert "7 more requests, by processes beyond those that are listed" in text


def test_a_run_that_deviated_says_so_and_why(tmp_path: Path) -> None:
    part = {"faults": [], "shortfalls": ["fault 'a' injected nothing"]}
    output = shown(journal(tmp_path, deviated=True, chaoskernel=part))
    assert output.splitlines() == [
        "mount survives: deviated",
        "short of its aim: fault 'a' injected nothing",
    ]


def test_what_is_unknown_is_not_shown_as_zero(tmp_path: Path) -> None:
    lost = FAULT | {"counters": {}, "ended_at": "", "reason": "[killed]", "state": "lost"}
    table = rows(shown(journal(tmp_path, chaoskernel={"faults": [lost]})))
    assert (table["reached"], table["injected"]) == ("unknown", "unknown")
    assert table["in force"] == "unknown"
    assert table["ended by"] == "[killed] (lost)"


@pytest.mark.parametrize(
    ("target", "shown_as"),
    [({"command": "mkdir"}, "every mkdir"), ({"cgroup": "/a.slice"}, "/a.slice")],
)
def test_commands_and_control_groups_are_targets_too(
    tmp_path: Path, target: dict[str, str], shown_as: str
) -> None:
    table = rows(shown(journal(tmp_path, chaoskernel={"faults": [FAULT | {"targets": [target]}]})))
    assert table["targets"] == shown_as


def test_a_dry_run_tells_what_would_have_failed(tmp_path: Path) -> None:
    counters = {"reached": 9, "matched": 4, "injected": 0, "held_dry_run": 4}
    dry = FAULT | {"dry_run": True, "counters": counters}
    table = rows(shown(journal(tmp_path, chaoskernel={"faults": [dry]})))
    assert (table["injected"], table["would have failed"]) == ("0", "4")


def test_a_fault_without_a_chain_on_every_process_says_so(tmp_path: Path) -> None:
    wide = FAULT | {"callchain": [], "targets": [{"system_wide": True}], "counters": {}}
    table = rows(shown(journal(tmp_path, chaoskernel={"faults": [wide]})))
    assert (table["call chain"], table["targets"]) == ("any", "the whole system")


def test_json_is_the_journals_part_with_the_outcome(tmp_path: Path) -> None:
    assert json.loads(shown(journal(tmp_path), "--json")) == {
        "status": "completed",
        "faults": [FAULT],
        "shortfalls": [],
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, r"journal.json cannot be read: No such file or directory; name the journal .*"),
        ("not json", r"journal.json is not a JSON document of up to 256 MiB; name the journal .*"),
        ("[]", r"journal.json has no part named chaoskernel; declare the control .*"),
        ('{"status": "completed"}', r"journal.json has no part named chaoskernel; .*"),
        ('{"chaoskernel": {}}', r"journal.json has no part named chaoskernel; .*"),
        (
            "[" * 100_000,
            r"journal.json is not a JSON document of up to 256 MiB; name the journal .*",
        ),
        ('{"chaoskernel": {"faults": [7]}}', r"journal.json has a part .* cannot read; --json .*"),
    ],
)
def test_what_is_no_such_journal_is_one_line(tmp_path: Path, text: str | None, line: str) -> None:
    path = tmp_path / "journal.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ChaosKernelError, match=rf"/{line}$"):
        CliRunner().invoke(command, [str(path)], catch_exceptions=False)


def test_a_journal_of_bytes_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ChaosKernelError, match=r"is not a JSON document"):
        CliRunner().invoke(command, [str(path)], catch_exceptions=False)


HOSTILE = "\x1b]0;pwned\x1b\\\x1b[2J\x1b]52;c;cm0K\x07\u202egpj\x9b31m\x7f\r\n\u200b\ud800"
HARMLESS = r"\x1b]0;pwned\x1b\\x1b[2J\x1b]52;c;cm0K\x07\u202egpj\x9b31m\x7f\x0d\x0a\u200b\ud800"


def hostile(value: Any) -> Any:
    """Return a document with hostile text in place of each text but times and symbols' names."""
    if isinstance(value, dict):
        return {key: hostile(each) for key, each in value.items()}
    if isinstance(value, list):
        return [hostile(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def test_text_of_others_is_harmless_on_a_terminal(tmp_path: Path) -> None:
    part = {"faults": [hostile(FAULT)], "shortfalls": [HOSTILE]}
    path = journal(tmp_path, experiment={"title": HOSTILE}, status=HOSTILE, chaoskernel=part)
    result = CliRunner().invoke(command, [str(path)], env={"COLUMNS": "2000"})
    assert result.exit_code == 0
    assert result.output.replace("\n", "").isprintable()
    # title, status, shortfall; name; hook, mechanism, engine; two frames, a target, two
    # processes; three places of a stack; reason and state
    assert result.output.count(HARMLESS) == 3 + 1 + 3 + 5 + 3 + 2
    assert rows(result.output)["in force"] == "unknown"


def test_json_has_no_control_character_either(tmp_path: Path) -> None:
    part = {"faults": [hostile(FAULT)], "shortfalls": []}
    output = shown(journal(tmp_path, chaoskernel=part), "--json")
    assert output.replace("\n", "").isprintable()
    assert json.loads(output)["faults"][0]["reason"] == HOSTILE


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "journal.json"
    path.write_text(text, encoding="utf-8")
    return path


NUMBERS = ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "9" * 4000, "9" * 9999, "-1", "1.5"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_that_no_counter_has_are_unknown(tmp_path: Path, number: str) -> None:
    keys = ("reached", "matched", "injected", "held_times", "held_dry_run")
    counters = {
        **dict.fromkeys(keys, "NUMBER"),
        "frames": [{"symbol": "f", "entered": "NUMBER", "matched": "NUMBER"}],
        "processes": [{"pid": 7, "command": "x", "injected": "NUMBER"}],
    }
    part = {"faults": [{**FAULT, "dry_run": True, "counters": counters}], "shortfalls": []}
    text = json.dumps({"status": "completed", "chaoskernel": part})
    path = written(tmp_path, text.replace('"NUMBER"', number))
    table = rows(shown(path))
    assert table["injected"] == table["matched"] == table["would have failed"] == "unknown"
    assert table["hit"] == "x (7): unknown"
    assert table["call chain"] == "f (unknown of unknown)"
    assert json.loads(shown(path, "--json"), parse_constant=pytest.fail)


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("depth", [300, 900, 100_000])
def test_a_deep_journal_is_one_line_or_shown(
    tmp_path: Path, depth: int, options: list[str]
) -> None:
    deep = "[" * depth + "]" * depth
    for part in (
        f'"status": {deep}, "chaoskernel": {{"faults": []}}',
        f'"experiment": {{"title": {deep}}}, "chaoskernel": {{"faults": []}}',
        f'"chaoskernel": {{"faults": [{{"reason": {deep}}}]}}',
        f'"chaoskernel": {{"faults": [{deep}]}}',
        f'"chaoskernel": {{"faults": [], "shortfalls": [{deep}]}}',
    ):
        path = written(tmp_path, f"{{{part}}}")
        result = CliRunner().invoke(command, [str(path), *options])
        assert result.exit_code == 0 or isinstance(result.exception, ChaosKernelError)


WRONG: st.SearchStrategy[object] = st.sampled_from(
    [None, 7, "x", [], {}, [7], {"a": 1}, [{}], True, -1.5, math.inf, -math.inf, math.nan, 10**4000]
)


@given(st.sampled_from(sorted(FAULT)), WRONG, WRONG, st.booleans())
def test_no_journal_does_more_than_be_refused(
    key: str, value: object, other: object, inside: bool
) -> None:
    counters = {**FAULT["counters"], "frames": value, "processes": other}
    fault = {**FAULT, "counters": counters} if inside else {**FAULT, key: value}
    document = {"experiment": other, "chaoskernel": {"faults": [fault], "shortfalls": other}}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        result = CliRunner().invoke(command, [str(path)])
    assert result.exit_code == 0 or isinstance(result.exception, ChaosKernelError)


def test_it_names_no_more_processes_than_a_table_has_room_for(tmp_path: Path) -> None:
    hits = [{"pid": n, "command": "x", "injected": n} for n in range(1, 8)]
    fault = {**FAULT, "counters": {"processes": hits}, "events": []}
    table = rows(shown(journal(tmp_path, chaoskernel={"faults": [fault], "shortfalls": []})))
    assert table["hit"] == "x (7): 7, x (6): 6, x (5): 5, x (4): 4, and 3 more"
    assert "last one" not in table


def test_what_does_not_work_has_a_row(tmp_path: Path) -> None:
    warned = {**FAULT, "warnings": ["stacks have no names", "[slow]"]}
    table = rows(shown(journal(tmp_path, chaoskernel={"faults": [warned], "shortfalls": []})))
    assert table["warning"] == "stacks have no names; [slow]"


def test_a_rehearsal_is_told_from_a_fault(tmp_path: Path) -> None:
    rehearsal = {**FAULT, "engine": "none", "dry_run": True}
    path = journal(tmp_path, chaoskernel={"faults": [rehearsal], "shortfalls": []})
    shown = CliRunner().invoke(command, [str(path)]).output
    assert "should_failslab (a rehearsal: not attached)" in shown


def test_a_frame_without_both_of_its_counts_is_its_symbol() -> None:
    """A notice's frames hold any texts; one with a count alone would end `ps`."""
    assert chain([{"symbol": "f", "entered": "x"}, {"symbol": "g", "matched": "y"}]) == "f → g"
    assert chain([{"symbol": "f", "entered": 3, "matched": 2}]) == "f (2 of 3)"


def test_a_stand_in_is_labelled(tmp_path: Path) -> None:
    label = {"fault": "allocation", "stand_in_for": "slab"}
    path = journal(tmp_path, chaoskernel={"faults": [{**FAULT, **label}], "shortfalls": []})
    shown = " ".join(CliRunner().invoke(command, [str(path)]).output.split())
    assert "allocation for slab, which this kernel lacks" in shown
    plain = journal(tmp_path, chaoskernel={"faults": [FAULT], "shortfalls": []})
    assert "stands in" not in CliRunner().invoke(command, [str(plain)]).output


def test_a_picture_shows_what_the_terminal_shows(tmp_path: Path) -> None:
    picture = tmp_path / "summary.svg"
    result = CliRunner().invoke(command, [str(journal(tmp_path)), "--svg", str(picture)])
    assert result.exit_code == 0
    assert "fault mount-enomem" in result.output
    drawn = ElementTree.parse(picture).getroot()
    shown = " ".join("".join(drawn.itertext()).split())
    for words in ("fault mount-enomem", "should_failslab", "injected", "4"):
        assert words in shown


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    arguments = [str(journal(tmp_path)), "--svg", str(tmp_path / "missing" / "summary.svg")]
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, ChaosKernelError)
    assert str(result.exception).endswith("No such file or directory; name another file with --svg")


def test_a_picture_of_json_is_refused(tmp_path: Path) -> None:
    arguments = [str(journal(tmp_path)), "--json", "--svg", str(tmp_path / "summary.svg")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert not (tmp_path / "summary.svg").exists()
