"""A fault is told in the arguments that ask for it, and in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from chaoskernel.fault import syntax
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.asked import asked, in_words
from chaoskernel.fault.spec import Fault

_SCOPES = ("pids", "pid_files", "commands", "cgroups", "containers", "system_wide")


def fault(**arguments: Any) -> Fault:
    scope = {key: arguments.pop(key) for key in _SCOPES if key in arguments}
    return fault_of(name="f", scope=syntax.scope(**scope), **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"fault": "write", "paths": ["/data"], "pid_files": ["/run/db.pid"], "duration": "90s"},
            "write fails with ENOSPC at /data for the processes of /run/db.pid; always, for 1m30s",
        ),
        (
            {"fault": "function", "function": "sys_fsync", "errno": 5, "commands": ["db", "wal"]},
            "sys_fsync fails with EIO for commands db, wal; always, for 5m",
        ),
        (
            {"fault": "connect", "errno": "ETIMEDOUT", "peers": [":5432"], "cgroups": ["/a"]},
            "connect fails with ETIMEDOUT with peers :5432 for control groups /a; always, for 5m",
        ),
        (
            {
                "fault": "slab",
                "callchain": [
                    "sys_mount",
                    {"funcname": "f", "parameters": "int a", "predicate": "a > 3"},
                ],
                "pids": [4, 5, 6, 7, 8],
                "probability": 2.5,
                "times": 3,
                "dry_run": True,
            },
            "slab would fail with ENOMEM under sys_mount → f where its predicates hold for "
            "processes 4, 5, 6 and 2 more; 2.5 % of the time, 3 times at most, for 5m",
        ),
        (
            {"site": "0123456789,abcdef0123", "hits": "persistent", "commands": ["db"]},
            "slab fails with ENOMEM at site 0123456789, abcdef0123 for commands db; always, for 5m",
        ),
        (
            {"fault": "bio", "system_wide": True, "stacks": "none"},
            "bio fails with EIO for the whole system; always, for 5m",
        ),
    ],
)
def test_a_fault_in_words_and_in_arguments_that_ask_for_it_again(
    arguments: dict[str, Any], words: str
) -> None:
    wanted = fault(**arguments)
    assert in_words(wanted) == words
    said = asked(wanted)
    if not wanted.error:
        del said["errno"]  # the hook's own
    assert dataclasses.replace(fault(**said), errno=wanted.errno) == wanted
