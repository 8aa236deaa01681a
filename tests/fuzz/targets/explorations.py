"""Files of explorations, and of what is accepted of them: read again after anybody's edits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from chaoskernel.cli import explore
from chaoskernel.cli.statuses import Status
from chaoskernel.explore import accept, store
from chaoskernel.explore.observation import Attempt
from chaoskernel.explore.plan import Plan
from chaoskernel.fault.hooks import Kind
from tests.fuzz import mutate
from tests.fuzz.target import Target, invoked, require

_SITE = {
    "id": "0123456789",
    "hook": "should_failslab",
    "by": "system call",
    "call": "openat",
    "places": [{"function": "getname_flags", "offset": 16, "module": ""}],
    "truncated": False,
    "error": 12,
    "pid": 7,
    "command": "db",
    "arguments": {},
}
_FOUND = {
    "site": _SITE,
    "fault": "slab",
    "phases": ["work"],
    "count": 1,
    "steady": True,
    "under": "",
}
_RESULT = {
    "attempt": {"sites": list(Attempt(("0123456789",)).sites), "hits": "once"},
    "outcome": "crashed",
    "detail": "killed by SIGSEGV",
    "leaks": [],
    "flaky": False,
    "tries": ["crashed"],
    "seconds": 0.5,
    "tail": "",
    "kernel": [],
    "log": [],
}
_STATE: list[Any] = [
    store.head_of(Plan(("db",), faults=(Kind.SLAB,))),
    {"record": "site", "found": _FOUND, "seconds": 0.1},
    {"record": "result", "result": _RESULT, "seconds": 0.7},
    {"record": "end", "why": "complete", "seconds": 0.8},
]
_ACCEPTED = {
    "schema": 1,
    "kernel": {"release": "6.1", "build": "#1", "machine": "x86_64"},
    "accepted": [
        {
            "attempt": "0123456789@persistent",
            "outcome": "crashed",
            "detail": "",
            "sites": [["slab", "should_failslab", "getname_flags"]],
            "reason": "known",
        }
    ],
}
_WORDS = ("record", "found", "persistent", "0", "hung", "\x1b[2J", "once", "+", "1e999", "exec")


def _lines(document: str) -> str:
    """Return a list as lines of JSON, which a state file is made of."""
    found = json.loads(document)
    return "\n".join(map(json.dumps, found)) if isinstance(found, list) else document


def _try_state(given: str, scratch: Path) -> None:
    file = scratch / "x.jsonl"
    try:
        text = _lines(given)
    except (ValueError, RecursionError):
        text = given
    file.write_text(f"{text}\n", encoding="utf-8", errors="replace")
    for more in ((), ("--json",)):
        try:
            invoked(explore.command, "--show", "--state", str(file), *more)
        except SystemExit as over:
            require(over.code in (0, Status.FOUND), "another exit status")


def _try_accepted(given: str, scratch: Path) -> None:
    file = scratch / "accepted.yaml"
    file.write_text(given, encoding="utf-8", errors="replace")
    accept.read(file)


TARGETS = (
    Target(
        "explorations",
        6,
        mutate.documents((_STATE,), _WORDS),
        _try_state,
        (json.dumps(_STATE),),
    ),
    Target(
        "accepted outcomes",
        3,
        mutate.documents((_ACCEPTED,), _WORDS),
        _try_accepted,
        (json.dumps(_ACCEPTED), yaml.safe_dump(_ACCEPTED)),
    ),
)
