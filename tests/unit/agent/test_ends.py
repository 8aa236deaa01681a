"""What ends an agent: its deadline, a signal, the end of its owner."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import threading
import time

import pytest

from chaoskernel.agent.lifeline import ORPHANED, Requests
from chaoskernel.agent.main import serve
from chaoskernel.agent.output import Output
from chaoskernel.engine import Progress
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.kernel import boottime
from tests.unit.agent.conftest import Said
from tests.unit.agent.engines import FakeArmed, FakeEngine, a_fault
from tests.unit.agent.test_main import agent

pytestmark = pytest.mark.slow  # whole agents


def test_it_ends_at_the_deadline_also_when_its_input_has_ended(
    pipe: tuple[Requests, int], said: Said
) -> None:
    requests, writer = pipe
    os.close(writer)
    started = time.monotonic()
    serve(a_fault(seconds=0.3), FakeEngine(), requests, said.output)
    assert 0.2 < time.monotonic() - started < 5
    assert said.messages()[-1]["reason"] == "deadline"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_order(
    pipe: tuple[Requests, int], said: Said, number: signal.Signals
) -> None:
    requests, writer = pipe
    sender = subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -{number.value} {os.getpid()}"])
    serve(a_fault(), FakeEngine(), requests, said.output)
    sender.wait()
    os.close(writer)
    assert said.messages()[-1]["reason"] == number.name


def test_an_agent_whose_owner_has_gone_does_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    ended = agent('{"name":"x"}\n', gone.pid)
    assert (ended.returncode, ended.stdout) == (ORPHANED, "")


def test_an_agent_that_was_stopped_past_its_deadline_ends_when_it_goes_on(
    pipe: tuple[Requests, int],
) -> None:
    """A wait that is cut by SIGSTOP begins anew, with all that was left of it."""
    child = os.fork()
    if child == 0:
        serve(a_fault(3), FakeEngine(), pipe[0], Output(os.dup(1)))
        os._exit(0)
    time.sleep(1)
    os.kill(child, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(child, signal.SIGCONT)
    continued = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert time.monotonic() - continued < 1.5


def test_an_agent_whose_host_was_suspended_past_its_deadline_ends_when_it_goes_on(
    pipe: tuple[Requests, int], said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLOCK_MONOTONIC stands still meanwhile: it is the other clock that has gone on."""
    started = time.monotonic()
    read = boottime.now
    slept = [0]
    monkeypatch.setattr(boottime, "now", lambda: read() + slept[0])
    threading.Timer(0.5, slept.__setitem__, (0, 8 * 3600 * 10**9)).start()
    serve(a_fault(seconds=300), FakeEngine(), pipe[0], said.output)
    assert time.monotonic() - started < 5
    assert said.messages()[-1]["reason"] == "deadline"


def test_the_clock_of_deadlines_is_the_one_that_goes_on_in_suspend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "clock_gettime_ns", {time.CLOCK_BOOTTIME: 5}.__getitem__)
    assert boottime.now() == 5


@pytest.mark.parametrize("blocked_in", ["follow", "counters"])
def test_a_signal_ends_the_fault_at_once_whatever_the_agent_is_doing(
    pipe: tuple[Requests, int], said: Said, blocked_in: str
) -> None:
    """A look at its pods takes as long as the node's /proc does."""
    requests, writer = pipe
    os.close(writer)
    held_after: list[float] = []
    began = time.monotonic()

    class Busy(FakeArmed):
        def _block(self) -> None:
            end = time.monotonic() + 2
            while time.monotonic() < end and not self.disarmed:
                time.sleep(0.05)

        def follow(self) -> None:
            if blocked_in == "follow":
                self._block()

        def counters(self) -> dict[str, int]:
            if blocked_in == "counters":
                self._block()
            return {"injected": 3}

        def hold(self) -> None:
            held_after.append(time.monotonic() - began)

    class BusyEngine(FakeEngine):
        def arm(self, fault: Fault, *, progress: Progress) -> FakeArmed:
            return Busy(fault.limits.duration)

    sender = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill {os.getpid()}"])
    pods = Scope(pods=(PodScope("shop", "db-0", "1234abcd"),))
    serve(dataclasses.replace(a_fault(), scope=pods), BusyEngine(), requests, said.output)
    sender.wait()
    assert held_after[0] < 1
    assert said.messages()[-1]["reason"] == "SIGTERM"
