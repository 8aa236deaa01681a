"""Documents: faults for an agent, its errors, arguments of activities, journals."""

from __future__ import annotations

import json
from pathlib import Path

from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, errors
from chaoskernel.agent import protocol
from chaoskernel.backend.backends import sharing
from chaoskernel.cli import summary
from chaoskernel.fault.assignment import Assignment
from chaoskernel.toolkit.evidence import JOURNAL_KEY
from tests.fuzz import mutate
from tests.fuzz.target import Target, invoked, loaded, require, require_told
from tests.fuzz.targets.chaosmesh import CHAIN
from tests.unit.fakes import FakeBackend

_FAULT = {
    "name": "demo",
    "fault": "function",
    "function": "sys_openat",
    "errno": "EMFILE",
    "parameters": "int dfd, const char *filename",
    "predicate": "(dfd == 3)",
    "callchain": CHAIN,
    "limits": {"probability": 12.5, "times": 3, "duration": 30},
    "scope": {"pids": [42], "pid_files": ["/run/a.pid"], "commands": ["victim"], "cgroups": ["/a"]},
    "mechanism": "auto",
    "headers": ["linux/fs.h"],
    "dry_run": True,
    "engine": "core",
}
_POD_FAULT = {
    "name": "pods",
    "fault": "slab",
    "scope": {
        "pods": [
            {
                "namespace": "shop",
                "name": "db-0",
                "uid": "0c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d",
                "node": "worker-1",
                "containers": [{"name": "app", "id": "containerd://" + "a" * 64}],
            }
        ]
    },
}
_ASSIGNMENT = {"fault": _FAULT, "object": ""}
_FAULT_WORDS = (
    *("name", "fault", "callchain", "limits", "scope", "mechanism", "engine", "object", "pods"),
    *("slab", "page", "bio", "function", "none", "auto", "kprobe", "times", "duration", "errno"),
    *("system_wide", "containers", "commands", "headers", "dry_run", "a/b.h", "/../x", "id"),
)


def _try_fault(given: str, _: Path) -> None:
    read = Assignment.from_json(protocol.decode(given))
    again = Assignment.from_json(protocol.decode(protocol.encode(read.to_json())))
    require(again == read, "it reads otherwise again")


_ERRORS = (
    {
        "type": "error",
        "error": "InvalidFault",
        "message": "m",
        "hint": "h",
        "key": "k",
        "value": [1],
        "allowed": "a",
    },
    {"type": "error", "error": "UnsupportedKernel", "message": "m", "hint": "h"},
    {"type": "error", "error": "EngineError", "message": "m", "hint": "h"},
)


def _try_error(given: str, _: Path) -> None:
    """Carry an error from an agent to whoever started it, as an error of this package."""
    error = protocol.error_of(protocol.decode(given))
    require(isinstance(error, errors.ChaosKernelError), "no error of this package")
    said = protocol.decode(protocol.encode(protocol.error_message(error)))
    if said.get("value") == getattr(error, "value", None):  # JSON has no infinity
        require(str(protocol.error_of(said)) == str(error), "it reads otherwise again")
    require_told(error)


_ARGUMENTS = {
    "name": "demo",
    "fault": "slab",
    "callchain": ["sys_mount", *CHAIN],
    "probability": 12.5,
    "times": 3,
    "duration": "1h30m",
    "pids": [12, "34"],
    "pid_files": ["/run/a.pid"],
    "commands": ["victim"],
    "cgroups": ["/a"],
    "containers": ["a" * 12],
    "mechanism": "auto",
    "engine": "auto",
    "function": "",
    "errno": "",
    "parameters": "",
    "predicate": "order == 1",
    "headers": ["linux/fs.h"],
    "dry_run": False,
}


def _try_arguments(given: str, _: Path) -> None:
    """Start a fault as the toolkit does: with whatever an experiment's JSON has."""
    arguments = loaded(given)
    known = dict(arguments) if isinstance(arguments, dict) else {}
    known = {key: value for key, value in known.items() if key in _ARGUMENTS}
    with sharing(FakeBackend()):
        try:
            actions.start_injection(**{"name": "demo", **known})
        except ActivityFailed as failed:
            raise errors.ChaosKernelError(str(failed)) from failed


_RECORD = {
    "name": "mount-enomem",
    "fault": "slab",
    "hook": "should_failslab",
    "mechanism": "fmod_ret",
    "engine": "bcc",
    "callchain": [{"symbol": "path_mount", "mechanism": "fentry"}],
    "targets": [{"pid": 812, "command": "mount_loop"}, {"pod": "a/b", "containers": ["c"]}],
    "state": "ended",
    "armed_at": "2026-01-01T00:00:00+00:00",
    "ended_at": "2026-01-01T00:00:08.250000+00:00",
    "reason": "stop",
    "dry_run": True,
    "counters": {
        "reached": 40,
        "matched": 9,
        "injected": 4,
        "held_probability": 5,
        "held_dry_run": 2,
        "frames": [{"symbol": "path_mount", "entered": 13, "matched": 12}],
        "processes": [
            {"pid": 812, "command": "mount_loop", "injected": 1},
            {"pid": 815, "command": "mount", "injected": 3},
        ],
    },
    "events": [{"stack": ["should_failslab+0x1", "__kmalloc+0x5f"]}],
}
_JOURNAL = {
    "status": "completed",
    "deviated": False,
    "experiment": {"title": "mount survives"},
    JOURNAL_KEY: {"faults": [_RECORD], "shortfalls": ["fault 'x' injected nothing"]},
}
_JOURNAL_WORDS = (
    *_RECORD,
    *("injected", "stack", "symbol", "entered", "pid", "command", "system_wide", "cgroup", "none"),
)


def _try_journal(given: str, scratch: Path) -> None:
    file = scratch / "journal.json"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    json.loads(invoked(summary.command, str(file), "--json"))
    invoked(summary.command, str(file))


TARGETS = (
    Target(
        "agent-documents",
        18,
        mutate.documents((_FAULT, _POD_FAULT, _ASSIGNMENT), _FAULT_WORDS),
        _try_fault,
        tuple(map(json.dumps, (_FAULT, _POD_FAULT, _ASSIGNMENT))),
        mutate.DEEP,
    ),
    Target(
        "agent-errors",
        5,
        mutate.documents(
            _ERRORS,
            ("error", "message", "hint", "key", "value", "DeadHook", "InvalidManifest", "Any"),
        ),
        _try_error,
        tuple(map(json.dumps, _ERRORS)),
        mutate.DEEP,
    ),
    Target(
        "arguments",
        8,
        mutate.documents((_ARGUMENTS,), _FAULT_WORDS),
        _try_arguments,
        (json.dumps(_ARGUMENTS),),
    ),
    Target(
        "journals",
        10,
        mutate.documents((_JOURNAL,), _JOURNAL_WORDS),
        _try_journal,
        (json.dumps(_JOURNAL),),
        mutate.DEEP,
    ),
)
