"""KernelChaos documents -> a Chaos Toolkit experiment that does the same on one host."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from chaoskernel.chaosmesh.manifest import KernelChaos, Selection
from chaoskernel.fault import syntax
from chaoskernel.fault.spec import Frame

_HOLD_SECONDS = 30.0
"""How long a fault without a duration is held."""

_PID_FILE = "${pid_file}"


def experiment(documents: Sequence[KernelChaos], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole experiment; its steady state is for the user to fill in.

    :param scope: arguments of start_injection that name one; none is a file with a process
        id, which the environment names.
    """
    names = " and ".join(chaos.name for chaos in documents)
    found: dict[str, Any] = {
        "title": f"The service survives {names}",
        "description": " ".join(_described(chaos) for chaos in documents),
        "contributions": {"reliability": "high", "availability": "medium"},
        "tags": ["kernel", *dict.fromkeys(chaos.kind.value for chaos in documents)],
        "runtime": {"rollbacks": {"strategy": "always"}},
    }
    if not scope:
        found["configuration"] = {
            "pid_file": {
                "type": "env",
                "key": "CHAOSKERNEL_PID_FILE",
                "default": "/run/my-service.pid",
            }
        }
    return {
        **found,
        "controls": [
            {
                "name": "kernel faults",
                "provider": {"type": "python", "module": "chaoskernel.control"},
            }
        ],
        "steady-state-hypothesis": {
            "title": "The service works",
            "probes": [
                {
                    **_process("probe", "replace this with a request to the service", "true"),
                    "tolerance": 0,
                }
            ],
        },
        "method": [*_method(documents, scope or {"pid_files": [_PID_FILE]})],
        "rollbacks": [_call("action", "stop all kernel faults", "actions.stop_injection")],
    }


def _method(documents: Sequence[KernelChaos], scope: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the activities: all faults start, are held as long as the longest, and stop."""
    held = max(chaos.duration or _HOLD_SECONDS for chaos in documents)
    return [
        *(
            _call(
                "action", f"start {chaos.name}", "actions.start_injection", **_start(chaos), **scope
            )
            for chaos in documents
        ),
        _process("action", f"hold for {syntax.duration_text(held)}", "sleep", f"{held:g}"),
        *(
            _call("probe", f"{chaos.name} was injected", "probes.ensure_injected", name=chaos.name)
            for chaos in documents
        ),
        *(
            _call("action", f"stop {chaos.name}", "actions.stop_injection", name=chaos.name)
            for chaos in documents
        ),
    ]


def _start(chaos: KernelChaos) -> dict[str, Any]:
    """Return the arguments of start_injection, without those that say what the defaults do."""
    given = {
        "name": chaos.name,
        "fault": chaos.kind.value,
        "callchain": [_frame(frame) for frame in chaos.callchain],
        "predicate": chaos.predicate,
        "headers": list(chaos.headers),
        "probability": chaos.probability if chaos.probability != 100 else 0,
        "times": chaos.times,
        "duration": syntax.duration_text(chaos.duration) if chaos.duration else "",
    }
    return {key: value for key, value in given.items() if value}


def _frame(frame: Frame) -> str | dict[str, str]:
    if not frame.parameters and not frame.predicate:
        return frame.funcname
    return {key: value for key, value in dataclasses.asdict(frame).items() if value}


def _described(chaos: KernelChaos) -> str:
    plan = f" Its schedule, {chaos.plan.cron.text}, is left out." if chaos.plan else ""
    return (
        f"From KernelChaos {chaos.namespace}/{chaos.name}, which selects "
        f"{_selected(chaos.selection)}; here a scope of this host takes their place.{plan}"
    )


def _selected(selection: Selection) -> str:
    amount = f" {selection.value}" if selection.value else ""
    namespaces = ", ".join(selection.selector.pods or selection.selector.namespaces)
    return f"pods of {namespaces} by mode {selection.mode.value}{amount}"


def _call(kind: str, name: str, function: str, /, **arguments: Any) -> dict[str, Any]:
    module, _, func = function.rpartition(".")
    provider = {"type": "python", "module": f"chaoskernel.{module}", "func": func}
    if arguments:
        return {"type": kind, "name": name, "provider": {**provider, "arguments": arguments}}
    return {"type": kind, "name": name, "provider": provider}


def _process(kind: str, name: str, path: str, *arguments: str) -> dict[str, Any]:
    provider: dict[str, Any] = {"type": "process", "path": path}
    if arguments:
        provider["arguments"] = list(arguments)
    return {"type": kind, "name": name, "provider": provider}
