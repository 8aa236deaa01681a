"""A user's arguments -> a Plan: the one builder, for the action and for the command line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.explore.plan import Plan
from chaoskernel.fault import syntax
from chaoskernel.fault.lists import items
from chaoskernel.fault.sites import Hits, hits_of, phase_of
from chaoskernel.fault.spec import kind_named

_EXPERIMENTS = (".json", ".yaml", ".yml")
_ALWAYS_READY = ":"


def plan_of(
    *,
    command: Sequence[str] | str,
    start: str = "",
    ready: str = "",
    directory: str = "",
    faults: Any = None,
    hits: Any = None,
    phases: Any = None,
    timeout: Any = "60s",
    budget: Any = "",
    **others: Any,
) -> Plan:
    """Return what arguments ask for, as the command `explore` takes them.

    :param command: the program; with `start` the workload, or the file of an experiment.  Text
        is taken apart as a shell does.
    :param others: fields of Plan that need no reading.
    :raises InvalidFault: one is wrong.
    """
    if isinstance(command, str):
        words = _words("command", command)
    else:
        words = tuple(map(str, items("command", command)))
    program = _words("start", start) if start else words
    is_experiment = len(words) == 1 and words[0].endswith(_EXPERIMENTS)
    if is_experiment and not start:
        raise InvalidFault(
            "start", "", problem="missing", hint="name the service that the experiment explores"
        )
    if not start and (ready or others.get("stop")):
        name = "ready" if ready else "stop"
        problem, hint = "only for a service", "give --start, or leave it out"
        raise InvalidFault(name, ready or others["stop"], problem=problem, hint=hint)
    return Plan(
        command=_resolved(program),
        workload=shlex.join(words) if start and not is_experiment else "",
        experiment=str(Path(words[0]).absolute()) if is_experiment else "",
        ready=ready or (_ALWAYS_READY if start else ""),
        directory=str(Path(directory).absolute()) if directory else "",
        faults=tuple(map(kind_named, items("fault", faults))),
        hits=tuple(map(hits_of, items("hits", hits))) or (Hits.ONCE,),
        phases=tuple(map(phase_of, items("phase", phases))),
        timeout=syntax.seconds(timeout, key="timeout"),
        budget=syntax.seconds(budget, key="budget") if budget else 0.0,
        **others,
    )


def _words(key: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InvalidFault(key, text, f"a command: {error}", hint="close the quotes") from None


def _resolved(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command whose program has an absolute path, where it is written as a path."""
    if not words or "/" not in words[0]:
        return words
    return (str(Path(words[0]).absolute()), *words[1:])
