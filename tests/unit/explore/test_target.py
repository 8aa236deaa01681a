"""Commands and services, played for real, beside a recorder that asks no kernel."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.keeping import keeping
from chaoskernel.explore.kernel_log import KernelLog, sorted_out
from chaoskernel.explore.observation import Attempt, Observation
from chaoskernel.explore.plan import Plan
from chaoskernel.explore.recording import Recording, Seen
from chaoskernel.explore.target import Played, Stage, Target, rest_of, target
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Hits, Phase
from tests.unit.explore.fakes import FakeRecorder, Kernel, id_of

SERVICE = "import os, pathlib, signal, time; {}; pathlib.Path('up').touch(); time.sleep(100)"
"""A service that is up once its file is there."""


@contextlib.contextmanager
def staged(plan: Plan) -> Iterator[tuple[Target, FakeRecorder]]:
    recorder = FakeRecorder()
    with keeping() as keeper:
        log = KernelLog(Path("/nonexistent"))
        recording = Recording(recorder, {Kind.SLAB: "x"})
        yield target(plan, Stage(keeper, recording, log, dict(os.environ))), recorder


def played(plan: Plan, limit: float = 20.0) -> Played:
    with staged(plan) as (one, _):
        return one.play(Attempt(), limit)


def seen_of(*words: str, limit: float = 20.0, **more: str) -> Observation:
    return played(Plan(words, **more), limit).observation  # type: ignore[arg-type]


def service(body: str, **more: str) -> Observation:
    given: dict[str, Any] = {"ready": "rm up", **more}
    python = shutil.which("python3") or "python3"
    return seen_of(python, "-S", "-c", SERVICE.format(body), **given)


def test_only_the_program_is_put_in_scope() -> None:
    plan = Plan(("sh", "-c", "true"), fixture="touch fixed", check="test -e fixed", verify="true")
    with staged(plan) as (one, recorder):
        observation = one.play(Attempt(), 20).observation
    assert len(recorder.pids) == 1
    assert (observation.steady, observation.intact) == (True, True)


def test_what_a_command_does_is_observed() -> None:
    observation = seen_of("sh", "-c", "echo out; echo err >&2; exit 3", verify="echo torn; false")
    assert observation.ending.status == 3
    assert observation.tail == "out\nerr\n"
    assert (observation.intact, observation.detail) == (False, "torn")
    assert observation.descriptors == 3


def test_command_that_does_not_end_hangs_and_is_ended() -> None:
    observation = seen_of("sleep", "1000", limit=0.3)
    assert observation.ending.hung


def test_fixture_that_fails_is_one_line() -> None:
    with pytest.raises(ChaosKernelError, match="--fixture exits with status 4: no disk"):
        seen_of("true", fixture="echo no disk; exit 4")


def test_service_works_is_checked_and_stopped() -> None:
    body = "signal.signal(15, lambda *_: os._exit(0))"
    observation = service(body, workload="echo worked", check="test ! -e up")
    assert (observation.ready, observation.workload, observation.steady) == (True, 0, True)
    assert observation.ending.status == 0
    assert (observation.descriptors or 0) >= 3
    assert observation.memory > 1 << 20


def test_service_without_a_handler_is_stopped_and_not_crashed() -> None:
    observation = service("pass")
    assert (observation.ending.status, observation.ending.signal) == (143, "")


def test_service_that_does_not_come_up_is_not_ready() -> None:
    observation = seen_of("sh", "-c", "exit 7", ready="false")
    assert (observation.ready, observation.ending.status) == (False, 7)
    assert observation.workload is None


def test_service_is_started_anew_when_its_check_fails() -> None:
    body = "n = pathlib.Path('n'); n.write_text(n.read_text() + 'x' if n.exists() else 'x')"
    observation = service(body, check="test $(cat n) = xx")
    assert (observation.steady, observation.steady_again) == (False, True)


def test_data_is_verified_after_a_start_anew() -> None:
    body = "f = open('log', 'a'); f.write('s'); f.flush()"
    assert service(body, verify="test $(cat log) = ss").intact is True
    assert service(body, verify="test $(cat log) = s").intact is False


@pytest.mark.slow
def test_experiment_decides_whether_the_state_is_steady(tmp_path: Path) -> None:
    probe = {
        "type": "probe",
        "name": "up",
        "tolerance": 0,
        "provider": {"type": "process", "path": "test", "arguments": ["-e", "nowhere"]},
    }
    experiment = {
        "title": "x",
        "description": "x",
        "steady-state-hypothesis": {"title": "x", "probes": []},
        "method": [],
    }
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(experiment), encoding="utf-8")
    assert service("pass", experiment=str(file)).steady is True
    experiment["steady-state-hypothesis"] = {"title": "x", "probes": [probe]}
    file.write_text(json.dumps(experiment), encoding="utf-8")
    observation = service("pass", experiment=str(file))
    assert (observation.steady, observation.detail) == (False, "the experiment is deviated")


def test_check_may_take_longer_than_a_run() -> None:
    observation = seen_of("true", limit=0.5, check="sleep 1", verify="sleep 1")
    assert (observation.steady, observation.intact) == (True, True)


@pytest.mark.parametrize(
    ("hits", "failed", "counts", "rest"),
    [
        (Hits.ONCE, (1,), {"a" * 10: 3}, Attempt()),
        (Hits.ONCE, (0,), {}, Attempt(("a" * 10,))),
        (Hits.PERSISTENT, (2,), {"a" * 10: 2}, Attempt(("a" * 10,), Hits.PERSISTENT)),
        (5, (0,), {"a" * 10: 3}, Attempt(("a" * 10,), 2)),
    ],
)
def test_what_did_not_fail_at_work_may_fail_at_the_stop(
    hits: Hits | int, failed: tuple[int, ...], counts: dict[str, int], rest: Attempt
) -> None:
    assert rest_of(Attempt(("a" * 10,), hits), Seen(counts, (), failed, 0)) == rest


def test_phases_of_a_site_are_those_in_which_it_was_met() -> None:
    recorder = FakeRecorder()
    recording = Recording(recorder, {Kind.SLAB: "x"})
    recording.phase(Phase.START)
    recording.begin([1])
    kernel = Kernel(recorder)
    kernel.fails("both")
    kernel.fails("start")
    recording.phase(Phase.WORK)
    kernel.fails("both")
    seen = recording.end()
    assert seen.phases == {
        id_of("both"): (Phase.START, Phase.WORK),
        id_of("start"): (Phase.START,),
    }
    recording.begin([1], Attempt((id_of("start"),)), every=False)
    for name in ("both", "start", "new"):
        kernel.fails(name)
    seen = recording.end()
    assert seen.counts == {id_of("start"): 1, id_of("new"): 1}
    assert seen.phases[id_of("start")] == (Phase.START, Phase.WORK)


def test_kernel_log_accuses_the_kernel_or_names_a_crash() -> None:
    read = sorted_out(
        [
            "db[12]: segfault at 0 ip 1 sp 2 error 4 in db",
            "WARNING: CPU: 0 PID: 3 at mm/slub.c:1 x+0x1/0x2",
            "eth0: link up",
            "INFO: task db:9 blocked for more than 120 seconds.",
            "db: page allocation failure: order:0",
        ]
    )
    assert [each[:7] for each in read.accusing] == ["WARNING", "INFO: t"]
    assert [each[:6] for each in read.crashes] == ["db[12]"]
