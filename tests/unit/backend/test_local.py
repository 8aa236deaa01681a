"""The local target, against a plain agent that speaks the protocol."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaoskernel.agent import protocol
from chaoskernel.backend import local as backend
from chaoskernel.backend.agent_process import Waits
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
from chaoskernel.fault.checks import packed
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from tests.unit.agent.test_protocol import UNEXPECTED
from tests.unit.fake_agent import COUNTERS, EVENTS, launcher

PATIENT = Waits(start=10, reply=5, stop=5, term=5)
HASTY = Waits(start=0.3, reply=0.2, stop=0.2, term=0.2)
HASTY_REPLIES = Waits(start=10, reply=0.2, stop=0.2, term=0.2)


def fault(name: str = "mount") -> Fault:
    return Fault(name=name, kind=Kind.SLAB, scope=Scope(pids=(os.getppid(),)))


class Launched:
    """A launcher that remembers the agents it launched."""

    def __init__(self, **behaviour: Any) -> None:
        self._launch = launcher(**behaviour)
        self.agents: list[Any] = []

    def __call__(self, given: Assignment) -> Any:
        self.agents.append(self._launch(given))
        return self.agents[-1]

    def alive(self) -> list[int]:
        return [agent.pid for agent in self.agents if agent.poll() is None]


Local = Callable[..., LocalBackend]


@pytest.fixture
def local() -> Iterator[Local]:
    """Make targets whose agents are gone after the test."""
    made: list[Launched] = []

    def make(waits: Waits = PATIENT, **behaviour: Any) -> LocalBackend:
        made.append(Launched(**behaviour))
        return LocalBackend(made[-1], waits)

    yield make
    for launched in made:
        for agent in launched.agents:
            agent.kill()
            agent.wait()


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
    with pytest.raises(InvalidFault, match=r"name: 'mount' is not free"):
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


def test_lines_that_are_no_messages_are_passed_over(local: Local) -> None:
    assert local(before=["warning: unused", "[1]"]).start(fault()).state is State.ACTIVE


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


def test_an_agent_that_takes_no_requests_is_ended_by_a_signal() -> None:
    launched = Launched(deaf=True)
    target = LocalBackend(launched, HASTY_REPLIES)
    target.start(fault())
    with pytest.raises(AgentError, match=r"did not answer within 0.2 s"):
        target.counters("mount")
    (record,) = target.stop("mount")
    assert record.state is State.LOST
    assert launched.agents[0].returncode == -signal.SIGTERM


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


@pytest.mark.parametrize("line", UNEXPECTED.values(), ids=UNEXPECTED.keys())
def test_an_unexpected_line_is_skipped_and_reported_and_the_next_is_heard(
    local: Local, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    target = local(before=[line[:50_000]])
    with caplog.at_level("WARNING", "chaostoolkit.kernel"):
        assert target.start(fault()).state is State.ACTIVE
    assert target.counters("mount") == COUNTERS
    assert [record.state for record in target.stop()] == [State.ENDED]
    assert caplog.text.count("Fault 'mount': a line of its agent is skipped: ") == 1


def test_a_flood_of_unexpected_lines_is_reported_for_a_while(
    local: Local, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "chaostoolkit.kernel"):
        local(before=["[]"] * 1000).start(fault())
    assert caplog.text.count("is skipped") == 20


def test_a_line_without_an_end_is_skipped_in_pieces(
    local: Local, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "MAX_MESSAGE", 2000)
    with caplog.at_level("WARNING", "chaostoolkit.kernel"):
        target = local(before=["x" * 50_000, "y" * 1999 + "\n"])
        assert target.start(fault()).state is State.ACTIVE
    assert caplog.text.count("a line of more than 2000 characters: 'xxx") == 1
    assert caplog.text.count("is skipped") == 3  # the third is empty


@pytest.mark.parametrize(
    "wrong",
    [{"leftovers": 5}, {"leftovers": ["41"]}, {"counters": {"injected": "3"}}, {"counters": [1]}],
    ids=str,
)
def test_a_last_message_of_wrong_types_is_not_believed(
    local: Local, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any]
) -> None:
    target = local(deadline=0.05, **wrong)
    target.start(fault())
    assert eventually(lambda: target.record("mount").state is State.LOST)
    (record,) = target.stop("mount")
    assert (record.leftovers, record.counters, record.hits) == ((), {}, 0)
    assert "the agent exited with status 0" in record.reason
    assert "is skipped: disarmed." in caplog.text


def test_an_agent_that_reads_nothing_does_not_hold_its_owner_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fault with an object is larger than a pipe."""
    agents: list[subprocess.Popen[str]] = []

    def launch(_: Assignment) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        agents.append(
            subprocess.Popen(["sleep", "60"], text=True, stdin=pipe, stdout=pipe, stderr=pipe)
        )
        return agents[-1]

    image = packed(b"\x7fELF" + os.urandom(300_000))
    monkeypatch.setattr(backend, "assigned", lambda fault: Assignment(fault, image))
    began = time.monotonic()
    with pytest.raises(TimeLimit, match="not armed within 0.3 s"):
        LocalBackend(launch, HASTY).start(fault())
    assert time.monotonic() - began < 5
    assert [agent.returncode for agent in agents] == [-signal.SIGTERM]


def test_an_agent_that_was_stopped_does_not_hold_a_stop_up() -> None:
    launched = Launched()
    target = LocalBackend(launched, HASTY_REPLIES)
    target.start(fault())
    launched.agents[0].send_signal(signal.SIGSTOP)
    held = target._faults.named("mount")
    for _ in range(5000):
        held.agent.tell({"request": "counters"})
    began = time.monotonic()
    (record,) = target.stop("mount")
    assert time.monotonic() - began < 5
    assert record.state is State.LOST
    assert launched.agents[0].returncode == -signal.SIGKILL


def test_a_signal_without_a_name_is_named_by_its_number() -> None:
    launched = Launched()
    target = LocalBackend(launched, PATIENT)
    target.start(fault())
    launched.agents[0].send_signal(signal.SIGRTMIN + 1)
    assert eventually(lambda: target.record("mount").state is State.LOST)
    assert target.record("mount").reason == f"the agent was killed by signal {signal.SIGRTMIN + 1}"
