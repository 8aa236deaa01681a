"""What the agent and the one who started it say to each other: JSON lines.

In, on standard input: one Assignment (or a Fault alone), then any number of requests
(`{"request": "counters"}`, `{"request": "events", "limit": 100}`,
`{"request": "stop"}`).  A request may have an `id`, a number that grows; its answer has the
same.  Out, on standard output, one object a line, each with a `type`:

`types`
    a piece of the kernel's types (BTF), packed as an object is: `text`, its `number` from 0 on,
    and how many there are `of` them.  Only where the Assignment asks for them, and before all else.
`progress`
    `step`: what is being done; only before `armed`.
`armed`
    the fault is in force: `name`, `hook`, `mechanism`, `proof` (how the hook was shown to be
    alive: called, attached or accepted, see engine/prove.py), `engine`, `callchain` (the
    resolved symbols), `targets`, `armed_at` and `expires_at` (ISO 8601, UTC),
    `programs` (ids, as in `bpftool prog`), `left_out` (callers of the system calls that it names
    who enter the kernel by another function, in words), `warnings` (what does not work on this
    kernel as it should, a line for each).  Where a stand-in was armed, `stand_in_for` is the kind
    of fault that was asked for, and `fault` the kind that stands in for it.
`alive`
    nothing has changed; with pods in the scope something is said every 10 s.
`point`
    `at` (ISO 8601, UTC), and of `counters` those that are kept over time.  An agent without pods
    in its scope says it when they have changed, at most once a second; `since` is the latest
    moment at which they were still as they had been said before.
`counters`
    `counters`: the answer to a request.  With pods in the scope they come by themselves when they
    have changed: at most once a second, and less often the more is said, with the 20 processes
    that were hit most; `processes_left_out` counts the others.  These have `at` and `since`
    as a point has.
`events`
    `events`: the latest injections, each with `at` (ISO 8601, UTC), `pid`, `tid`,
    `command`, `cgroup`, `arguments`, `stack`, and `stack_kept`: false where the fault's `stacks`
    left the stack out; `dropped`: how many older ones were not kept.
`begin_run`, `phase`, `end_run`, `sites`
    answers to requests of a fault that records sites.  `{"request": "begin_run", "pids": [...],
    "sites": {"fail": [...], "hits": ..., "phases": [...], "every": true}}` counts anew, says which
    sites fail and whether every one is counted, and puts processes in scope; `{"request": "phase",
    "phase": "work"}` says what the program does from now on; both are answered with `refused`, a
    text, where that cannot be.  `end_run`: `counts` and `phases` by the id of a site, of every one
    or of those alone that were to fail or are new, `new`: the sites that had not been told of,
    `left`: ids of those of them that did not fit, `failed`: how many requests failed at each site
    that was to fail, `lost`: requests whose sites were not kept.
    `{"request": "sites", "first": 0}`: `sites`, each with its `count`, in the order of their ids
    from that one on; `known`: how many there are.
`error`
    `error`: a class of chaoskernel.errors, `message`, `hint` and, of an
    InvalidFault, `key`, `value`, `allowed` and `problem`.  The fault is not, or no longer,
    in force, and the agent exits with status 1.
`disarmed`
    the last line: `reason` (stop, deadline, or the name of a signal),
    `counters`, `events` and `dropped`: the final ones, `ended_at`, `leftovers`: ids of
    programs that are loaded still; empty unless something went wrong; `unread`: how many
    messages were dropped because nobody read them; `since`: as of a point, `ended_at` being its
    moment; `sites` and `known`, of a fault that recorded sites: the first 500 of them.

Whoever listens to an agent reads each line with `heard`: a line may be a library's own words, a
proxy's page or the message of another version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chaoskernel import errors
from chaoskernel.fault.checks import check_levels
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.agent import shapes
    from chaoskernel.agent.shapes import Message
else:
    shapes = Lazy("chaoskernel.agent.shapes")  # for those who listen to an agent

TYPES = "types"
PROGRESS = "progress"
ARMED = "armed"
ALIVE = "alive"
POINT = "point"
COUNTERS = "counters"
EVENTS = "events"
ERROR = "error"
DISARMED = "disarmed"

REQUEST_COUNTERS = "counters"
REQUEST_EVENTS = "events"
REQUEST_STOP = "stop"
REQUEST_BEGIN_RUN = "begin_run"
REQUEST_PHASE = "phase"
REQUEST_END_RUN = "end_run"
REQUEST_SITES = "sites"

MAX_LINE = 12 << 20
"""Longest line, in characters: a fault may bring an object of checks.MAX_OBJECT bytes in base64."""

MAX_MESSAGE = 4 << 20
"""Longest line of an agent: 256 events and 4,096 processes make some 400,000 characters."""

MAX_DEPTH = 16
"""Most levels of lists and objects in a message."""

_TOO_DEEP = f"a message of more than {MAX_DEPTH} levels"
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")

_CLAUSE = 1000
"""Characters of an error's text that are taken; of its hint half as many."""

_SHOWN = 80
_OTHER_VERSION = "the agent and this program may be of different versions"


def encode(message: Mapping[str, Any]) -> str:
    """Return a message as one line, line feed included."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n"


def decode(line: str, *, longest: int = MAX_LINE) -> dict[str, Any]:
    """Return the JSON object of a line: a fault, a request, or a message that nobody has checked.

    :param longest: how many characters the line may have.
    :raises AgentError: the line is too long, is not a JSON object, or is nested too deeply.
    """
    if len(line) > longest:
        raise errors.AgentError(f"a line of more than {longest} characters: {line[:_SHOWN]!r}")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise errors.AgentError(f"this is not a message of the agent's: {line[:_SHOWN]!r}")
    if _may_have_halves(line):
        return {_text(key, 0): _text(value, MAX_DEPTH - 1) for key, value in document.items()}
    try:
        check_levels(document, MAX_DEPTH)
    except RecursionError:
        raise errors.AgentError(_TOO_DEEP) from None
    return document


def checked(message: Mapping[str, Any]) -> Message:
    """Return a message of an agent whose fields are what the text above says.

    A field may be missing, since another version of the agent may not have it; `get` reads it.
    Of each frame, process, pod and place that is listed, what identifies and counts it is there.
    Keys that are not known here are kept.

    :raises AgentError: the type is not known, or a field is of another type than it has to be.
    """
    kind = message.get("type")
    shape = shapes.MESSAGES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise errors.AgentError(
            f"type: {str(kind)[:_SHOWN]!r} is not a type of message", hint=_OTHER_VERSION
        )
    try:
        shapes.check(message, shape, str(kind))
    except ValueError as wrong:
        raise errors.AgentError(str(wrong), hint=_OTHER_VERSION) from None
    return dict(message)


def heard(line: str) -> Message:
    """Return the checked message of a line that an agent has written.

    :raises AgentError: there is none in it; skip the line, report it, and listen on.
    """
    return checked(decode(line, longest=MAX_MESSAGE))


def _may_have_halves(line: str) -> bool:
    """Tell whether a text of a line may be half of a surrogate pair.

    Only by an escape, or where the line itself has one.  To copy every text, which makes sure of
    that, takes longer than all else that is done with the last line of an agent.
    """
    if "\\u" in line and _ESCAPED_HALF.search(line):
        return True
    try:
        line.encode()
    except UnicodeEncodeError:
        return True
    return False


def _text(value: Any, depth: int) -> Any:
    """Return a JSON value whose text can be written again: no half of a surrogate pair.

    :param depth: how many levels it may have.
    :raises AgentError: it has more.
    """
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if not isinstance(value, list | dict):
        return value
    if not depth:
        raise errors.AgentError(_TOO_DEEP)
    if isinstance(value, list):
        return [_text(item, depth - 1) for item in value]
    return {_text(key, 0): _text(item, depth - 1) for key, item in value.items()}


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
        message |= {
            "key": error.key,
            "value": _plain(error.value),
            "allowed": error.allowed,
            "problem": error.problem,
        }
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
    text = _clause(message, "message", _CLAUSE) or "its agent failed, and did not say why"
    hint = _clause(message, "hint", _CLAUSE // 2)
    kind = getattr(errors, str(message.get("error", "")), None)
    if kind is errors.InvalidFault and "key" in message:
        return errors.InvalidFault(
            str(message["key"]),
            message.get("value"),
            str(message.get("allowed", "")),
            problem=str(message.get("problem", "")),
            hint=hint,
        )
    if kind in (errors.UnsupportedKernel, errors.MissingHook, errors.DeadHook):
        unsupported: errors.ChaosKernelError = kind(text, needs=hint)
        return unsupported
    if kind in (errors.NotPermitted, errors.MissingTool, errors.EngineError):
        error: errors.ChaosKernelError = kind(text, hint=hint)
        return error
    return errors.AgentError(text, hint=hint)


def _clause(message: Mapping[str, Any], key: str, longest: int) -> str:
    return str(message.get(key, ""))[:longest].strip()
