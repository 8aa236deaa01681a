"""What the agent and the one who started it say to each other: JSON lines.

In, on standard input: one Fault document, then any number of requests
(`{"request": "counters"}`, `{"request": "events", "limit": 100}`,
`{"request": "stop"}`).  Out, on standard output, one object a line, each with a `type`:

`progress`
    `step`: what is being done; only before `armed`.
`armed`
    the fault is in force: `name`, `hook`, `mechanism`, `engine`, `callchain`
    (the resolved symbols), `targets`, `armed_at` and `expires_at` (ISO 8601,
    UTC), `programs` (ids, as in `bpftool prog`), `warnings` (what does not work on this
    kernel as it should, a line for each).
`counters`
    `counters`: the answer to a request.  With pods in the scope they come by themselves: when
    they have changed, and every 10 s.
`events`
    `events`: the latest injections, each with `at` (ISO 8601, UTC), `pid`, `tid`,
    `command`, `cgroup`, `arguments` and `stack`; `dropped`: how many older ones were
    not kept.
`error`
    `error`: a class of chaoskernel.errors, `message`, `hint` and, of an
    InvalidFault, `key`, `value` and `allowed`.  The fault is not, or no longer,
    in force, and the agent exits with status 1.
`disarmed`
    the last line: `reason` (stop, deadline, or the name of a signal),
    `counters`, `events` and `dropped`: the final ones, `ended_at`, `leftovers`: ids of
    programs that are loaded still; empty unless something went wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chaoskernel import errors

PROGRESS = "progress"
ARMED = "armed"
COUNTERS = "counters"
EVENTS = "events"
ERROR = "error"
DISARMED = "disarmed"

REQUEST_COUNTERS = "counters"
REQUEST_EVENTS = "events"
REQUEST_STOP = "stop"


def encode(message: Mapping[str, Any]) -> str:
    """Return a message as one line, line feed included."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n"


def decode(line: str) -> dict[str, Any]:
    """Return the message of a line.

    :raises AgentError: the line is not a JSON object.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise errors.AgentError(f"this is not a message of the agent's: {line[:80]!r}")
    return message


def warnings_of(armed: Mapping[str, Any]) -> list[str]:
    """Return the `warnings` of an `armed` message; none where another version says otherwise."""
    said = armed.get("warnings")
    return [str(each) for each in said] if isinstance(said, list) else []


def error_message(error: errors.ChaosKernelError) -> dict[str, Any]:
    """Return the message that carries an error."""
    message = {
        "type": ERROR,
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
    }
    if isinstance(error, errors.InvalidFault):
        message |= {"key": error.key, "value": _plain(error.value), "allowed": error.allowed}
    return message


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, or else what Python calls it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value


def error_of(message: Mapping[str, Any]) -> errors.ChaosKernelError:
    """Return the error that a message carries, as the class that raised it where possible."""
    text, hint = str(message.get("message", "")), str(message.get("hint", ""))
    kind = getattr(errors, str(message.get("error", "")), None)
    if kind is errors.InvalidFault and "key" in message:
        return errors.InvalidFault(
            str(message["key"]), message.get("value"), str(message.get("allowed")), hint=hint
        )
    if kind in (errors.UnsupportedKernel, errors.DeadHook):
        unsupported: errors.ChaosKernelError = kind(text, needs=hint)
        return unsupported
    if kind in (errors.NotPermitted, errors.MissingTool, errors.EngineError):
        error: errors.ChaosKernelError = kind(text, hint=hint)
        return error
    return errors.AgentError(text, hint=hint)
