"""KernelChaos objects: applied, paused, resumed, deleted, and injected at each tick."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, probes
from chaoskernel.backend.backends import sharing
from chaoskernel.backend.record import Record
from chaoskernel.chaosmesh import manifest, registry
from chaoskernel.chaosmesh.applied import Applied, InjectionSettings
from chaoskernel.errors import EngineError, MissingTool
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.unit.chaosmesh.manifest.documents import SEED, as_json, document, schedule
from tests.unit.fakes import FakeBackend

SCOPE = Scope(pids=(12,))
NAME, NAMESPACE = "kernel-chaos-example", "chaos-testing"
START = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime.datetime:
        return START + datetime.timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def target() -> Iterator[FakeBackend]:
    target = FakeBackend()
    with sharing(target):
        yield target
    assert registry.shared().delete_all() == []


def object_of(given: dict[str, Any], target: FakeBackend, clock: Clock) -> Applied:
    (chaos,) = manifest.parse(as_json(given))
    return Applied(chaos, InjectionSettings(lambda: SCOPE), target, clock)


def active(target: FakeBackend) -> list[str]:
    return [each.fault.name for each in target.records() if each.state.value == "active"]


def test_a_manifest_becomes_a_fault_in_the_scope_that_is_given(target: FakeBackend) -> None:
    actions.apply_kernel_chaos(SEED, pids=["12"], mechanism="kprobe", dry_run=True)
    assert target.started == [
        Fault(
            name=NAME,
            kind=Kind.SLAB,
            scope=SCOPE,
            callchain=(Frame("__x64_sys_mount"),),
            limits=Limits(100, 0, 24 * 3600.0),
            mechanism=Mechanism.KPROBE,
            dry_run=True,
        )
    ]


@pytest.mark.usefixtures("target")
def test_the_state_is_told_in_the_words_of_chaos_mesh() -> None:
    (state,) = actions.apply_kernel_chaos(SEED, pids=[12])["applied"]
    assert state == probes.kernel_chaos_state(NAME, NAMESPACE)
    assert state == {
        "name": NAME,
        "namespace": NAMESPACE,
        "selected": True,
        "allInjected": True,
        "allRecovered": False,
        "paused": False,
        "desiredPhase": "Run",
        "failedMessage": "",
        "containerRecords": [
            {"id": "sleep (12)", "phase": "Injected", "injectedCount": 1, "recoveredCount": 0}
        ],
        "injected": 3,
    }
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    assert "status" not in state


def test_deleting_recovers_and_forgets(target: FakeBackend) -> None:
    actions.apply_kernel_chaos(SEED, pids=[12])
    (fault,) = actions.delete_kernel_chaos(NAME, NAMESPACE)["faults"]
    assert (fault["name"], fault["state"], fault["counters"]["injected"]) == (NAME, "ended", 3)
    assert active(target) == []
    assert actions.delete_kernel_chaos(NAME, NAMESPACE) == {"faults": []}
    with pytest.raises(ActivityFailed, match="^no KernelChaos chaos-testing/kernel-chaos-example"):
        probes.kernel_chaos_state(NAME, NAMESPACE)


def test_pausing_recovers_and_resuming_injects_again(target: FakeBackend) -> None:
    actions.apply_kernel_chaos(SEED, pids=[12])
    paused = actions.pause_kernel_chaos(NAME, NAMESPACE)
    assert (paused["paused"], paused["allRecovered"], paused["desiredPhase"]) == (
        True,
        True,
        "Stop",
    )
    assert active(target) == []
    resumed = actions.resume_kernel_chaos(NAME, NAMESPACE)
    assert active(target) == [NAME]
    assert (resumed["paused"], resumed["allInjected"], resumed["injected"]) == (False, True, 6)
    (record,) = resumed["containerRecords"]
    assert (record["injectedCount"], record["recoveredCount"]) == (2, 1)
    actions.resume_kernel_chaos(NAME, NAMESPACE)
    assert len(target.started) == 2


def test_what_is_annotated_as_paused_waits_until_it_is_resumed(target: FakeBackend) -> None:
    given = document()
    given["metadata"]["annotations"] = {"experiment.chaos-mesh.org/pause": "true"}
    (state,) = actions.apply_kernel_chaos(as_json(given), pids=[12])["applied"]
    assert (state["paused"], state["selected"], state["allRecovered"]) == (True, False, True)
    assert target.started == []
    actions.resume_kernel_chaos("demo", "apps")
    assert active(target) == ["demo"]


def test_a_pause_does_not_lengthen_the_duration_nor_give_back_times(clock: Clock) -> None:
    target = FakeBackend({"reached": 9, "matched": 9, "injected": 3})
    chaos = object_of(document({"times": 10}, duration="60s"), target, clock)
    chaos.start()
    clock.seconds = 20
    chaos.pause()
    clock.seconds = 45
    chaos.resume()
    assert [fault.limits for fault in target.started] == [Limits(100, 10, 60), Limits(100, 7, 15)]


@pytest.mark.parametrize(("times", "seconds"), [(3, 1.0), (0, 60.0)])
def test_of_what_is_used_up_nothing_is_left_to_resume(
    clock: Clock, times: int, seconds: float
) -> None:
    target = FakeBackend({"reached": 9, "matched": 9, "injected": 3})
    chaos = object_of(document({"times": times}, duration="60s"), target, clock)
    chaos.start()
    chaos.pause()
    clock.seconds = seconds
    chaos.resume()
    assert len(target.started) == 1
    assert chaos.is_over()


@pytest.mark.usefixtures("target")
def test_a_name_is_taken_until_it_is_deleted_or_over() -> None:
    actions.apply_kernel_chaos(SEED, pids=[12])
    with pytest.raises(ActivityFailed, match=r"^metadata.name: .* of this name is applied .*; "):
        actions.apply_kernel_chaos(SEED, pids=[12])
    actions.stop_injection(NAME)
    assert probes.kernel_chaos_state(NAME, NAMESPACE)["desiredPhase"] == "Stop"
    actions.apply_kernel_chaos(SEED, pids=[12])


def test_of_several_documents_all_are_applied_or_none(target: FakeBackend) -> None:
    second = SEED.replace(NAME, "second")
    actions.apply_kernel_chaos(second, pids=[12])
    with pytest.raises(ActivityFailed, match="this name is applied .got 'second'"):
        actions.apply_kernel_chaos(f"{SEED}---\n{second}", pids=[12])
    assert active(target) == ["second"]


@pytest.mark.parametrize(
    ("text", "scope", "line"),
    [
        (SEED, {}, "scope: missing; .*"),
        (SEED, {"pids": 12}, "pids: 12 is not a list; .*"),
        (
            SEED.replace("failtype: 0", "failtype: 9") + "    times: -1\n",
            {"pids": [12]},
            r"the manifest is not valid: 14:15: spec.failKernRequest.failtype: 9 is not in 0..2; "
            r"15:12: spec.failKernRequest.times: -1 is not in 0..4294967295",
        ),
        ("/no.yaml", {"pids": [12]}, "/no.yaml is not valid: it cannot be read: .*"),
    ],
)
def test_what_is_wrong_is_one_line_and_starts_nothing(
    target: FakeBackend, text: str, scope: dict[str, Any], line: str
) -> None:
    with pytest.raises(ActivityFailed, match=f"^{line}$"):
        actions.apply_kernel_chaos(text, **scope)
    assert target.started == []


@pytest.mark.parametrize("name", [None, 7, ["a"], {"a": 1}, True])
@pytest.mark.parametrize(
    "look_up",
    [
        actions.delete_kernel_chaos,
        actions.pause_kernel_chaos,
        actions.resume_kernel_chaos,
        probes.kernel_chaos_state,
        lambda name, namespace: actions.stop_injection(name),
    ],
)
def test_what_is_no_name_is_refused_and_ends_nothing(
    target: FakeBackend, look_up: Callable[..., object], name: object
) -> None:
    actions.apply_kernel_chaos(SEED, pids=[12])
    with pytest.raises(ActivityFailed, match="^name: .* is not a name; put it in quotes$"):
        look_up(name, NAMESPACE)
    assert active(target) == [NAME]


def test_a_target_that_refuses_leaves_no_object() -> None:
    with sharing(FakeBackend(refuse=MissingTool("no bcc", hint="install it"))):
        with pytest.raises(ActivityFailed, match="^no bcc; install it$"):
            actions.apply_kernel_chaos(SEED, pids=[12])
        assert actions.delete_kernel_chaos(NAME, NAMESPACE) == {"faults": []}


def test_what_stays_attached_fails_the_pause() -> None:
    target = FakeBackend(stuck=True)
    (chaos,) = manifest.parse(SEED)
    stuck = Applied(chaos, InjectionSettings(lambda: SCOPE), target)
    stuck.start()
    with pytest.raises(EngineError, match="programs are loaded still"):
        stuck.pause()


def at(chaos: Applied, clock: Clock, seconds: float) -> float:
    clock.seconds = seconds
    return chaos.look()


def test_each_tick_of_a_schedule_injects_for_the_duration(
    target: FakeBackend, clock: Clock
) -> None:
    chaos = object_of(schedule(historyLimit=1), target, clock)
    assert at(chaos, clock, 0) == 600
    assert target.started == []
    assert at(chaos, clock, 600) == 600
    target.stop("demo-1")  # its deadline
    assert at(chaos, clock, 1201) == 599
    target.stop("demo-2")
    assert [(fault.name, fault.limits.duration) for fault in target.started] == [
        ("demo-1", 30.0),
        ("demo-2", 30.0),
    ]
    assert chaos.state()["schedule"] == {
        "cron": "@every 10m",
        "started": 2,
        "missed": 0,
        "forbidden": 0,
        "next": "2026-03-01T12:30:00+00:00",
        "active": [],
        "history": ["demo-2"],
    }


def test_what_no_tick_could_inject_is_refused_when_it_is_applied(target: FakeBackend) -> None:
    with pytest.raises(ActivityFailed, match="^engine: nothing fails with this engine"):
        actions.apply_kernel_chaos(as_json(schedule()), pids=[12], engine="none")
    with pytest.raises(ActivityFailed, match="^no KernelChaos apps/demo was applied"):
        probes.kernel_chaos_state("demo", "apps")


def test_each_tick_asks_for_the_scope_again(target: FakeBackend, clock: Clock) -> None:
    scopes = iter([Scope(pids=(12,)), Scope(pids=(13,))])
    (chaos,) = manifest.parse(as_json(schedule(concurrencyPolicy="Allow")))
    scheduled = Applied(chaos, InjectionSettings(lambda: next(scopes)), target, clock)
    at(scheduled, clock, 600)
    at(scheduled, clock, 1200)
    assert [fault.scope.pids for fault in target.started] == [(12,), (13,)]
    assert active(target) == ["demo-1", "demo-2"]


def test_a_run_that_lasts_forbids_the_next(target: FakeBackend, clock: Clock) -> None:
    chaos = object_of(schedule(), target, clock)
    at(chaos, clock, 600)
    at(chaos, clock, 1200)
    assert active(target) == ["demo-1"]
    assert chaos.state()["schedule"]["forbidden"] == 1


def test_a_paused_schedule_lets_its_ticks_pass(target: FakeBackend, clock: Clock) -> None:
    chaos = object_of(schedule(), target, clock)
    at(chaos, clock, 600)
    chaos.pause()
    assert active(target) == []
    at(chaos, clock, 1200)
    chaos.resume()
    assert active(target) == []
    at(chaos, clock, 1800)
    assert active(target) == ["demo-2"]
    counts = chaos.state()["schedule"]
    assert (counts["started"], counts["missed"]) == (2, 0)


def test_a_tick_that_fails_is_reported_and_the_next_one_tries_again(clock: Clock) -> None:
    target = FakeBackend(refuse=MissingTool("no bcc", hint="install it"))
    chaos = object_of(schedule(), target, clock)
    at(chaos, clock, 600)
    assert chaos.state()["failedMessage"] == "no bcc; install it"
    target.refuse = None
    at(chaos, clock, 1200)
    assert (chaos.state()["failedMessage"], active(target)) == ("", ["demo-2"])


def test_a_schedule_outlives_whatever_a_tick_comes_to(clock: Clock) -> None:
    target = FakeBackend(refuse=BlockingIOError(11, "Resource temporarily unavailable"))
    chaos = object_of(schedule(), target, clock)
    at(chaos, clock, 600)
    assert "Resource temporarily unavailable" in chaos.state()["failedMessage"]


def test_the_cause_of_a_failed_start_is_reported_and_not_what_undoing_it_came_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    second = SEED.replace(NAME, "second")
    with sharing(FakeBackend(stuck=True)):
        actions.apply_kernel_chaos(second, pids=[12])
        with pytest.raises(ActivityFailed, match="this name is applied .got 'second'"):
            actions.apply_kernel_chaos(f"{SEED}---\n{second}", pids=[12])
        assert "loaded still" in caplog.text
        assert len(registry.shared().delete_all()) == 1


def test_a_schedule_runs_by_itself_until_all_is_stopped(target: FakeBackend) -> None:
    given = schedule(schedule="@every 1s", concurrencyPolicy="Allow")
    actions.apply_kernel_chaos(as_json(given), pids=[12])
    for _ in range(500):
        if len(target.started) >= 2:
            break
        threading.Event().wait(0.01)
    actions.stop_injection()
    assert active(target) == []
    count = len(target.started)
    assert count >= 2
    threading.Event().wait(1.2)
    assert len(target.started) == count


class SlowTarget(FakeBackend):
    """Its agents are on their way until they are told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.starting = threading.Event()
        self.stopped = threading.Event()

    def start(self, fault: Fault) -> Record:
        self.starting.set()
        assert self.stopped.wait(10)
        raise EngineError("the agent was killed by SIGTERM")

    def stop(self, name: str = "") -> list[Record]:
        self.stopped.set()
        return []


def test_deleting_does_not_wait_for_a_tick_that_is_being_injected() -> None:
    target = SlowTarget()
    (chaos,) = manifest.parse(as_json(schedule(schedule="@every 1s")))
    slow = Applied(chaos, InjectionSettings(lambda: SCOPE), target)
    slow.start()
    assert target.starting.wait(10)
    assert slow.delete() == []
