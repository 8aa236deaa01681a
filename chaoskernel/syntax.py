"""Text of the user's <-> parts of a fault."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any, TypeGuard

import durationpy

from chaoskernel import predicate
from chaoskernel.checks import sequence_of
from chaoskernel.errors import InvalidFault
from chaoskernel.spec import Frame, frames_of

# durationpy is looser than Go: it skips what stands between two parts, takes a
# month for "mm", and any Unicode digit.  What is let through to it is Go's grammar
# (https://pkg.go.dev/time#ParseDuration) without the sign.
_DURATION = re.compile(r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+")


def duration(given: object, *, key: str = "duration") -> float:
    """Return a duration in seconds.

    :param given: a Go duration such as `1h30m`, or a number of seconds.
    :param key: where it stands in the fault.
    :raises InvalidFault: it is neither, or negative.  Whether it is too long is
        the fault's own rule.
    """
    if isinstance(given, str):
        text = given.strip()
        if _DURATION.fullmatch(text):
            with contextlib.suppress(durationpy.DurationError):
                return float(durationpy.from_str(text).total_seconds())
    elif _is_number(given) and 0 <= given <= sys.float_info.max:
        return float(given)
    raise InvalidFault(
        key,
        given,
        "a duration",
        hint="write numbers with units, such as 30s, 5m or 1h30m, or a number of seconds",
    )


def pids(values: Any) -> tuple[Any, ...]:
    """Return process ids, of which those that are text become numbers.

    A process id that was substituted into an experiment from the environment is
    text.  What is no number stays as it is, for Scope to refuse.

    :raises InvalidFault: the values are not a list.
    """
    return tuple(
        int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value) else value
        for value in sequence_of("pids", values)
    )


def frames(callchain: Any) -> tuple[Frame, ...]:
    """Return the frames of a call chain, outermost first, with their C parsed.

    :param callchain: a list whose items are function names or objects with the
        keys `funcname`, `parameters` and `predicate`.
    :raises InvalidFault: one is not what it should be; the key tells which.
    """
    return tuple(
        Frame(
            frame.funcname,
            predicate.parameters(frame.parameters, key=f"callchain[{index}].parameters"),
            expression(frame.predicate, key=f"callchain[{index}].predicate"),
        )
        for index, frame in enumerate(frames_of(callchain))
    )


def expression(text: str, *, key: str = "predicate") -> str:
    """Return a predicate with its C parsed; none stays none.

    :raises InvalidFault: it is not a single C expression.
    """
    return predicate.expression(text, key=key) if text else ""


def parameters(text: str, *, key: str = "parameters") -> str:
    """Return a function's parameters with their C parsed; none stay none.

    :raises InvalidFault: they are no list of named parameters.
    """
    return predicate.parameters(text, key=key)


def headers(names: Any, *, key: str = "headers") -> tuple[str, ...]:
    """Return the headers that predicates need.

    :param key: where they stand in the fault.
    :raises InvalidFault: one is no header below the kernel's include directory.
    """
    return tuple(predicate.header(name, key=key) for name in sequence_of(key, names))


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
