"""What the fields of an agent's messages have to be; agent/protocol.py says what they mean."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from chaoskernel.fault.checks import is_int, is_number

Message = dict[str, Any]
"""A message whose fields were checked."""

_MAX_COUNT = 1 << 64
_MAX_PROGRAMS = 1024
_SHOWN = 60


class _Value(NamedTuple):
    """A single value.

    :param what: what it has to be, in words.
    """

    what: str
    fits: Callable[[Any], bool]


class _List(NamedTuple):
    """A list, each item of which has one shape.

    :param most: how many items it may have; None sets no limit.
    """

    of: Shape
    most: int | None = None


class _Object(NamedTuple):
    """An object.

    :param keys: those that it must have.
    :param optional: those that it may have.
    :param others: what the values of all other keys have to be; None allows anything finite.
    """

    keys: Mapping[str, Shape] = {}
    optional: Mapping[str, Shape] = {}
    others: Shape | None = None


Shape = _Value | _List | _Object


def check(value: Any, shape: Shape, path: str) -> None:
    """Check a JSON value against a shape.

    :param path: where the value is, for the error.
    :raises ValueError: it does not fit; the text is "path: what is there is not what it has to be".
    """
    if isinstance(shape, _Value):
        if not shape.fits(value):
            raise _wrong(value, shape.what, path)
    elif isinstance(shape, _List):
        if not isinstance(value, list):
            raise _wrong(value, "a list", path)
        if shape.most is not None and len(value) > shape.most:
            raise _wrong(value, f"a list of up to {shape.most} items", path)
        for number, item in enumerate(value):
            # Most are right, and need no path: it is written for those that may be wrong.
            if not (isinstance(shape.of, _Value) and shape.of.fits(item)):
                check(item, shape.of, f"{path}[{number}]")
    else:
        _check_object(value, shape, path)


def _check_object(value: Any, shape: _Object, path: str) -> None:
    if not isinstance(value, Mapping):
        raise _wrong(value, "an object", path)
    for key in shape.keys:
        if key not in value:
            raise _wrong(value, f"an object with {key}", path)
    for key, item in value.items():
        known = shape.keys.get(key) or shape.optional.get(key) or shape.others or _ANY
        if not (isinstance(known, _Value) and known.fits(item)):
            check(item, known, f"{path}.{key[:_SHOWN]}")


def _wrong(value: Any, what: str, path: str) -> ValueError:
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        text = "a number"
    return ValueError(f"{path}: {text[:_SHOWN]} is not {what}")


def _is_count(value: Any) -> bool:
    return is_int(value) and 0 <= value < _MAX_COUNT


def _is_program(value: Any) -> bool:
    return is_int(value) and 0 < value < 2**32


def _is_moment(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return datetime.datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_finite(value: Any) -> bool:
    """Tell whether JSON can have every number in a value."""
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return value is None or isinstance(value, str | bool) or is_number(value)


_ANY = _Value("a JSON value", _is_finite)
_TEXT = _Value("text", lambda value: isinstance(value, str))
_COUNT = _Value("a count", _is_count)
_FLAG = _Value("true or false", lambda value: isinstance(value, bool))
_PROGRAM = _Value("the id of a program", _is_program)
_MOMENT = _Value("a time with a zone in ISO 8601", _is_moment)
_COUNT_OR_MORE = _Value(
    "a count",
    lambda value: _is_count(value) or (isinstance(value, list | dict) and _is_finite(value)),
)
"""Of a key of counters that is not known here: a new counter, or a new list of them."""

_COUNTERS = _Object(
    optional={
        "frames": _List(_Object({"symbol": _TEXT, "entered": _COUNT, "matched": _COUNT})),
        "processes": _List(_Object({"pid": _COUNT, "command": _TEXT, "injected": _COUNT})),
        "near": _List(_Object({"call": _TEXT, "count": _COUNT})),
        "pods": _List(
            _Object({"pod": _TEXT, "injected": _COUNT}, {"control_groups": _List(_TEXT)})
        ),
    },
    others=_COUNT_OR_MORE,
)
_EVENTS: Mapping[str, Shape] = {
    "events": _List(
        _Object(
            optional={
                "at": _MOMENT,
                "pid": _COUNT,
                "tid": _COUNT,
                "command": _TEXT,
                "cgroup": _TEXT,
                "arguments": _Object(),
                "stack": _List(_TEXT),
                "stack_kept": _FLAG,
            }
        )
    ),
    "dropped": _COUNT,
}
_SITE = _Object(
    {
        **dict.fromkeys(("id", "hook", "by", "call"), _TEXT),
        "places": _List(_Object({"function": _TEXT, "offset": _COUNT}, {"module": _TEXT})),
    },
    {
        **dict.fromkeys(("error", "pid", "count"), _COUNT),
        "truncated": _FLAG,
        "command": _TEXT,
        "arguments": _Object(),
    },
)
_TARGET = _Object(
    optional={
        "system_wide": _FLAG,
        "pid": _COUNT,
        "command": _TEXT,
        "cgroup": _TEXT,
        "pod": _TEXT,
        "containers": _List(_TEXT),
    }
)

MESSAGES: Mapping[str, Shape] = {
    "types": _Object({"text": _TEXT, "number": _COUNT, "of": _COUNT}),
    "progress": _Object(optional={"step": _TEXT}),
    "armed": _Object(
        optional={
            **dict.fromkeys(("name", "hook", "mechanism", "engine", "proof"), _TEXT),
            **dict.fromkeys(("fault", "stand_in_for"), _TEXT),
            **dict.fromkeys(("hooks", "left_out"), _List(_TEXT)),
            "callchain": _List(_Object({"symbol": _TEXT}, others=_TEXT)),
            "targets": _List(_TARGET),
            "armed_at": _MOMENT,
            "expires_at": _MOMENT,
            "programs": _List(_PROGRAM, _MAX_PROGRAMS),
        }
    ),
    "alive": _Object(),
    "point": _Object({"counters": _COUNTERS, "at": _MOMENT}, {"since": _MOMENT}),
    "counters": _Object({"counters": _COUNTERS}, {"id": _COUNT, "at": _MOMENT, "since": _MOMENT}),
    "events": _Object(optional={**_EVENTS, "id": _COUNT}),
    **dict.fromkeys(("begin_run", "phase"), _Object(optional={"refused": _TEXT, "id": _COUNT})),
    "end_run": _Object(
        {"counts": _Object(others=_COUNT), "new": _List(_SITE), "failed": _List(_COUNT)},
        {
            "left": _List(_TEXT),
            "lost": _COUNT,
            "phases": _Object(others=_List(_TEXT)),
            "id": _COUNT,
        },
    ),
    "sites": _Object({"sites": _List(_SITE), "known": _COUNT}, {"id": _COUNT}),
    "error": _Object(
        optional=dict.fromkeys(("error", "message", "hint", "key", "allowed", "problem"), _TEXT)
    ),
    "disarmed": _Object(
        optional={
            **_EVENTS,
            "counters": _COUNTERS,
            "reason": _TEXT,
            "ended_at": _MOMENT,
            "leftovers": _List(_PROGRAM),
            "unread": _COUNT,
            "since": _MOMENT,
            "sites": _List(_SITE),
            "known": _COUNT,
        }
    ),
}
"""By the type of a message."""
