"""A Fault as it was asked for: in the arguments of start_injection, and in words."""

from __future__ import annotations

import dataclasses
from typing import Any

from chaoskernel.fault.error_numbers import error_text
from chaoskernel.fault.sites import Sites
from chaoskernel.fault.spec import Fault, Frame, Stacks
from chaoskernel.fault.syntax import duration_text

_LISTED = 3
"""How many of several names a sentence has."""


def error_name(fault: Fault) -> str:
    """Return the name of the error that a fault means; its number where it has no name."""
    return str(error_text(fault.reported)) if fault.reported else ""


def asked(fault: Fault) -> dict[str, Any]:
    """Return a fault by the arguments of start_injection that say it, as JSON types.

    `errno` is the one that programs get, given or usual.  Lists and texts that are empty, and
    flags that are off, are left out; `pods` are "namespace/name".
    """
    limits, scope = fault.limits, fault.scope
    said = {
        "function": fault.function,
        "parameters": fault.parameters,
        "predicate": fault.predicate,
        "headers": list(fault.headers),
        "callchain": [_frame(frame) for frame in fault.callchain],
        **{key: value for key, value in scope.to_json().items() if key != "pods"},
        "pods": [str(pod) for pod in scope.pods],
        **fault.where.to_json(),
        "dry_run": fault.dry_run,
        "stand_in": fault.stand_in,
        **_sites(fault.sites),
        "page_faults": fault.page_faults,
        "stacks": "" if fault.stacks is Stacks.SAMPLE else fault.stacks.value,
    }
    return {
        "fault": fault.kind.value,
        "errno": error_name(fault),
        **{key: value for key, value in said.items() if value},
        "probability": limits.probability,
        "times": limits.times,
        "duration": duration_text(limits.duration),
        "mechanism": fault.mechanism.value,
        "engine": fault.engine.value,
    }


def _sites(sites: Sites | None) -> dict[str, Any]:
    if not sites:
        return {}
    if not sites.fail:
        return {"sites": True}
    return {"site": ",".join(sites.fail), "hits": sites.to_json()["hits"]}


def in_words(fault: Fault) -> str:
    """Return what a fault was asked to do in one sentence."""
    error = error_name(fault)
    parts = [
        fault.function or fault.kind.value,
        "would fail" if fault.dry_run else "fails",
        f"with {error}" if error else "",
        _where(fault),
        _under(fault),
        f"for {_whom(fault)}",
    ]
    return " ".join(filter(None, parts)) + f"; {_limits(fault)}"


def _where(fault: Fault) -> str:
    where = fault.where
    if where.peers:
        return f"with peers {_few(where.peers)}"
    return f"at {_few(where.named)}" if where.named else ""


def _under(fault: Fault) -> str:
    names = " → ".join(frame.funcname for frame in fault.callchain)
    said = [f"under {names}"] if names else []
    if fault.has_predicates:
        said.append("where its predicates hold")
    if fault.sites and fault.sites.fail:
        said.append(f"at site {_few(fault.sites.fail)}")
    return " ".join(said)


def _whom(fault: Fault) -> str:
    scope = fault.scope
    named = (
        ("processes", scope.pids),
        ("the processes of", scope.pid_files),
        ("commands", scope.commands),
        ("control groups", scope.cgroups),
        ("containers", scope.containers),
        ("pods", scope.pods),
    )
    said = [f"{what} {_few(which)}" for what, which in named if which]
    return " and ".join(said) or "the whole system"


def _limits(fault: Fault) -> str:
    limits = fault.limits
    often = "always" if limits.probability == 100 else f"{limits.probability:g} % of the time"
    times = f", {limits.times} times at most" if limits.times else ""
    return f"{often}{times}, for {duration_text(limits.duration)}"


def _few(names: tuple[object, ...]) -> str:
    more = len(names) - _LISTED
    return ", ".join(map(str, names[:_LISTED])) + (f" and {more} more" if more > 0 else "")


def _frame(frame: Frame) -> str | dict[str, str]:
    """Return a frame as short as start_injection takes it."""
    if not frame.parameters and not frame.predicate:
        return frame.funcname
    return {key: value for key, value in dataclasses.asdict(frame).items() if value}
