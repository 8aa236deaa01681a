"""The local target, against a plain agent that speaks the protocol."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from chaoskernel.backend.local import LocalBackend
from chaoskernel.backend.record import State
from chaoskernel.errors import (
    AgentError,
    EngineError,
    InvalidFault,
    TimeLimit,
    UnknownFault,
    UnsupportedKernel,
)
from chaoskernel.fault.assignment import Assignment
from tests.unit.backend.conftest import HASTY, HASTY_REPLIES, PATIENT, Launched, Local, fault
from tests.unit.fake_agent import COUNTERS, EVENTS, launcher


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_start_returns_what_the_agent_armed(local: Local) -> None:
    record = local().start(fault())
    assert record.state is State.ACTIVE
    assert record.armed["mechanism"] == "fmod_ret"
    assert record.armed["targets"] == [{"pid": os.getppid(), "command": "sleep"}]


def test_counters_of_an_active_fault_are_asked_for(local: Local) -> None:
    target = local()
    target.start(fault())
    assert target.record("mount").counters == {}
    assert target.counters("mount") == COUNTERS


def test_stop_returns_the_final_counters_and_reaps_the_agent() -> None:
    launched = Launched()
    target = LocalBackend(launched, PATIENT)
    target.start(fault())
    (record,) = target.stop("mount")
    assert (record.state, record.reason, record.counters) == (State.ENDED, "stop", COUNTERS)
    assert launched.agents[0].returncode == 0


def test_a_second_stop_returns_the_same_record(local: Local) -> None:
    target = local()
    target.start(fault())
    assert target.stop("mount") == target.stop("mount")


def test_counters_after_the_end_are_the_final_ones(local: Local) -> None:
    target = local()
    target.start(fault())
    target.stop()
    assert target.counters("mount") == COUNTERS


def test_events_are_asked_for_while_a_fault_is_active_and_kept_when_it_ends(local: Local) -> None:
    target = local()
    target.start(fault())
    active = target.events("mount", 2)
    assert active == {"events": EVENTS[-2:], "dropped": 4}
    target.stop()
    assert target.events("mount", 2) == active
    assert target.events("mount", 100) == {"events": EVENTS, "dropped": 4}


def test_stopping_what_was_never_started_is_no_error(local: Local) -> None:
    assert local().stop("mount") == []
    assert local().stop() == []


def test_stop_without_a_name_stops_every_fault(local: Local) -> None:
    target = local()
    target.start(fault("a"))
    target.start(fault("b"))
    assert [(r.fault.name, r.state) for r in target.stop()] == [
        ("a", State.ENDED),
        ("b", State.ENDED),
    ]


def test_the_name_of_an_active_fault_is_refused(local: Local) -> None:
    target = local()
    target.start(fault())
    with pytest.raises(InvalidFault, match=r"name: a fault of that name is active"):
        target.start(fault())


def test_a_name_is_free_again_after_the_end_and_both_faults_stay_known(local: Local) -> None:
    target = local()
    target.start(fault())
    target.stop("mount")
    target.start(fault())
    assert [record.state for record in target.records()] == [State.ENDED, State.ACTIVE]
    assert target.record("mount").state is State.ACTIVE


def test_an_error_of_the_agent_is_raised_as_it_is_and_nothing_is_kept() -> None:
    launched = Launched(
        error={"error": "UnsupportedKernel", "message": "no such hook", "hint": "CONFIG_X"}
    )
    target = LocalBackend(launched, PATIENT)
    with pytest.raises(UnsupportedKernel, match=r"no such hook; CONFIG_X"):
        target.start(fault())
    assert target.records() == []
    assert launched.alive() == []


def test_the_last_words_of_an_agent_that_dies_are_in_the_error(local: Local) -> None:
    target = local(die=7, last_words="Segmentation fault in libbcc")
    with pytest.raises(AgentError, match=r"exited with status 7 \(Segmentation fault in libbcc\)"):
        target.start(fault())


def test_an_agent_that_does_not_arm_in_time_is_ended() -> None:
    launched = Launched(hang=True)
    target = LocalBackend(launched, HASTY)
    with pytest.raises(TimeLimit, match=r"not armed within 0.3 s"):
        target.start(fault())
    assert launched.alive() == []


def test_an_interrupted_start_ends_the_agent() -> None:
    launched = Launched(hang=True)
    target = LocalBackend(launched, PATIENT)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            target.start(fault())
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert launched.alive() == []


def test_stop_also_ends_a_fault_that_is_being_started() -> None:
    launched = Launched(hang=True)
    target = LocalBackend(launched, PATIENT)
    failures: list[Exception] = []

    def start() -> None:
        try:
            target.start(fault())
        except AgentError as error:
            failures.append(error)

    starter = threading.Thread(target=start)
    starter.start()
    assert eventually(lambda: bool(launched.agents))
    assert target.stop() == []
    starter.join(5)
    assert "was killed by SIGTERM before fault 'mount' was armed" in str(failures[0])


def test_progress_is_logged(local: Local, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="chaostoolkit.kernel"):
        local(before=['{"type": "progress", "step": "compiling"}']).start(fault())
    assert caplog.messages == ["Fault 'mount': compiling"]


def test_what_does_not_work_is_logged_and_told(
    local: Local, caplog: pytest.LogCaptureFixture
) -> None:
    record = local(warnings=["stacks have no names", "\x1b[2J"]).start(fault())
    assert caplog.messages == ["Fault 'mount': stacks have no names", r"Fault 'mount': \x1b[2J"]
    assert record.to_json()["warnings"] == ["stacks have no names", "\x1b[2J"]


def test_a_fault_ends_by_itself_at_its_deadline(local: Local) -> None:
    target = local(deadline=0.05)
    target.start(fault())
    assert eventually(lambda: target.record("mount").state is State.ENDED)
    assert target.record("mount").reason == "deadline"
    assert target.stop("mount")[0].counters == COUNTERS


def test_a_fault_whose_agent_is_killed_is_lost_with_its_last_counters() -> None:
    launched = Launched()
    target = LocalBackend(launched, PATIENT)
    target.start(fault())
    target.counters("mount")
    launched.agents[0].kill()
    assert eventually(lambda: target.record("mount").state is State.LOST)
    (record,) = target.stop("mount")
    assert record.reason == "the agent was killed by SIGKILL"
    assert record.counters == COUNTERS


def test_an_agent_that_ignores_sigterm_is_killed() -> None:
    launched = Launched(deaf=True, immortal=True)
    target = LocalBackend(launched, HASTY_REPLIES)
    target.start(fault())
    target.stop("mount")
    assert launched.agents[0].returncode == -signal.SIGKILL


def test_leftover_programs_are_an_error_that_names_them_once(local: Local) -> None:
    target = local(leftovers=[41, 42])
    target.start(fault())
    with pytest.raises(EngineError, match=r"loaded still: 41, 42"):
        target.stop("mount")
    assert target.stop("mount")[0].leftovers == (41, 42)


def test_leftovers_of_one_fault_do_not_keep_the_others_from_being_stopped() -> None:
    launches = iter([launcher(leftovers=[41]), launcher()])

    def launch(given: Assignment) -> Any:
        return next(launches)(given)

    target = LocalBackend(launch, PATIENT)
    target.start(fault("a"))
    target.start(fault("b"))
    with pytest.raises(EngineError, match=r"'a'"):
        target.stop()
    assert [record.state for record in target.records()] == [State.ENDED, State.ENDED]


def test_an_unknown_name_is_answered_with_the_known_ones(local: Local) -> None:
    target = local()
    with pytest.raises(UnknownFault, match=r"no fault named 'x' was started by this process"):
        target.counters("x")
    target.start(fault("a"))
    target.start(fault("b"))
    with pytest.raises(UnknownFault, match=r"there are: a, b"):
        target.record("x")


def test_counters_may_be_read_from_many_threads(local: Local) -> None:
    target = local()
    target.start(fault())
    seen: list[dict[str, Any]] = []

    def read() -> None:
        seen.append(target.counters("mount"))

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(5)
    assert seen == [COUNTERS] * 8
