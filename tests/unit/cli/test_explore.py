"""`chaoskernel explore`: what is wrong is one line, before anything is attached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chaoskernel.cli import explore
from chaoskernel.cli.statuses import Status
from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore import store
from chaoskernel.explore.arguments import plan_of
from chaoskernel.explore.findings import Found
from chaoskernel.explore.findings import Result as Came
from chaoskernel.explore.observation import Attempt
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Mode, Plan
from chaoskernel.fault.hooks import Kind
from tests.unit.explore.samples import WELL, site

BAD, FINE = site("getname"), site("alloc_file")


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(explore.command, arguments)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A finished exploration."""
    path = tmp_path / "x.jsonl"
    with store.begin(path, Plan(("db",), faults=(Kind.SLAB,))) as opened:
        for each, outcome in ((BAD, Outcome.HUNG), (FINE, Outcome.SURVIVED)):
            opened.add("site", found=Found(each, Kind.SLAB).to_json())
            opened.add("result", result=Came(Attempt((each.id,)), outcome).to_json())
        opened.add("baseline", runs=[WELL.to_json()] * 2, masked=0, facts={})
        opened.add("end", why="complete")
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "command: missing; write it after --"),
        (("--", "no-such-program"), "no-such-program: there is no such command; install it"),
        (("--fault", "function", "--", "true"), "Invalid value for '--fault'"),
        (("--hits", "never", "--", "true"), "hits: 'never' is not once, persistent or the number"),
        (("--depth", "3", "--", "true"), "depth: 3 is not a whole number from 1 to 2"),
        (("--baselines", "1", "--", "true"), "baselines: 1 is not a whole number from 2 to 100"),
        (("--budget", "soon", "--", "true"), "budget: 'soon' is not a duration"),
        (("--ready", "true", "--", "true"), "ready: only for a service (got 'true'); give --start"),
        (("--start", "'", "--", "true"), 'start: "\'" is not a command: No closing quotation'),
        (("x.json",), "start: missing; name the service"),
        (("--jobs", "2", "--", "true"), "--package, --suite and --jobs are for --lab"),
        (("--gdb", "--", "true"), "--gdb and --strace are for --replay"),
        (("--resume", "--state", "/nonexistent/x"), "/nonexistent/x cannot be opened"),
        (("--state", "/nonexistent/x", "--", "true"), "/nonexistent/x cannot be opened: no such"),
        (("--directory", "/nonexistent", "--", "true"), "/nonexistent is not a directory"),
        (("--show", "--state", "/nonexistent/x"), "/nonexistent/x cannot be read"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ran(*arguments)
    said = str(result.exception) if isinstance(result.exception, ChaosKernelError) else ""
    assert message in said + result.output
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_service_and_experiment_are_told_from_a_command() -> None:
    given = {"start": "./service -p 1", "ready": "true"}
    service = plan_of(command=("bench", "-n", "5 x"), **given)
    assert (service.mode, service.workload) == (Mode.SERVICE, "bench -n '5 x'")
    assert service.command == (str(Path("service").absolute()), "-p", "1")
    experiment = plan_of(command=("e.json",), **given)
    assert (experiment.mode, experiment.workload) == (Mode.EXPERIMENT, "")
    assert plan_of(command=("sh", "-c", "x y")).mode is Mode.COMMAND


def test_results_are_shown_and_status_says_that_something_was_found(state: Path) -> None:
    result = ran("--show", "--state", str(state))
    assert result.exit_code == Status.FOUND
    assert "hung" in result.stdout
    assert "2 sites, 2 tried: 1 hung, 1 survived" in result.stdout


def test_json_is_the_document_of_results(state: Path) -> None:
    document = json.loads(ran("--show", "--json", "--state", str(state)).stdout)
    assert document["outcomes"] == {"hung": 1, "survived": 1}
    assert document["sites"][0]["replay"].endswith(f"--replay {BAD.id} --state {state}")


def test_accepted_outcomes_are_status_0(state: Path, tmp_path: Path) -> None:
    file, junit = tmp_path / "accepted.yaml", tmp_path / "junit.xml"
    assert ran("--show", "--state", str(state), "--write-accept", str(file)).exit_code == 3
    file.write_text(file.read_text(encoding="utf-8").replace("reason: ''", "reason: known"))
    result = ran("--show", "--state", str(state), "--accept", str(file), "--junit", str(junit))
    assert result.exit_code == 0
    assert "hung (accepted)" in " ".join(result.stdout.split())
    assert 'failures="0"' in junit.read_text(encoding="utf-8")


def test_replay_of_an_unknown_site_is_one_line(state: Path) -> None:
    result = ran("--replay", "0" * 10, "--state", str(state))
    assert "no site 0000000000 was found; --json lists" in str(result.exception)
