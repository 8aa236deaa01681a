"""`chaoskernel run`: what its options mean, and when it ends."""

from __future__ import annotations

import datetime
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chaoskernel.cli import logger, run
from chaoskernel.cli.statuses import Status
from chaoskernel.errors import InvalidFault, InvalidManifest
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Hits, Sites
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism, Stacks
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
        (["--stacks", "none"], fault(stacks=Stacks.NONE)),
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
        (["--fault", "slab", "--function", "f"], "function: only for fault: function"),
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
        (["--fault", "function", "--spec", "f()"], "--fault function needs --function NAME"),
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


def test_everything_that_is_wrong_with_a_file_is_reported(
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


def test_ctrl_c_ends_it_and_the_counters_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = ran(monkeypatch, "--pid", "12", "--json", target=InterruptedTarget())
    assert result.exit_code == 0
    assert [record["state"] for record in json.loads(result.stdout)] == ["ended"]


class EndedTarget(FakeBackend):
    """A signal comes while its counters are read."""

    def counters(self, name: str) -> dict[str, Any]:
        signal.raise_signal(signal.SIGTERM)
        return super().counters(name)


def test_sigterm_ends_it_the_counters_are_reported_and_the_status_is_the_signals(
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


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--json"]])
def test_nothing_injected_is_said_aloud_and_has_a_status(
    monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda text, *parts: said.append(text % parts))
    result, _ = ran(monkeypatch, "--pid", "12", *options, target=BriefTarget(reached=9, matched=0))
    assert result.exit_code == int(Status.NOTHING_INJECTED)
    assert said == [
        "nothing was injected: such calls were made 9 times, none at the place that was asked for "
        "(`chaoskernel watch` shows theirs)"
    ]


def test_a_rehearsal_and_a_schedule_that_never_ticked_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda text, *parts: said.append(text % parts))
    rehearsal = ("--engine", "none", "--dry-run")
    result, _ = ran(monkeypatch, "--pid", "12", *rehearsal, target=BriefTarget(injected=0))
    assert (result.exit_code, said) == (0, [])
    assert not run._tell(FakeBackend(), as_json=True)
    assert said == ["nothing was injected: nothing was started"]


def test_it_says_what_it_starts_when_it_ends_and_how_to_end_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = ("--pid", "12", "--fault", "fork", "--errno", "EAGAIN", "--times", "9")
    result, _ = ran(monkeypatch, *asked)
    assert result.stderr.startswith(
        "run: fork fails with EAGAIN for processes 12; always, 9 times at most, for 5m; starting"
    )
    end = datetime.datetime.fromisoformat("2026-01-01T00:05:00+00:00").astimezone()
    line = f"run: in force until {end:%H:%M:%S}, or after 9 injections; Ctrl-C ends it"
    assert line in result.stdout


def test_a_missing_scope_names_the_options_that_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    result, target = ran(monkeypatch, "--fault", "fork")
    assert (result.exit_code, target.started) == (2, [])
    for option in ("--pid, --pid-file, --command, --cgroup or --container", "--system-wide"):
        assert option in " ".join(result.output.split())


def test_the_first_process_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = ran(monkeypatch, "--pid", "1")
    assert "every other one descends from it" in str(result.exception)
