"""`chaoskernel convert` writes an experiment that the toolkit takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from chaoskernel import actions
from chaoskernel.backend.backends import sharing
from chaoskernel.chaosmesh.manifest import parse
from chaoskernel.cli import logger
from chaoskernel.cli.convert import command
from chaoskernel.errors import InvalidFault, InvalidManifest
from chaoskernel.fault.scope import Scope
from tests.unit.chaosmesh.manifest.documents import SEED, as_json, document, schedule
from tests.unit.fakes import FakeBackend

CHAOS = Path(sys.executable).with_name("chaos")

FULL = as_json(
    document(
        {
            "failtype": 2,
            "headers": ["linux/blkdev.h"],
            "callchain": [
                {"funcname": "vfs_read"},
                {"funcname": "f", "parameters": "int a", "predicate": "a > 3"},
                {"predicate": "bio->bi_iter.bi_sector == 128"},
            ],
            "probability": 7,
            "times": 9,
        },
        mode="fixed",
        value="2",
        duration="1m30s",
    )
)


def converted(directory: Path, text: str, *options: str, name: str = "e.json") -> Result:
    source = directory / "kernelchaos.yaml"
    source.write_text(text, encoding="utf-8")
    return CliRunner().invoke(command, [str(source), "-o", str(directory / name), *options])


def experiment(directory: Path, text: str, *options: str) -> dict[str, Any]:
    result = converted(directory, text, *options)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((directory / "e.json").read_text(encoding="utf-8"))
    return found


def calls(found: dict[str, Any], part: str = "method") -> list[str]:
    return [
        activity["provider"].get("func", activity["provider"].get("path"))
        for activity in found[part]
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e.json", "e.yaml"])
@pytest.mark.parametrize("text", [SEED, FULL, f"{SEED}---\n{as_json(document())}"])
def test_the_toolkit_finds_it_valid(tmp_path: Path, text: str, name: str) -> None:
    assert converted(tmp_path, text, name=name).exit_code == 0
    validated = subprocess.run(
        [CHAOS, "--no-version-check", "--no-log-file", "validate", tmp_path / name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert validated.returncode == 0, validated.stdout
    assert "experiment syntax and semantic look valid" in validated.stdout


def test_it_starts_holds_looks_stops_and_rolls_back(tmp_path: Path) -> None:
    found = experiment(tmp_path, FULL)
    assert calls(found) == ["start_injection", "sleep", "ensure_injected", "stop_injection"]
    assert calls(found, "rollbacks") == ["stop_injection"]
    assert found["method"][1]["provider"]["arguments"] == ["90"]
    assert found["runtime"]["rollbacks"]["strategy"] == "always"
    assert found["controls"][0]["provider"]["module"] == "chaoskernel.control"
    assert found["steady-state-hypothesis"]["probes"][0]["tolerance"] == 0
    assert "pods of apps by mode fixed 2" in found["description"]


def test_of_several_faults_the_longest_is_held(tmp_path: Path) -> None:
    text = f"{FULL}\n---\n{SEED}---\n" + as_json(document(duration="10s")).replace("demo", "c")
    found = experiment(tmp_path, text)
    assert calls(found) == [
        *["start_injection"] * 3,
        "sleep",
        *["ensure_injected"] * 3,
        *["stop_injection"] * 3,
    ]
    assert found["method"][3]["provider"]["arguments"] == ["90"]


@pytest.mark.parametrize("text", [SEED, FULL])
def test_it_injects_what_the_document_says(tmp_path: Path, text: str) -> None:
    found = experiment(tmp_path, text, "--pid", "12")
    target = FakeBackend()
    with sharing(target):
        actions.start_injection(**found["method"][0]["provider"]["arguments"])
    (chaos,) = parse(text)
    (fault,) = target.started
    expected = chaos.fault(Scope(pids=(12,)))
    assert (fault.callchain, fault.predicate, fault.headers, fault.scope, fault.kind) == (
        expected.callchain,
        expected.predicate,
        expected.headers,
        expected.scope,
        expected.kind,
    )
    assert (fault.limits.probability, fault.limits.times) == (
        expected.limits.probability,
        expected.limits.times,
    )
    assert fault.limits.duration == (chaos.duration or 300.0)


def test_a_scope_that_is_named_is_written(tmp_path: Path) -> None:
    found = experiment(tmp_path, SEED, "--command", "mount", "--pid", "12", "--pid", "13")
    arguments = found["method"][0]["provider"]["arguments"]
    assert (arguments["commands"], arguments["pids"]) == (["mount"], [12, 13])
    assert "configuration" not in found
    wide = experiment(tmp_path, SEED, "--system-wide")
    assert wide["method"][0]["provider"]["arguments"]["system_wide"] is True


def test_without_one_it_is_a_process_that_the_environment_names(tmp_path: Path) -> None:
    found = experiment(tmp_path, SEED)
    assert found["method"][0]["provider"]["arguments"]["pid_files"] == ["${pid_file}"]
    assert found["configuration"]["pid_file"]["key"] == "CHAOSKERNEL_PID_FILE"


def test_a_schedule_is_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda text, *words: said.append(text % words))
    found = experiment(tmp_path, as_json(schedule()))
    assert said == ["the schedule of demo is left out; run the experiment by cron"]
    assert "Its schedule, @every 10m, is left out." in found["description"]


def test_it_is_printed_where_no_file_is_named(tmp_path: Path) -> None:
    source = tmp_path / "k.yaml"
    source.write_text(SEED, encoding="utf-8")
    result = CliRunner().invoke(command, [str(source)])
    assert json.loads(result.stdout)["tags"] == ["kernel", "slab"]


def test_yaml_is_written_where_the_name_asks_for_it(tmp_path: Path) -> None:
    converted(tmp_path, SEED, name="e.yml")
    assert yaml.safe_load((tmp_path / "e.yml").read_text()) == experiment(tmp_path, SEED)


def test_a_wrong_document_or_scope_writes_nothing(tmp_path: Path) -> None:
    result = converted(tmp_path, SEED.replace("failtype: 0", "failtype: 9"))
    assert isinstance(result.exception, InvalidManifest)
    result = converted(tmp_path, SEED, "--pid", "1")
    assert isinstance(result.exception, InvalidFault)
    assert not (tmp_path / "e.json").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    result = converted(tmp_path, SEED, name="no/e.json")
    assert "cannot be written: No such file" in str(result.exception)


def test_names_that_a_kernel_will_refuse_are_warned_of_and_what_to_write_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda text, *words: said.append(text % words))
    names = ("sys_mount", "read", "openat", "path_mount", "kmalloc", "")
    text = as_json(document({"failtype": 0, "callchain": [{"funcname": name} for name in names]}))
    found = experiment(tmp_path, text)
    assert found["method"][0]["provider"]["arguments"]["callchain"][1] == "read"
    refused = "is not a function, and a kernel will refuse it"
    assert said == [
        f"demo: callchain[1].funcname: 'read' {refused}; for the system call write sys_read",
        f"demo: callchain[2].funcname: 'openat' {refused}; for the system call write sys_openat",
        f"demo: callchain[4].funcname: 'kmalloc' {refused}; fault slab fails the allocations it "
        "makes; a frame is a function that calls it, such as sys_mount",
    ]
