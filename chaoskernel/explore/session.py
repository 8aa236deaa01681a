"""One session of an exploration on this machine: the keeper, the faults, and the loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from chaoskernel.backend.local import LocalBackend
from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.findings import Findings
from chaoskernel.explore.keeping import found, keeping
from chaoskernel.explore.kernel_log import KernelLog
from chaoskernel.explore.loop import Damaged, Explorer, Spent, Watch
from chaoskernel.explore.plan import Plan
from chaoskernel.explore.recording import Recording, recording
from chaoskernel.explore.store import Store
from chaoskernel.explore.target import Stage, Target, environment, target


class Quiet:
    """Looks on, and says nothing."""

    def baseline(self, number: int, of: int) -> None:
        """See `Watch.baseline`."""

    def progress(self, findings: Findings, waiting: int, left: float | None) -> None:
        """See `Watch.progress`."""


def check_commands(plan: Plan) -> None:
    """Check that the program exists, before anything is attached.

    :raises MissingTool: it does not.
    """
    found(plan.command[0], environment())
    if plan.directory and not Path(plan.directory).is_dir():
        raise ChaosKernelError(f"{plan.directory} is not a directory", hint="create it first")
    if plan.experiment and not Path(plan.experiment).is_file():
        raise ChaosKernelError(f"{plan.experiment} is not a file", hint="look for a typo")


@contextlib.contextmanager
def armed(plan: Plan) -> Iterator[Recording]:
    """Record the sites of the plan's faults for a while; nothing fails yet.

    :raises ChaosKernelError: this machine cannot make them fail.
    """
    check_commands(plan)
    with recording(plan.faults, LocalBackend()) as faults:
        yield faults


@contextlib.contextmanager
def stage(plan: Plan, faults: Recording) -> Iterator[Target]:
    """Have fresh surroundings for a while."""
    log = KernelLog()
    try:
        with keeping() as keeper:
            yield target(plan, Stage(keeper, faults, log, environment()))
    finally:
        log.close()


def explore(store: Store, watch: Watch, *, renews: bool = True) -> str:
    """Explore until all is tried or the budget is used up; return which it was.

    :param renews: go on in fresh surroundings when they were damaged.
    :raises Damaged: they are damaged, and not renewed.
    :raises ChaosKernelError: the baseline does not work in fresh surroundings.
    """
    plan = store.findings.plan
    spent = Spent(plan)
    with armed(plan) as faults:
        while True:
            try:
                with stage(plan, faults) as played:
                    return Explorer(store, played, faults, watch, spent).run()
            except Damaged:
                if not renews:
                    store.add("end", why="damaged")
                    raise


def baseline(store: Store, watch: Watch) -> None:
    """Play the baselines alone, and keep what they show.

    :raises ChaosKernelError: the program does not work without a fault.
    """
    plan = store.findings.plan
    with armed(plan) as faults, stage(plan, faults) as played:
        Explorer(store, played, faults, watch).baseline()
