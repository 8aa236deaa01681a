"""What is run once for each site: a command, or a service with what makes it work.

The program is held before its exec, put in scope, and let go.  Fixtures, workloads and checks
are started by the same keeper, and are in no scope.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.keeping import Ended, Keeping, Program, text_of
from chaoskernel.explore.kernel_log import KernelLog
from chaoskernel.explore.observation import Attempt, Ending, Observation, tail_of
from chaoskernel.explore.plan import Mode, Plan
from chaoskernel.explore.recording import Recording, Seen
from chaoskernel.fault.sites import Hits, Phase

_SHELL = "/bin/sh"
_READY_PAUSE = 0.05
_LEAST_PATIENCE = 20.0
"""Checks and a start without a fault may take so long, however short a run is: nothing fails there,
and what comes too late would be taken for what the fault has done."""

_STOPPED = 128 + signal.SIGTERM
_JOURNAL = "journal.json"


class Played(NamedTuple):
    """One run: what was seen of the program, and of sites.

    :param output: what is compared with the baseline, before it is masked.
    """

    observation: Observation
    seen: Seen
    output: bytes


Around = Callable[[int], contextlib.AbstractContextManager[None]]
"""Looks at a held program, by its process id, until the program has ended."""


class Target(Protocol):
    """Something that can be played.

    :param around: what looks at the program in scope; nobody else traces it then.
    """

    around: Around | None

    def play(self, attempt: Attempt, limit: float, *, every: bool = False) -> Played:
        """Play it once, in fresh surroundings.

        :param attempt: which sites fail; none for the baseline.
        :param limit: after so many seconds it hangs.
        :param every: count the requests at every site; see `Sites.every`.
        """


class Stage(NamedTuple):
    """What every target stands on.

    :param held: called with the process id of a program that is held, before it is in scope.
    """

    keeper: Keeping
    recording: Recording
    log: KernelLog
    env: Mapping[str, str]


class _Target:
    def __init__(self, plan: Plan, stage: Stage) -> None:
        self._plan = plan
        self._stage = stage
        self._keeper = stage.keeper
        self.around: Around | None = None

    def play(self, attempt: Attempt, limit: float, *, every: bool = False) -> Played:
        """See `Target.play`."""
        self._stage.log.read()
        place = self._keeper.fresh()
        where = Path(self._plan.directory) if self._plan.directory else place
        env = {**self._stage.env, "CHAOSKERNEL_WORK": str(place)}
        with contextlib.ExitStack() as undo:
            look = None
            if self.around:
                around = self.around
                look = lambda pid: undo.enter_context(around(pid))  # noqa: E731
            run = _Run(self._plan, self._stage, where, env, limit, attempt, every, look)
            undo.callback(self._keeper.end)
            if self._plan.fixture:
                run.must(self._plan.fixture, "--fixture")
            played = self._play(run)
        read = self._stage.log.read()
        kernel = (*read.accusing, *self._keeper.stuck())
        seen = dataclasses.replace(
            played.observation, failed=played.seen.failed, kernel=kernel, log=read.crashes
        )
        return played._replace(observation=seen)

    def _play(self, run: _Run) -> Played:
        raise NotImplementedError


class CommandTarget(_Target):
    """A command that comes to its end by itself."""

    def _play(self, run: _Run) -> Played:
        program = run.start_in_scope(Phase.WORK)
        ended = self._keeper.wait(program, run.limit)
        seen = run.stage.recording.end()
        ending, descriptors = run.ended(ended)
        output = text_of(program)
        self._keeper.end()
        steady = run.holds(self._plan.check)
        intact = run.holds(self._plan.verify)
        observation = Observation(
            ending=ending,
            tail=tail_of(output),
            steady=steady,
            intact=intact,
            detail=run.said,
            descriptors=descriptors,
            memory=ending.memory,
        )
        return Played(observation, seen, output)


class ServiceTarget(_Target):
    """A service: started, made to work, checked, stopped, and started anew to be verified."""

    def _play(self, run: _Run) -> Played:
        program = run.start_in_scope(Phase.START)
        ready = run.becomes_ready(program, run.limit)
        workload: int | None = None
        output = b""
        kept: tuple[int, int] | None = None
        if ready:
            run.stage.recording.phase(Phase.WORK)
            workload, output = run.work()
            kept = self._keeper.look(program)
        seen = run.stage.recording.end()
        lives = self._keeper.wait(program, 0) is None
        steady = run.is_steady() if ready and lives else None
        ended, seen = run.stop(program, seen)
        ending, _ = run.ended(ended)
        tail = text_of(program)
        self._keeper.end()
        again = run.anew(self._plan.check) if steady is False else None
        intact = run.anew(self._plan.verify) if self._plan.verify else None
        observation = Observation(
            ending=ending,
            tail=tail_of(output + tail),
            ready=ready,
            workload=workload,
            steady=steady,
            steady_again=again,
            intact=intact,
            detail=run.said,
            descriptors=kept[0] if kept and lives else None,
            memory=kept[1] if kept and lives else 0,
        )
        return Played(observation, seen, output)


def target(plan: Plan, stage: Stage) -> Target:
    """Return what the plan is about."""
    return CommandTarget(plan, stage) if plan.mode is Mode.COMMAND else ServiceTarget(plan, stage)


class _Run:
    """One run, and what its checks said."""

    def __init__(
        self,
        plan: Plan,
        stage: Stage,
        where: Path,
        env: Mapping[str, str],
        limit: float,
        attempt: Attempt,
        every: bool,
        look: Callable[[int], None] | None,
    ) -> None:
        self.plan, self.stage, self.limit = plan, stage, limit
        self._patience = max(limit, _LEAST_PATIENCE)
        self.said = ""
        self._where, self._env = where, env
        self._attempt, self._every = attempt, every
        self._look = look

    def start_in_scope(self, phase: Phase) -> Program:
        """Start the program in scope, from its first instruction on."""
        keeper, recording = self.stage.keeper, self.stage.recording
        trace = self.plan.mode is Mode.COMMAND and not self._look
        program = keeper.start(self.plan.command, self._where, self._env, hold=True, trace=trace)
        if self._look:
            self._look(program.pid)
        recording.phase(phase)
        recording.begin([program.pid], self._attempt, self.plan.phases, every=self._every)
        keeper.release(program)
        return program

    def becomes_ready(self, program: Program, seconds: float) -> bool:
        """Wait until a service is up; tell whether it is."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.stage.keeper.wait(program, 0) is not None:
                return False
            status, _ = self.shell(self.plan.ready, max(0.1, end - time.monotonic()))
            if status == 0:
                return True
            time.sleep(_READY_PAUSE)
        return False

    def work(self) -> tuple[int | None, bytes]:
        """Let a service work; return the workload's exit status, and what it wrote.

        124 where it had to be ended, as timeout(1) has it.
        """
        text = self.plan.workload
        if self.plan.experiment:
            journal = Path(self._env["CHAOSKERNEL_WORK"]) / _JOURNAL
            text = (
                f"'{sys.executable}' -m chaostoolkit --no-version-check --no-log-file run "
                f"--journal-path '{journal}' '{self.plan.experiment}'"
            )
        if not text:
            return None, b""
        status, output = self.shell(text, self.limit)
        # What the toolkit writes has times in it; its journal is asked.
        return status, b"" if self.plan.experiment else output

    def is_steady(self) -> bool | None:
        """Tell whether the check holds, or the experiment's hypothesis did."""
        if not self.plan.experiment:
            return self.holds(self.plan.check)
        journal = Path(self._env["CHAOSKERNEL_WORK"]) / _JOURNAL
        try:
            found = json.loads(journal.read_text(encoding="utf-8"))
            states = [found["steady_states"].get(name) or {} for name in ("before", "after")]
            missed = any(each.get("steady_state_met") is False for each in states)
            status = "deviated" if found["deviated"] or missed else str(found["status"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.said = "the experiment has left no journal"
            return False
        if status != "completed":
            self.said = f"the experiment is {status}"
        return status == "completed"

    def stop(self, program: Program, seen: Seen) -> tuple[Ended | None, Seen]:
        """Stop a service; sites fail there too, where they have not yet."""
        keeper, recording = self.stage.keeper, self.stage.recording
        if (ended := keeper.wait(program, 0)) is not None:
            return ended, seen
        again = rest_of(self._attempt, seen)
        recording.phase(Phase.STOP)
        every = self._every or again != self._attempt
        recording.begin([program.pid], again, self.plan.phases, every=every)
        self._ask_to_stop(program)
        ended = keeper.wait(program, self.limit)
        more = recording.end()
        if ended and ended.ending.signal == "SIGTERM":  # it has no handler of its own
            ended = ended._replace(
                ending=dataclasses.replace(ended.ending, signal="", status=_STOPPED)
            )
        return ended, _together(seen, more)

    def _ask_to_stop(self, program: Program) -> None:
        if self.plan.stop:
            self.shell(self.plan.stop, self.limit)
        else:
            self.stage.keeper.signal(program, signal.SIGTERM)

    def anew(self, check: str) -> bool:
        """Start a service without a fault, in the same place; tell whether a check holds then."""
        keeper = self.stage.keeper
        program = keeper.start(self.plan.command, self._where, self._env)
        try:
            if not self.becomes_ready(program, self._patience):
                self.said = self.said or "it does not start again"
                return False
            holds = self.holds(check)
            self._ask_to_stop(program)
            keeper.wait(program, self.limit)
            return holds is not False
        finally:
            keeper.end()

    def holds(self, check: str) -> bool | None:
        """Tell whether a check exits with 0; None where there is none."""
        if not check:
            return None
        status, output = self.shell(check, self._patience)
        if status != 0:
            lines = output.decode(errors="replace").strip().splitlines()
            self.said = lines[-1][:200] if lines else f"exit status {status}"
        return status == 0

    def must(self, text: str, what: str) -> None:
        """Run a command that has to succeed.

        :raises ChaosKernelError: it does not.
        """
        status, output = self.shell(text, self._patience)
        if status != 0:
            said = output.decode(errors="replace").strip().splitlines()[-1:] or ["it wrote nothing"]
            raise ChaosKernelError(f"{what} exits with status {status}: {said[0]}")

    def shell(self, text: str, seconds: float) -> tuple[int, bytes]:
        """Run a command by the shell, in no scope; return its exit status and what it wrote."""
        keeper = self.stage.keeper
        program = keeper.start((_SHELL, "-c", text), self._where, self._env)
        ended = keeper.wait(program, seconds)
        if ended is None:
            keeper.signal(program, signal.SIGKILL)
            keeper.wait(program, self.limit)
            return 124, text_of(program)
        status = ended.ending.status
        return 128 if status is None else status, text_of(program)

    def ended(self, ended: Ended | None) -> tuple[Ending, int | None]:
        """Return how a program ended; one that had to be ended hangs."""
        if ended is None:
            return Ending(hung=True, seconds=self.limit), None
        return ended.ending, ended.descriptors


def rest_of(attempt: Attempt, seen: Seen) -> Attempt:
    """Return what of an attempt is left to fail after a part of the run."""
    if attempt.hits is Hits.PERSISTENT or not attempt.sites:
        return attempt
    if all(seen.failed):
        return Attempt()
    if attempt.hits is Hits.ONCE:
        return attempt
    done = max(seen.counts.get(site, 0) for site in attempt.sites)
    return Attempt(attempt.sites, max(1, int(attempt.hits) - done))


def _together(one: Seen, other: Seen) -> Seen:
    """Return what was seen in two parts of a run."""
    counts = dict(one.counts)
    for site, count in other.counts.items():
        counts[site] = counts.get(site, 0) + count
    failed = other.failed if not one.failed else one.failed
    if one.failed and other.failed:
        failed = tuple(a + b for a, b in zip(one.failed, other.failed, strict=True))
    phases = {
        site: tuple(dict.fromkeys((*one.phases.get(site, ()), *other.phases.get(site, ()))))
        for site in {**one.phases, **other.phases}
    }
    return Seen(counts, (*one.new, *other.new), failed, one.lost + other.lost, phases)


def environment() -> dict[str, str]:
    """Return the environment of what is run: this process's, in one language."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}
