"""`chaoskernel run`: what its options mean, and when it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chaoskernel.backend.record import Record
from chaoskernel.cli import logger, run
from chaoskernel.errors import ChaosKernelError, InvalidFault, InvalidManifest
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Hits, Sites
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.unit.chaosmesh.manifest.documents import SEED
from tests.unit.fakes import FakeBackend


class BriefTarget(FakeBackend):
    """Its faults end by themselves when they have been looked at so often."""

    def __init__(self, looks: int = 2, **counters: int) -> None:
        super().__init__({"reached": 9, "matched": 4, **counters})
        self._looks = looks

    def counters(self, name: str) -> dict[str, Any]:
        self._looks -= 1
        if self._looks <= 0:
            super().stop(name)
        return super().counters(name)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_LOOK_SECONDS", 0.001)


def ran(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, target: FakeBackend | None = None
) -> tuple[Result, FakeBackend]:
    used = target or BriefTarget(injected=3)
    monkeypatch.setattr(run, "LocalBackend", lambda: used)
    return CliRunner().invoke(run.command, arguments), used


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Fault:
    result, target = ran(monkeypatch, "--pid", "12", *arguments)
    assert result.exit_code == 0, result.output
    (fault,) = target.started
    return fault


def fault(**parts: Any) -> Fault:
    return Fault(**{"name": "run", "kind": Kind.SLAB, "scope": Scope(pids=(12,)), **parts})


BTRFS = (Frame("btrfs_mount"), Frame("mount_subtree"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], fault()),
        (["--spec", "mount_subtree() => btrfs_mount()"], fault(callchain=BTRFS)),
        (["--fault", "kmalloc", "--spec", "(true)"], fault()),
        (
            ["--fault", "alloc_page", "--spec", "(order == 1)"],
            fault(kind=Kind.PAGE, predicate="order == 1"),
        ),
        (
            ["--fault", "bio", "-I", "linux/blkdev.h"],
            fault(kind=Kind.BIO, headers=("linux/blkdev.h",)),
        ),
        (["-P", "0.25"], fault(limits=Limits(25))),
        (["--probability", "0.5"], fault(limits=Limits(0.5))),
        (["-c", "-1"], fault()),
        (["-c", "7"], fault(limits=Limits(times=7))),
        (["--count", "7"], fault(limits=Limits(times=7))),
        (["--times", "7", "--duration", "90s"], fault(limits=Limits(times=7, duration=90))),
        (
            ["--mechanism", "kprobe", "--dry-run", "--name", "x"],
            fault(mechanism=Mechanism.KPROBE, dry_run=True, name="x"),
        ),
        (
            [
                "--pid",
                "13",
                "--command",
                "sh",
                "--cgroup",
                "/a",
                "--container",
                "b",
                "--pid-file",
                "/c",
            ],
            fault(scope=Scope((12, 13), ("/c",), ("sh",), ("/a",), ("b",))),
        ),
        (
            ["--fault", "function", "--function", "sys_openat", "--errno", "EMFILE"],
            fault(kind=Kind.FUNCTION, function="sys_openat", errno=24),
        ),
    ],
)
def test_the_options_describe_a_fault(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: Fault
) -> None:
    assert started(monkeypatch, *arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--spec", "f("], "spec, column 2: '(' is not a parenthesis that is closed"),
        (["--duration", "soon"], "duration: 'soon' is not a duration"),
        (["--probability", "200"], "probability: 200.0 is not a percentage"),
        (["--fault", "slab", "--function", "f"], "function: 'f' is not allowed when"),
    ],
)
def test_what_is_wrong_with_them_is_one_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    result, target = ran(monkeypatch, "--pid", "12", *arguments)
    assert isinstance(result.exception, InvalidFault)
    assert str(result.exception).startswith(said)
    assert target.started == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-P", "0.5", "--probability", "50"], "--probability and -P say the same"),
        (["-P", "50"], "50.0 is not in the range 0<x<=1"),
        (["-P", "0"], "0.0 is not in the range 0<x<=1"),
        (["-c", "-2"], "-2 is not in the range x>=-1"),
        (["--fault", "disk"], "'disk' is not one of 'slab', 'page', 'bio', "),
    ],
)
def test_what_cannot_be_meant_is_a_question_of_usage(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    result, target = ran(monkeypatch, "--pid", "12", *arguments)
    assert (result.exit_code, target.started) == (2, [])
    assert said in result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kernelchaos.yaml"
    path.write_text(SEED, encoding="utf-8")
    return path


def test_a_file_describes_faults(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    found = started(monkeypatch, "-f", str(file), "--dry-run")
    assert found == fault(
        name="kernel-chaos-example",
        callchain=(Frame("__x64_sys_mount"),),
        limits=Limits(duration=24 * 3600),
        dry_run=True,
    )


@pytest.mark.parametrize("option", ["--spec", "--duration", "--name", "-I", "--probability"])
def test_what_the_file_says_is_not_said_twice(
    monkeypatch: pytest.MonkeyPatch, file: Path, option: str
) -> None:
    result, target = ran(monkeypatch, "-f", str(file), "--pid", "12", option, "1")
    assert (result.exit_code, target.started) == (2, [])
    assert f"{option} is not possible with -f" in result.output


def test_everything_that_is_wrong_with_a_file_is_told(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    file.write_text(SEED.replace("mode: one", "mode: x") + "    times: -1\n", encoding="utf-8")
    result, target = ran(monkeypatch, "-f", str(file), "--pid", "12")
    assert isinstance(result.exception, InvalidManifest)
    assert [problem.split()[0] for problem in result.exception.problems] == ["7:9:", "15:12:"]
    assert target.started == []


def test_the_counters_are_shown_when_they_change_and_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, _ = ran(monkeypatch, "--pid", "12", target=BriefTarget(5, injected=3))
    assert result.output.count("run: reached 9, matched 4, injected 3\n") == 1
    for text in ("should_failslab by fmod_ret (fake)", "sleep (12)", "stop (ended)"):
        assert text in result.output


def test_json_is_the_faults_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    result, target = ran(monkeypatch, "--pid", "12", "--json")
    assert json.loads(result.stdout) == [record.to_json() for record in target.records()]


def test_it_ends_when_its_times_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    target = FakeBackend({"reached": 9, "matched": 9, "injected": 3})
    result, _ = ran(monkeypatch, "--pid", "12", "-c", "3", "--json", target=target)
    assert json.loads(result.stdout)[0]["state"] == "ended"


class InterruptedTarget(FakeBackend):
    """Ctrl-C comes while its counters are read."""

    def counters(self, name: str) -> dict[str, Any]:
        raise KeyboardInterrupt


def test_ctrl_c_ends_it_and_the_counters_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = ran(monkeypatch, "--pid", "12", "--json", target=InterruptedTarget())
    assert result.exit_code == 0
    assert [record["state"] for record in json.loads(result.stdout)] == ["ended"]


class EndedTarget(FakeBackend):
    """A signal comes while its counters are read."""

    def counters(self, name: str) -> dict[str, Any]:
        signal.raise_signal(signal.SIGTERM)
        return super().counters(name)


def test_sigterm_ends_it_the_counters_are_told_and_the_status_is_the_signals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result, _ = ran(monkeypatch, "--pid", "12", "--json", target=EndedTarget())
    assert result.exit_code == 128 + signal.SIGTERM
    assert [record["state"] for record in json.loads(result.stdout)] == ["ended"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_sites_are_shown_and_that_nothing_failed_is_no_surprise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", said.append)
    result, target = ran(monkeypatch, "--pid", "12", "--sites", target=BriefTarget(injected=0))
    assert target.started[0].sites == Sites()
    assert "00ab54c0de" in result.output
    assert "ext4_get_tree" in result.output
    assert not said
    result, _ = ran(monkeypatch, "--pid", "12", "--sites", "--json")
    (document,) = json.loads(result.stdout)
    assert [site["count"] for site in document["sites"]] == [5, 2]


def test_a_site_that_fails_is_a_part_of_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = started(monkeypatch, "--site", "00ab54c0de", "--hits", "persistent")
    assert asked == fault(sites=Sites(("00ab54c0de",), Hits.PERSISTENT))


def test_nothing_injected_is_said_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", said.append)
    ran(monkeypatch, "--pid", "12", target=BriefTarget(injected=0))
    assert said == ["nothing was injected; check that the scope and chain are the workload's"]
    ran(monkeypatch, "--pid", "12", "--engine", "none", "--dry-run", target=BriefTarget(injected=0))
    assert len(said) == 1
    run._tell(FakeBackend(), as_json=True)  # a schedule that never ticked
    assert len(said) == 2


def test_the_program_is_printed_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "program_text", lambda fault: f"/* {fault.name} */")
    result, _ = ran(monkeypatch, "--pid", "12", "-v")
    assert result.output.startswith("/* run */\n")


class StuckTarget(FakeBackend):
    """It refuses the second fault."""

    def start(self, fault: Fault) -> Record:
        if self.started:
            raise ChaosKernelError("no room")
        return super().start(fault)


def states(records: Sequence[Record]) -> list[str]:
    return [record.state.value for record in records]


def test_of_several_documents_none_stays_when_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    second = SEED.replace("kernel-chaos-example", "second")
    file.write_text(f"{SEED}---\n{second}", encoding="utf-8")
    result, target = ran(monkeypatch, "-f", str(file), "--pid", "12", target=StuckTarget())
    assert str(result.exception) == "no room"
    assert states(target.records()) == ["ended"]


def test_a_stand_in_is_for_a_fault_and_for_a_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert started(monkeypatch, "--stand-in") == fault(stand_in=True)
    path = tmp_path / "k.yaml"
    path.write_text(SEED, encoding="utf-8")
    for options, wanted in (([], False), (["--stand-in"], True)):
        assert started(monkeypatch, "-f", str(path), *options).stand_in is wanted


def test_the_kinds_are_named_where_somebody_looks_for_them() -> None:
    for arguments in (["--help"], ["--fault", "nope", "--pid", "12"], []):
        ended = CliRunner().invoke(run.command, arguments, terminal_width=200)
        said = ended.output + str(ended.exception)
        assert [kind.value for kind in Kind if kind.value not in said] == []
