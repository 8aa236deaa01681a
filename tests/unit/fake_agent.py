"""A plain stand-in for the agent: it speaks the protocol, and injects nothing.

Run as a program; its argument is a JSON object of ways to misbehave:

`before`      lines to write before anything else, as they are
`error`       answer the fault with this error message instead of arming
`die`         exit status to die with before arming, with `last_words` on stderr
`hang`        never arm
`deaf`        take no requests once armed
`immortal`    ignore SIGTERM
`deadline`    seconds after which the fault ends by itself
`leftovers`   programs that stay loaded
`warnings`    what does not work as it should
`counters`    the counters; by default 7 reached, 5 matched, 3 injected
"""

from __future__ import annotations

import io
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTERS = {"reached": 7, "matched": 5, "injected": 3, "held_probability": 2}
EVENTS = [{"pid": number, "stack": ["should_failslab+0x1"]} for number in (42, 43, 44)]

# Unbuffered: a line that lies in a buffer is one that select() does not see.
_INPUT = io.FileIO(0, closefd=False)


def launcher(**behaviour: Any) -> Callable[[object], subprocess.Popen[str]]:
    """Return a launcher of fake agents that behave so, whatever the fault is."""

    def launch(fault: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__)), json.dumps(behaviour)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return launch


def _say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def _armed(fault: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "armed",
        "name": fault["name"],
        "hook": "should_failslab",
        "mechanism": "fmod_ret",
        "engine": "fake",
        "callchain": [{"symbol": frame["funcname"]} for frame in fault["callchain"]],
        "targets": [{"pid": pid, "command": "sleep"} for pid in fault["scope"]["pids"]],
        "armed_at": "2026-01-01T00:00:00+00:00",
        "expires_at": "2026-01-01T00:05:00+00:00",
        "programs": [41, 42],
    }


def _serve(behaviour: dict[str, Any], counters: dict[str, int]) -> str:
    end = time.monotonic() + behaviour.get("deadline", 3600)
    while True:
        if not select.select([_INPUT], [], [], max(0.0, end - time.monotonic()))[0]:
            return "deadline"
        line = _INPUT.readline()
        if not line:
            return "stop"
        if behaviour.get("deaf"):
            continue
        request = json.loads(line)
        if request["request"] == "stop":
            return "stop"
        if request["request"] == "events":
            _say(type="events", events=EVENTS[-request["limit"] :], dropped=4)
        else:
            _say(type="counters", counters=counters)


def _main(behaviour: dict[str, Any]) -> int:
    if behaviour.get("immortal"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    fault = json.loads(_INPUT.readline())["fault"]
    for line in behaviour.get("before", []):
        print(line, flush=True)
    if "error" in behaviour:
        _say(type="error", **behaviour["error"])
        return 1
    if "die" in behaviour:
        print(behaviour.get("last_words", ""), file=sys.stderr)
        return int(behaviour["die"])
    if behaviour.get("hang"):
        time.sleep(3600)
    _say(**_armed(fault), warnings=behaviour.get("warnings", []))
    counters = behaviour.get("counters", COUNTERS)
    reason = _serve(behaviour, counters)
    _say(
        type="disarmed",
        reason=reason,
        counters=counters,
        ended_at="2026-01-01T00:00:30+00:00",
        leftovers=behaviour.get("leftovers", []),
        events=EVENTS,
        dropped=4,
    )
    return 0


if __name__ == "__main__":
    sys.exit(_main(json.loads(sys.argv[1])))
