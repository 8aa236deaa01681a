"""Text of the user's <-> parts of a fault."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import sys
from typing import Any, TypeGuard

import durationpy

from chaoskernel import predicate
from chaoskernel.checks import check_function, listed
from chaoskernel.errors import InvalidFault
from chaoskernel.scope import Scope
from chaoskernel.spec import Frame, errno_of, frames_of

# durationpy is looser than Go: it skips what stands between two parts, takes a
# month for "mm", and any Unicode digit.  What is let through to it is Go's grammar
# (https://pkg.go.dev/time#ParseDuration) without the sign; it has two letters for micro.
_DURATION = re.compile(r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|[\u00b5\u03bc]s|ms|s|m|h))+")


_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ALWAYS = "true"
_MAX_SPEC = 2**16


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
            with contextlib.suppress(durationpy.DurationError, OverflowError):
                return float(durationpy.from_str(text).total_seconds())
    elif _is_number(given) and 0 <= given <= sys.float_info.max:
        return float(given)
    raise InvalidFault(
        key,
        given,
        "a duration",
        hint="write numbers with units, such as 30s, 5m or 1h30m"
        + ("" if isinstance(given, str) else ", or a number of seconds"),
    )


def process_ids(values: Any) -> tuple[Any, ...]:
    """Return process ids, of which those that are text become numbers.

    A process id that was substituted into an experiment from the environment is
    text.  What is no number stays as it is, for Scope to refuse.

    :raises InvalidFault: the values are not a list.
    """
    return tuple(
        int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value) else value
        for value in listed("pids", values)
    )


def duration_text(seconds: float) -> str:
    """Return a duration as Go writes it, so that `duration` gives the seconds again."""
    return str(durationpy.to_str(datetime.timedelta(seconds=seconds)))


def scope(
    *,
    pids: Any = None,
    pid_files: Any = None,
    commands: Any = None,
    cgroups: Any = None,
    containers: Any = None,
    system_wide: Any = False,
) -> Scope:
    """Return the scope that lists of a user's name; those that are absent are empty.

    :raises InvalidFault: one is no list, or names something impossible, or nothing is named.
    """
    return Scope(
        pids=process_ids(pids),
        pid_files=listed("pid_files", pid_files),
        commands=listed("commands", commands),
        cgroups=listed("cgroups", cgroups),
        containers=listed("containers", containers),
        system_wide=system_wide,
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
        for index, frame in enumerate(frames_of(listed("callchain", callchain)))
    )


def expression(text: str, *, key: str = "predicate") -> str:
    """Return a predicate with its C parsed; none stays none.

    :raises InvalidFault: it is not a single C expression.
    """
    return "" if text in ("", None) else predicate.expression(text, key=key)


def errno(given: Any) -> Any:
    """Return the number of an error that is given by name or number; none is 0.

    :raises InvalidFault: there is no error of that name.
    """
    return 0 if given == "" else errno_of(given)


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
    return tuple(predicate.header(name, key=key) for name in listed(key, names))


@dataclasses.dataclass(frozen=True, slots=True)
class Chain:
    """What a spec of inject.py says.

    :param frames: outermost first.
    :param predicate: of the hook's own arguments; empty is true.
    """

    frames: tuple[Frame, ...] = ()
    predicate: str = ""


def spec(text: str) -> Chain:
    """Return the call chain of a spec as BCC's inject.py takes it, innermost function first.

    `(order == 1) => f() => g(int a)(a > 3)`: a predicate without a function is the
    hook's, and may come first; one that is left out, or is `(true)`, is always met.

    :raises InvalidFault: it is none; the key tells the column.
    """
    scanner = _Scanner(text)
    found: list[Frame] = []
    test = ""
    if scanner.sees("("):
        test = scanner.test()
        if scanner.is_at_end():
            return Chain((), test)
        scanner.expect("=>")
    while True:
        found.append(scanner.frame())
        if scanner.is_at_end():
            return Chain(tuple(reversed(found)), test)
        scanner.expect("=>")


def spec_text(chain: Chain) -> str:
    """Return the spec of a call chain, so that `spec` gives the chain again."""
    parts = [_called(frame) for frame in reversed(chain.frames)]
    if chain.predicate or not parts:
        parts.insert(0, f"({chain.predicate or _ALWAYS})")
    return " => ".join(parts)


def _called(frame: Frame) -> str:
    test = f"({frame.predicate})" if frame.predicate else ""
    return f"{frame.funcname}({frame.parameters}){test}"


class _Scanner:
    """Reads a spec from its beginning to its end."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or len(text) > _MAX_SPEC:
            raise InvalidFault("spec", text, f"text of up to {_MAX_SPEC} characters")
        self._text = text.replace("\n", " ")
        self._at = 0
        self._skip()

    def sees(self, token: str) -> bool:
        """Tell whether this comes next."""
        return self._text.startswith(token, self._at)

    def is_at_end(self) -> bool:
        """Tell whether nothing comes any more."""
        return self._at == len(self._text)

    def expect(self, token: str) -> None:
        """Pass over what has to come next."""
        if not self.sees(token):
            raise self._refused(f"{token} and the caller's name")
        self._at += len(token)
        self._skip()

    def frame(self) -> Frame:
        """Return a function with its parameters and its predicate."""
        name = _FUNCTION.match(self._text, self._at)
        if not name:
            raise self._refused("the name of a function")
        check_function(self._key(self._at), name[0])
        self._at = name.end()
        self._skip()
        if not self.sees("("):
            raise self._refused(f"the parentheses of {name[0][:40]}")
        inside, key = self._group()
        taken = predicate.parameters(inside, key=key)
        return Frame(name[0], taken, self.test() if self.sees("(") else "")

    def test(self) -> str:
        """Return the predicate within the parentheses that come next."""
        inside, key = self._group()
        return "" if inside.strip() == _ALWAYS else predicate.expression(inside, key=key)

    def _group(self) -> tuple[str, str]:
        """Return what the parentheses that come next hold, and the key that tells where."""
        start, depth, quote = self._at, 0, ""
        for index in range(start, len(self._text)):
            character = self._text[index]
            if quote:
                quote = "" if character == quote else quote
            elif character in "\"'":
                quote = character
            else:
                depth += (character == "(") - (character == ")")
                if depth == 0:
                    self._at = index + 1
                    self._skip()
                    return self._text[start + 1 : index], self._key(start + 1)
        raise self._refused("a parenthesis that is closed")

    def _skip(self) -> None:
        rest = self._text[self._at :]
        self._at += len(rest) - len(rest.lstrip(" \t"))

    def _key(self, at: int) -> str:
        return f"spec, column {at + 1}"

    def _refused(self, allowed: str) -> InvalidFault:
        return InvalidFault(
            self._key(self._at),
            self._text[self._at :],
            allowed,
            hint="such as (order == 1) => mount_subtree() => btrfs_mount(), innermost first",
        )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
