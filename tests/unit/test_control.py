"""The control, under the toolkit's own runner."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable
from typing import Any

import pytest
from chaoslib.experiment import run_experiment
from chaoslib.types import Dry, Strategy

from chaoskernel import control
from chaoskernel.backend.agent_process import Waits
from chaoskernel.backend.backends import sharing
from chaoskernel.backend.local import LocalBackend
from chaoskernel.backend.record import Backend, State
from chaoskernel.chaosmesh import registry
from chaoskernel.errors import UnsupportedKernel
from tests.unit.chaosmesh.manifest.documents import SEED, as_json, schedule
from tests.unit.fake_agent import COUNTERS, launcher
from tests.unit.fakes import FakeBackend

NOTHING = {"reached": 9, "matched": 0, "injected": 0}
ALWAYS = {"runtime": {"rollbacks": {"strategy": "always"}}}
CONTROL = {
    "name": "kernel faults",
    "provider": {"type": "python", "module": "chaoskernel.control"},
}

Document = dict[str, Any]


def calm() -> bool:
    return True


def interrupted() -> None:
    raise KeyboardInterrupt


def terminated() -> None:
    signal.raise_signal(signal.SIGTERM)


def left_early() -> None:
    raise SystemExit(30)


def activity(title: str, func: str, kind: str = "action", /, **arguments: Any) -> Document:
    module, _, function = func.rpartition(".")
    provider = {"type": "python", "module": module, "func": function, "arguments": arguments}
    return {"type": kind, "name": title, "provider": provider}


START = activity("start", "chaoskernel.actions.start_injection", name="mount", pids=[12])
STOP = activity("stop", "chaoskernel.actions.stop_injection")
CALM = activity("calm", f"{__name__}.calm", "probe") | {"tolerance": True}


def ensure(minimum: int) -> Document:
    func = "chaoskernel.probes.ensure_injected"
    return activity("ensure", func, "probe", name="mount", minimum=minimum)


def experiment(*method: Document, **parts: Any) -> Document:
    return {
        "title": "t",
        "description": "d",
        "controls": [CONTROL],
        "steady-state-hypothesis": {"title": "calm", "probes": [CALM]},
        "method": list(method),
        "rollbacks": [],
        **parts,
    }


def run(document: Document, target: Backend, strategy: Strategy = Strategy.DEFAULT) -> Document:
    with sharing(target):
        journal: Document = run_experiment(document, settings=ALWAYS, strategy=strategy)
    return journal


ENTRY = {
    "name": "mount",
    "summary": "slab fails with ENOMEM for processes 12; always, for 5m",
    "verdict": "3 calls failed, of 7 that the scope made",
    "asked": {
        "fault": "slab",
        "errno": "ENOMEM",
        "pids": [12],
        "probability": 100.0,
        "times": 0,
        "duration": "5m",
        "mechanism": "auto",
        "engine": "auto",
    },
    "fault": "slab",
    "hook": "should_failslab",
    "hooks": ["should_failslab"],
    "mechanism": "fmod_ret",
    "proof": "called",
    "engine": "fake",
    "callchain": [],
    "targets": [{"pid": 12, "command": "sleep"}],
    "left_out": ["32-bit callers: __ia32_sys_mount"],
    "limits": {"probability": 100.0, "times": 0, "duration": 300.0},
    "dry_run": False,
    "state": "ended",
    "armed_at": "2026-01-01T00:00:00+00:00",
    "expires_at": "2026-01-01T00:05:00+00:00",
    "ended_at": "2026-01-01T00:00:30+00:00",
    "first_injection_at": "",
    "last_injection_at": "",
    "reason": "stop",
    "counters": {"reached": 7, "matched": 5, "injected": 3},
    "series": {},
    "stacks": [],
    "stacks_of": 0,
    "events": [],
    "dropped": 0,
    "leftovers": [],
}
"""The journal's entry of a fault."""


def test_the_journal_tells_what_where_when_and_how_often() -> None:
    journal = run(experiment(START, STOP), FakeBackend())
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert journal["chaoskernel"] == {
        "verdict": "completed: the steady state was met after the method; "
        "fault 'mount': 3 calls failed, of 7 that the scope made",
        "faults": [ENTRY],
        "shortfalls": [],
    }
    assert json.loads(json.dumps(journal["chaoskernel"], allow_nan=False)) == journal["chaoskernel"]


def test_a_run_with_a_real_child_process_is_stopped_and_counted() -> None:
    target = LocalBackend(launcher(), Waits(start=10))
    journal = run(experiment(START), target)
    assert journal["chaoskernel"]["faults"][0]["counters"] == COUNTERS
    assert target.record("mount").state is State.ENDED


def test_what_the_method_left_is_stopped_at_the_end() -> None:
    target = FakeBackend()
    run(experiment(START), target)
    assert target.record("mount").state is State.ENDED


@pytest.mark.parametrize("ending", [interrupted, terminated, left_early])
def test_what_is_left_is_stopped_when_the_run_is_interrupted(ending: Callable[[], None]) -> None:
    target = FakeBackend()
    last = activity("last", f"{__name__}.{ending.__name__}")
    journal = run(experiment(START, last), target)
    assert target.record("mount").state is State.ENDED
    assert journal["chaoskernel"]["faults"][0]["state"] == "ended"


def test_what_is_left_is_stopped_after_an_error_that_the_toolkit_does_not_handle() -> None:
    """A tolerance of the wrong type: no journal, no rollbacks, only the clean-up."""
    document = experiment(START)
    nothing = activity("calm", f"{__name__}.nothing_at_first", "probe")
    document["steady-state-hypothesis"]["probes"] = [nothing | {"tolerance": [0, 1]}]
    _answers[:] = [1, None]
    target = FakeBackend()
    with pytest.raises(TypeError):
        run(document, target)
    assert target.record("mount").state is State.ENDED


_answers: list[int | None] = []


def nothing_at_first() -> int | None:
    return _answers.pop(0)


def test_stopping_twice_is_safe() -> None:
    target = FakeBackend()
    journal = run(experiment(START, STOP, rollbacks=[STOP]), target)
    assert [played["status"] for played in journal["rollbacks"]] == ["succeeded"]
    assert len(target.stops) == 4  # the method, the rollback, and both ends of the control
    assert journal["chaoskernel"]["faults"][0]["counters"]["injected"] == 3


def test_a_fault_that_injected_nothing_makes_the_experiment_deviate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="chaostoolkit"):
        journal = run(experiment(START, STOP), FakeBackend(NOTHING))
    line = (
        "fault 'mount' injected nothing (reached 9, matched 0): such calls were made 9 times, "
        "none at the place that was asked for (`chaoskernel watch` shows theirs)"
    )
    assert (journal["status"], journal["deviated"]) == ("completed", True)
    assert journal["chaoskernel"]["shortfalls"] == [line]
    assert journal["steady_states"]["after"]["probes"][-1]["output"] == [line]
    assert f"Kernel faults: {line}; the experiment has deviated" in caplog.messages
    assert "Experiment ended with status: deviated" in caplog.messages


def test_a_fault_that_could_not_be_started_makes_the_experiment_deviate() -> None:
    refusal = UnsupportedKernel("no hook", needs="CONFIG_FAILSLAB")
    journal = run(experiment(START), FakeBackend(refuse=refusal))
    assert journal["deviated"] is True
    assert journal["chaoskernel"] == {
        "verdict": "deviated: short of its aim: 'start' failed: no hook; CONFIG_FAILSLAB",
        "faults": [],
        "shortfalls": ["'start' failed: no hook; CONFIG_FAILSLAB"],
    }


def test_too_few_injections_make_the_experiment_deviate() -> None:
    journal = run(experiment(START, ensure(4)), FakeBackend())
    assert journal["deviated"] is True
    assert journal["chaoskernel"]["shortfalls"][0].startswith(
        "'ensure' failed: fault 'mount' injected 3 of at least 4: reached 7,"
    )


@pytest.mark.parametrize(
    "controls",
    [[], [{**CONTROL, "provider": {"type": "python", "module": "chaoskernel.controls"}}]],
)
def test_without_the_control_the_run_deviates_and_reports_what_to_declare(
    controls: list[Document], caplog: pytest.LogCaptureFixture
) -> None:
    target = FakeBackend(NOTHING)
    journal = run(experiment(START, START, STOP, controls=controls), target)
    assert (journal["status"], journal["deviated"]) == ("completed", True)
    assert journal["chaoskernel"]["faults"][0]["name"] == "mount"
    said = [line for line in caplog.messages if "does not declare the control" in line]
    assert len(said) == 1
    declared = json.loads("{" + said[0].partition("whole run: ")[2] + "}")
    assert declared == {"controls": [CONTROL]}


def test_without_the_control_faults_are_stopped_at_the_end_and_the_next_run_is_its_own() -> None:
    target = FakeBackend()
    other = activity("other", "chaoskernel.actions.start_injection", name="other", pids=[12])
    for start, name in ((START, "mount"), (other, "other")):
        journal = run(experiment(start, controls=[]), target)
        assert target.record(name).state is State.ENDED
        assert journal["deviated"] is False
        assert [fault["name"] for fault in journal["chaoskernel"]["faults"]] == [name]


def test_with_the_control_nothing_is_said_of_it(caplog: pytest.LogCaptureFixture) -> None:
    run(experiment(START), FakeBackend())
    assert "declare the control" not in caplog.text


def test_enough_injections_complete_the_experiment() -> None:
    journal = run(experiment(START, ensure(3)), FakeBackend())
    assert (journal["status"], journal["deviated"]) == ("completed", False)


def test_without_a_hypothesis_after_the_method_the_run_deviates() -> None:
    document = experiment(START)
    del document["steady-state-hypothesis"]
    assert run(document, FakeBackend(NOTHING))["deviated"] is True
    journal = run(experiment(START), FakeBackend(NOTHING), Strategy.BEFORE_METHOD)
    assert journal["deviated"] is True


def test_a_method_that_was_not_played_makes_the_experiment_deviate() -> None:
    """The toolkit calls a run completed whose hypothesis was not met before the method."""
    document = experiment(START)
    document["steady-state-hypothesis"]["probes"] = [CALM | {"tolerance": False}]
    journal = run(document, FakeBackend())
    assert journal["deviated"] is True
    assert journal["chaoskernel"]["shortfalls"] == ["'start' was not played"]


def test_an_experiment_that_starts_no_fault_is_left_alone() -> None:
    journal = run(experiment(CALM), FakeBackend())
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert journal["chaoskernel"] == {
        "verdict": "completed: the steady state was met after the method",
        "faults": [],
        "shortfalls": [],
    }


@pytest.mark.parametrize("dry", list(Dry))
def test_a_dry_run_completes_and_starts_nothing_but_what_the_toolkit_plays(dry: Dry) -> None:
    target = FakeBackend()
    journal = run(experiment(START, STOP, dry=dry), target)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    played = dry not in (Dry.ACTIONS, Dry.ACTIVITIES)
    assert [fault.name for fault in target.started] == (["mount"] if played else [])


def test_a_fault_that_stays_fails_the_run() -> None:
    journal = run(experiment(START), FakeBackend(stuck=True))
    assert journal["status"] == "failed"
    assert journal["chaoskernel"]["faults"][0]["state"] == "active"


def test_faults_of_an_earlier_experiment_are_not_this_ones() -> None:
    target = FakeBackend()
    run(experiment(START), target)
    journal = run(experiment(CALM), target)
    assert journal["chaoskernel"]["faults"] == []


def test_a_silent_agent_does_not_keep_the_run_from_its_end() -> None:
    journal = run(experiment(START), FakeBackend(silent=True))
    assert (journal["status"], journal["deviated"]) == ("completed", False)


def test_the_clean_up_works_although_nothing_was_run() -> None:
    with sharing(FakeBackend()):
        control.cleanup_control()


def apply(text: str) -> Document:
    return activity("apply", "chaoskernel.actions.apply_kernel_chaos", manifest=text, pids=[12])


def test_what_was_applied_is_evidence_and_is_deleted_in_the_end() -> None:
    target = FakeBackend()
    journal = run(experiment(apply(SEED)), target)
    (fault,) = journal["chaoskernel"]["faults"]
    assert (fault["name"], fault["state"]) == ("kernel-chaos-example", "ended")
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert registry.shared().delete_all() == []


def test_a_schedule_that_never_ticked_has_shown_nothing() -> None:
    target = FakeBackend()
    journal = run(experiment(apply(as_json(schedule(schedule="@yearly")))), target)
    assert journal["chaoskernel"]["shortfalls"] == ["'apply' injected nothing"]
    assert journal["deviated"] is True
