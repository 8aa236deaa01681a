"""What is wrong with the activities of an experiment, as far as no kernel or cluster is asked.

The arguments go through the code that reads them in a run.  An activity may have several things
wrong: an argument that is refused is left out, and the others are looked at again.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from chaoslib import substitute
from chaoslib.configuration import load_configuration

from chaoskernel.errors import ChaosKernelError, InvalidFault, InvalidManifest
from chaoskernel.fault.lists import undefined
from chaoskernel.fault.scope import MAX_PID
from chaoskernel.lazy import Lazy
from chaoskernel.toolkit import arguments
from chaoskernel.toolkit.arguments import SCOPE

if TYPE_CHECKING:
    from chaoskernel.explore import activities as explorations
else:
    explorations = Lazy("chaoskernel.explore.activities")

Document = Mapping[str, Any]

_ACTIONS, _PROBES = "chaoskernel.actions", "chaoskernel.probes"
_OF_A_KIND = frozenset(
    {
        *("function", "errno", "parameters", "predicate", "paths", "devices", "any_file"),
        *("peers", "engine", "stand_in", "site", "sites", "hits"),
    }
)
"""Arguments whose rules depend on `fault`."""

_ANY_SCOPE = {"pids": [MAX_PID]}
"""Stands for a scope that is wrong, while the other arguments are looked at."""

_OF_A_CLUSTER = frozenset({"max_nodes", "system_pods"})

_ONE_WAY = "not together"


def _named(*, name: Any, **_: Any) -> None:
    arguments.fault_name(name)


def _all_or_named(*, name: Any = "", **_: Any) -> None:
    arguments.fault_name(name)


def _counted(*, name: Any, minimum: Any = 1, timeout: Any = 30, **_: Any) -> None:
    arguments.fault_name(name)
    arguments.count("minimum", minimum)
    arguments.waiting_time(timeout)


def _applied(*, kubernetes: Any = False, **given: Any) -> None:
    """Check arguments of apply_kernel_chaos, of which some are a cluster's, and deprecated."""
    if kubernetes is True:
        arguments.pod_documents(**{key: given[key] for key in given if key not in SCOPE})
    else:
        arguments.host_documents(**{key: given[key] for key in given if key not in _OF_A_CLUSTER})


def _explored(*, state: Any = "", resume: Any = False, **given: Any) -> None:  # noqa: ARG001
    explorations.planned(**given)


def _limited(*, name: Any, limit: Any = 100) -> None:
    arguments.fault_name(name)
    arguments.count("limit", limit)


CHECKS: Mapping[tuple[str, str], Callable[..., Any]] = {
    (_ACTIONS, "start_injection"): arguments.host_fault,
    (_ACTIONS, "start_pod_injection"): arguments.pod_request,
    (_ACTIONS, "apply_kernel_chaos"): _applied,
    (_ACTIONS, "apply_pod_kernel_chaos"): arguments.pod_documents,
    (_ACTIONS, "explore"): _explored,
    (_ACTIONS, "stop_injection"): _all_or_named,
    (_ACTIONS, "stop_pod_injection"): _all_or_named,
    (_ACTIONS, "wait_for_injection"): _counted,
    (_PROBES, "counters"): _named,
    (_PROBES, "injected"): _named,
    (_PROBES, "injection_active"): _named,
    (_PROBES, "injection_events"): _limited,
    (_PROBES, "ensure_injected"): _counted,
    (_PROBES, "sites"): _named,
    (_PROBES, "kernel_supports"): arguments.supported,
}
"""What reads the arguments of each activity."""

_NOT_LOOKED_AT = frozenset({"secrets", "configuration", "jobs_namespace", "image", "privileged"})
"""Arguments that say how a cluster is reached."""

_OF_A_STARTED_FAULT = frozenset(
    {
        *("counters", "injected", "injection_events", "sites"),
        *("ensure_injected", "wait_for_injection"),
    }
)


class Finding(NamedTuple):
    """One thing that is wrong.

    :param activity: the name of the activity.
    """

    activity: str
    function: str
    problem: str

    def __str__(self) -> str:
        return f"'{self.activity}' ({self.function}): {self.problem}"


def findings(experiment: Document) -> list[Finding]:
    """Return everything that is wrong with this package's activities in an experiment.

    :raises InvalidExperiment: its configuration names a variable of the environment that is not
        set, as in a run.
    """
    configuration = load_configuration(experiment.get("configuration", {}))
    open_names = _later(configuration) | _secret_names(experiment)
    calls = [call for each in _activities(experiment) if (call := _call(each, configuration))]
    found = [finding for call in calls for finding in _wrong(call, open_names)]
    return [*found, *_unknown_names(calls)]


class _Call(NamedTuple):
    activity: str
    module: str
    function: str
    given: dict[str, Any]


def _activities(experiment: Document) -> Iterator[Document]:
    hypothesis = experiment.get("steady-state-hypothesis") or {}
    for activities in (
        hypothesis.get("probes", []),
        experiment.get("method", []),
        experiment.get("rollbacks", []),
    ):
        yield from activities or []


def _call(activity: Document, configuration: Document) -> _Call | None:
    """Return what an activity calls, if it is one of this package's."""
    provider = activity.get("provider") or {}
    place = str(provider.get("module")), str(provider.get("func"))
    if provider.get("type") != "python" or place not in CHECKS:
        return None
    # Secrets are left as they are: a value of theirs never becomes part of a message.
    given = substitute(dict(provider.get("arguments") or {}), configuration, {})
    return _Call(str(activity.get("name", "")), *place, given)


def _later(configuration: Document) -> frozenset[str]:
    """Return the names whose values a probe finds when the experiment runs."""
    return frozenset(
        key
        for key, value in configuration.items()
        if isinstance(value, Mapping) and value.get("type") == "probe"
    )


def _secret_names(experiment: Document) -> frozenset[str]:
    secrets = experiment.get("secrets") or {}
    return frozenset(key for each in secrets.values() if isinstance(each, Mapping) for key in each)


def _wrong(call: _Call, open_names: frozenset[str]) -> Iterator[Finding]:
    check = CHECKS[call.module, call.function]
    known = {
        key: value
        for key, value in call.given.items()
        if key not in _NOT_LOOKED_AT and not _is_open(value, open_names)
    }
    unknown = set(call.given) - set(known) - _NOT_LOOKED_AT
    if "name" in unknown:
        known["name"] = "any"
    if "manifest" in unknown:
        return
    for problem in _problems(check, known, unknown):
        yield Finding(call.activity, call.function, problem)


def _is_open(value: Any, open_names: frozenset[str]) -> bool:
    """Tell whether a value is known in a run only."""
    if isinstance(value, Mapping) and value.get("type") == "probe":
        return True
    return undefined(value) in open_names


def _problems(check: Callable[..., Any], given: dict[str, Any], unknown: set[str]) -> list[str]:
    """Return what a check refuses, one line each.

    :param unknown: arguments without a value yet: what follows from their absence is no problem.
    """
    found: list[str] = []
    left_out = set(unknown)
    given = _without(given, unknown)
    for _ in range(len(given) + 2):
        try:
            check(**given)
        except InvalidManifest as wrong:
            return [*found, *(f"{wrong.source}: {problem}" for problem in wrong.problems)]
        except InvalidFault as wrong:
            key = _argument(wrong.key)
            if not (key in left_out or (key == "scope" and left_out & set(SCOPE))):
                found.append(str(wrong))
            elif key != "scope":
                break
            if key == "scope" or (key == "system_wide" and _ONE_WAY in wrong.problem):
                given = {k: v for k, v in given.items() if k not in SCOPE} | _ANY_SCOPE
            elif key in given:
                left_out.add(key)
                given = _without(given, {key})
            else:
                break
        except ChaosKernelError as wrong:
            return [*found, str(wrong)]
        else:
            break
    return found


def _argument(key: str) -> str:
    """Return the argument that a key such as `callchain[1].predicate` belongs to."""
    return re.split(r"[.\[ ]", key, maxsplit=1)[0]


def _without(given: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """Return arguments without some, and without those that depend on one of these."""
    gone = keys | (_OF_A_KIND if "fault" in keys else set())
    left = {key: value for key, value in given.items() if key not in gone}
    return {**left, "name": "any"} if "name" in keys else left


def _unknown_names(calls: Sequence[_Call]) -> Iterator[Finding]:
    """Yield what refers to a fault that no activity starts; documents may start any."""
    starts = [call for call in calls if call.function in ("start_injection", "start_pod_injection")]
    names = {str(call.given.get("name")) for call in starts}
    if any(call.function.startswith("apply_") for call in calls) or any(map(undefined, names)):
        return
    for call in calls:
        name = call.given.get("name")
        if call.function not in _OF_A_STARTED_FAULT or not isinstance(name, str) or name in names:
            continue
        if not undefined(name):
            remedy = (
                f"those that are started: {', '.join(sorted(names))}"
                if names
                else ("start_injection starts one")
            )
            problem = f"name: no activity starts a fault named '{name}'; {remedy}"
            yield Finding(call.activity, call.function, problem)


def experiment_in_validation() -> Document | None:
    """Return the experiment that the toolkit is validating; None when it is validating none.

    The toolkit hands a control its own declaration alone.  docs/decisions/015-validation.md has
    what else was looked at.
    """
    frame = inspect.currentframe()
    while frame:
        of_toolkit = frame.f_globals.get("__name__") == "chaoslib.control"
        if of_toolkit and frame.f_code.co_name == "validate_controls":
            found = frame.f_locals.get("experiment")
            return found if isinstance(found, Mapping) else None
        frame = frame.f_back
    return None
