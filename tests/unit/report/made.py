"""Journals and explorations of any size, as the toolkit and `explore` write them."""

from __future__ import annotations

import datetime
import random
from typing import Any

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\ud800"
OUTCOMES = ("survived", "reported", "crashed", "hung", "corrupted", "not reached")
_WEIGHTS = (50, 30, 10, 4, 1, 5)
_CALLS = ("openat", "mmap", "fsync", "clone", "read", "write", "execve", "unlink")


def at(seconds: float) -> str:
    return (BEGIN + datetime.timedelta(seconds=seconds)).isoformat()


def activity(name: str, begin: float, end: float, **more: Any) -> dict[str, Any]:
    return {
        "activity": {"type": "action", "name": name},
        "status": "succeeded",
        "start": at(begin),
        "end": at(end),
        "duration": end - begin,
        **more,
    }


def stack(numbers: random.Random) -> list[str]:
    inner = [f"function_{numbers.randrange(60)}+0x{numbers.randrange(999):x}" for _ in range(12)]
    call = numbers.choice(_CALLS)
    outer = [f"__x64_sys_{call}+0x10", "do_syscall_64+0x39", "entry_SYSCALL_64_after_hwframe+0x4b"]
    return ["should_failslab+0x5", *inner, *outer]


def fault(name: str = "demo", events: int = 5, text: str = "victim") -> dict[str, Any]:
    numbers = random.Random(events)
    stacks = [stack(numbers) for _ in range(200)]
    points = [[n, 20 * n, 10 * n, 5 * n + (n > 20) * 50] for n in range(60)]
    part = [[n, n * n] for n in range(60)]
    return {
        "name": name,
        "summary": f"slab fails with ENOMEM for {text}",
        "verdict": "345 calls failed",
        "hook": "should_failslab",
        "armed_at": at(10),
        "ended_at": at(70),
        "state": "ended",
        "reason": "stop",
        "counters": {
            "reached": 1180,
            "matched": 590,
            "injected": 345,
            "held_times": 7,
            "processes": [{"pid": 42, "command": text, "injected": 345, "node": "worker-1"}],
            "pods": [{"pod": "shop/db-0", "injected": 345, "node": "worker-1"}],
        },
        "series": {
            "from": at(10),
            "columns": ["seconds", "reached", "matched", "injected"],
            "points": points,
            "pods": [{"pod": "shop/db-0", "node": "worker-1", "points": part}],
            "nodes": [{"node": "worker-1", "points": part}],
        },
        "events": [
            {
                "at": at(10 + n / 1000),
                "pid": 42,
                "tid": 42,
                "command": text,
                "cgroup": "/",
                "arguments": {"cache": "kmalloc-8", "size": 8, "gfp_flags": "0x102cc0"},
                "hook": "should_failslab",
                "stack": stacks[numbers.randrange(200)],
            }
            for n in range(events)
        ],
    }


def journal(*faults: dict[str, Any], text: str = "mounting works") -> dict[str, Any]:
    return {
        "chaoslib-version": "1.44.0",
        "platform": "Linux",
        "node": "host",
        "experiment": {"title": text, "description": text, "method": []},
        "start": at(0),
        "end": at(90),
        "duration": 90.0,
        "status": "completed",
        "deviated": True,
        "steady_states": {
            "before": {"probes": [activity(text, 0, 2, tolerance_met=True)]},
            "after": {"probes": [activity(text, 80, 82, tolerance_met=False)]},
        },
        "run": [activity(text, 5, 9), activity("wait", 10, 70)],
        "rollbacks": [activity("stop", 85, 86)],
        "chaoskernel": {
            "verdict": "deviated",
            "faults": list(faults or (fault(text=text),)),
            "shortfalls": [text],
        },
    }


def site(number: int, numbers: random.Random, text: str = "") -> dict[str, Any]:
    outcome = numbers.choices(OUTCOMES, _WEIGHTS)[0]
    frames = [each.split("+") for each in stack(numbers)]
    return {
        "id": f"s{number:05}",
        "fault": "slab",
        "hook": "should_failslab",
        "errno": "ENOMEM",
        "entered": {"by": "syscall", "name": numbers.choice(_CALLS)},
        "function": frames[4][0],
        "frames": [{"function": f, "offset": int(o, 16), "module": ""} for f, o in frames],
        "phases": ["work"],
        "count": numbers.randrange(1, 500),
        "outcome": outcome,
        "detail": text or "exit status 1, another output",
        "output": text or "Error: near line 7: out of memory\n" * 12,
        "kernel_log": [text or "a.out[42]: segfault at 0 ip 0000 sp 0000 error 4"],
        "duration": 0.4,
        "replay": f"chaoskernel explore --replay s{number:05}",
        "leaks": ["3 descriptors"] if number % 50 == 0 else [],
        "flaky": number % 70 == 0,
        "tries": [outcome, "survived"],
        "steady": True,
    }


def exploration(sites: int = 12, seed: int = 1, text: str = "") -> dict[str, Any]:
    numbers = random.Random(seed)
    return {
        "schema": 1,
        "kind": "chaoskernel.explore",
        "command": ["sqlite3", text or "db"],
        "kernel": {"release": "6.1.0", "build": "x"},
        "versions": {"chaoskernel": "0.1"},
        "options": {"mode": "once", "faults": ["slab"]},
        "began_at": at(0),
        "duration": 60.0,
        "baseline": {"runs": 3, "status": 0, "duration": 0.4, "output": text, "sites": sites},
        "sites": [site(number, numbers, text) for number in range(sites)],
    }
