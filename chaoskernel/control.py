"""The control: nothing stays injected, the journal has the evidence, nothing hit is not success.

Declare it once, for the whole experiment:

    "controls": [{
        "name": "kernel faults",
        "provider": {"type": "python", "module": "chaoskernel.control"}
    }]

It starts nothing, so it is the same in dry mode.  The toolkit swallows what a
control raises; what a person must know is logged and put into the journal.
"""

import dataclasses
from datetime import UTC, datetime

from chaoslib.exceptions import InvalidActivity

from chaoskernel.backend.backends import shared
from chaoskernel.backend.record import Record, State
from chaoskernel.chaosmesh import registry
from chaoskernel.errors import ChaosKernelError
from chaoskernel.log import logger
from chaoskernel.shared import Shared
from chaoskernel.telemetry import sink
from chaoskernel.terminal import shown
from chaoskernel.toolkit import evidence, presence, validation

__all__ = [
    "after_experiment_control",
    "after_hypothesis_control",
    "after_method_control",
    "before_experiment_control",
    "cleanup_control",
    "validate_control",
]


@dataclasses.dataclass
class _Run:
    """The experiment that is running: the toolkit runs one at a time.

    :param played: the method's runs, once the method is over.
    :param sinks: where telemetry goes, when the environment asks for any.
    """

    played: list | None = None
    sinks: list = dataclasses.field(default_factory=list)

    def records(self) -> list[Record]:
        return presence.of_this_experiment(shared().records())


_run = Shared(_Run)


def validate_control(control: dict) -> None:
    """Check every activity of this package in the experiment, all at once.

    `chaos validate` calls it, and `chaos run` before it does anything else.

    :raises InvalidActivity: something is wrong that can be known without a kernel or a cluster.
    """
    experiment = validation.experiment_in_validation()
    if experiment is None:
        logger.warning(
            "Kernel faults: this version of the toolkit does not show the control what it "
            "validates; arguments are checked when their activity starts"
        )
        return
    found = [shown(each) for each in validation.findings(experiment)]
    if found:
        raise InvalidActivity("\n".join(found))


def before_experiment_control(context: dict, **kwargs: object) -> None:
    """Note which faults are not this experiment's."""
    presence.begin(shared().records())
    _run().played = None
    _close_sinks()
    try:
        _run().sinks = sink.sinks(_as_of_now)
    except ChaosKernelError as error:
        logger.error("Kernel faults: no telemetry: %s", error)


def after_method_control(context: dict, state: list, **kwargs: object) -> None:
    """Note what was played: hypotheses that are tested from now on are those after the method."""
    _run().played = state or []


def after_hypothesis_control(
    context: dict, state: dict, experiment: dict, **kwargs: object
) -> None:
    """After the method, let the hypothesis deviate when the faults hit nothing.

    The toolkit reads the verdict from the state after this control has seen it, so
    that status, log and the choice of rollbacks are as with any other deviation.
    """
    played = _run().played
    if played is None or not state or not state.get("steady_state_met"):
        return
    _refresh_counters()
    short_of = evidence.shortfalls(experiment.get("method", []), played, _run().records())
    if short_of:
        _tell(short_of)
        state["steady_state_met"] = False
        state["probes"].append(_verdict(short_of))


def after_experiment_control(context: dict, state: dict, **kwargs: object) -> None:
    """Stop what is left, and put the evidence into the journal.

    :param context: the experiment.
    :param state: the journal; absent when the toolkit failed before it had one.
    """
    _stop_all()
    if not isinstance(state, dict):
        return
    records = _run().records()
    short_of = evidence.shortfalls(context.get("method", []), state.get("run") or [], records)
    left = list(evidence.leftovers(records))
    if left:
        logger.error("Kernel faults: %s", "; ".join(left))
        state["status"] = "failed"
    # There may have been no hypothesis after the method to carry the verdict.
    if short_of and state.get("status") == "completed" and not state.get("deviated"):
        _tell(short_of)
        state["deviated"] = True
    state[evidence.JOURNAL_KEY] = evidence.entry(records, short_of, state)


def cleanup_control() -> None:
    """Stop what is left: the toolkit calls this even after an error that it does not handle."""
    _stop_all()
    _close_sinks()
    presence.end()
    _run().played = None


def _stop_all() -> None:
    for line in registry.shared().delete_all():  # first: a tick would inject again
        logger.error("Kernel faults: %s", line)
    try:
        shared().stop()
    except ChaosKernelError as error:
        logger.error("Kernel faults: %s", error)


def _close_sinks() -> None:
    opened, _run().sinks = _run().sinks, []
    sink.close(opened, _run().records())


def _as_of_now() -> list[Record]:
    _refresh_counters()
    return _run().records()


def _refresh_counters() -> None:
    for record in _run().records():
        if record.state is State.ACTIVE:
            try:
                shared().counters(record.fault.name)
            except ChaosKernelError as error:
                logger.warning("Kernel faults: %s", error)


def _tell(short_of: list[str]) -> None:
    logger.error("Kernel faults: %s; the experiment has deviated", "; ".join(short_of))


def _verdict(short_of: list[str]) -> dict:
    """Return a run of a probe, in the toolkit's shape, that is out of its tolerance."""
    now = datetime.now(UTC).isoformat()
    return {
        "activity": {
            "type": "probe",
            "name": "kernel faults were injected",
            "tolerance": [],
            "provider": {"type": "python", "module": __name__, "func": "after_hypothesis_control"},
        },
        "output": short_of,
        "status": "succeeded",
        "tolerance_met": False,
        "start": now,
        "end": now,
        "duration": 0.0,
    }
