"""Text of the user's <-> parts of a fault."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import sys
from typing import TYPE_CHECKING, Any

import durationpy

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.chain import check_frames, frame_parts
from chaoskernel.fault.checks import check_flag, check_function, is_int, is_number
from chaoskernel.fault.error_numbers import errno_of
from chaoskernel.fault.lists import items
from chaoskernel.fault.rules import check_headers
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Hits, Sites, hits_of
from chaoskernel.fault.spec import Frame, Limits
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.fault import predicate
else:
    predicate = Lazy("chaoskernel.fault.predicate")

# durationpy is looser than Go: it skips what stands between two parts, takes a
# month for "mm", and any Unicode digit.  What is let through to it is Go's grammar
# (https://pkg.go.dev/time#ParseDuration) without the sign; it has two letters for micro.
_DURATION = re.compile(r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|[\u00b5\u03bc]s|ms|s|m|h))+")


# JSON's numbers, as far as a fault has any; an exponent is in none.
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,18})\.[0-9]{1,18}")
_TEXT = (
    "it is text; where it comes from the environment, give its variable "
    '"env_var_type": "int" or "float"'
)

_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_LINE_END = re.compile(r"""("[^"]*"|'[^']*')|\n""")
"""Between tokens a line may end, as a spec is often written; in a literal it is a character."""

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
    elif is_number(given) and 0 <= given <= sys.float_info.max:
        return float(given)
    raise InvalidFault(
        key,
        given,
        "a duration",
        hint="write numbers with units, such as 30s, 5m or 1h30m"
        + ("" if isinstance(given, str) else ", or a number of seconds"),
    )


def number(key: str, given: Any) -> Any:
    """Return an argument that is a number; text that is exactly a number becomes it.

    What the toolkit substitutes into an experiment from the environment is text.

    :param given: what is no text stays as it is, for the fault's own rules.
    :raises InvalidFault: it is text that is no number.
    """
    if not isinstance(given, str):
        return given
    if _WHOLE.fullmatch(given):
        return int(given)
    if _DECIMAL.fullmatch(given):
        return float(given)
    raise InvalidFault(key, given, "a number", hint=_TEXT)


def seconds(given: Any, *, key: str = "duration") -> float:
    """Return a duration in seconds, as an argument of an activity.

    :param given: a Go duration, or a number of seconds, which may be text.
    :param key: where it stands in the fault.
    :raises InvalidFault: it is neither.
    """
    with contextlib.suppress(InvalidFault):
        return duration(number(key, given), key=key)
    return duration(given, key=key)


def limits(probability: Any, times: Any, duration: Any) -> Limits:
    """Return the limits that arguments of an activity name.

    :raises InvalidFault: one is no number, or out of its range.
    """
    return Limits(number("probability", probability), number("times", times), seconds(duration))


def process_ids(values: Any) -> tuple[Any, ...]:
    """Return process ids, of which those that are text become numbers.

    :raises InvalidFault: the values are not a list, or one is text that is no number.
    """
    return tuple(number("pids", value) for value in items("pids", values))


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
        pid_files=items("pid_files", pid_files),
        commands=items("commands", commands),
        cgroups=items("cgroups", cgroups),
        containers=items("containers", containers),
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
            parts["funcname"],
            parameters(parts.get("parameters", ""), key=f"callchain[{index}].parameters"),
            expression(parts.get("predicate", ""), key=f"callchain[{index}].predicate"),
        )
        for index, parts in enumerate(frame_parts(items("callchain", callchain)))
    )


def expression(text: str, *, key: str = "predicate") -> str:
    """Return a predicate with its C parsed; none stays none.

    :raises InvalidFault: it is not a single C expression.
    """
    return "" if text in ("", None) else predicate.expression(text, key=key)


def sites(site: Any, hits: Any, record: Any) -> Sites | None:
    """Return what a fault does with sites; None where nothing is asked.

    :param site: ids with commas between them; empty is none.
    :param hits: which requests there fail; see `Hits`.
    :param record: whether all sites are recorded, and nothing fails.
    :raises InvalidFault: one of them is wrong, or both are asked for.
    """
    check_flag("sites", record)
    if not isinstance(site, str):
        raise InvalidFault("site", site, "the id of a site", hint="the probe `sites` tells them")
    which = hits_of(hits)
    if not site:
        if which is not Hits.ONCE:
            raise InvalidFault(
                "hits", hits, problem="not without a site", hint="name one, or leave it"
            )
        return Sites() if record else None
    if record:
        raise InvalidFault(
            "sites", "", problem="not together with a site", hint="a fault of a site records too"
        )
    return Sites(tuple(each.strip() for each in site.split(",")), which)


def errno(given: Any) -> Any:
    """Return the number of an error that is given by name or number; none is 0.

    :raises InvalidFault: there is no error of that name.
    """
    if given == "":
        return 0
    number = errno_of(given)
    if number == 0 and is_int(number):
        raise InvalidFault(
            "errno", given, "an error", hint="leave it out for the usual one of the fault"
        )
    return number


def parameters(text: str, *, key: str = "parameters") -> str:
    """Return a function's parameters with their C parsed; none stay none.

    :raises InvalidFault: they are no list of named parameters.
    """
    return "" if text == "" else predicate.parameters(text, key=key)


def headers(names: Any, *, key: str = "headers") -> tuple[str, ...]:
    """Return the headers that predicates need.

    :param key: where they stand in the fault.
    :raises InvalidFault: one is no header below the kernel's include directory.
    """
    given = items(key, names)
    check_headers(key, len(given))
    return tuple(predicate.header(name, key=key) for name in given)


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
        check_frames("spec", len(found) + 1)
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
        self._text = _LINE_END.sub(lambda found: found[1] or " ", text)
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
        test = predicate.expression(inside, key=key)
        return "" if test == _ALWAYS else test

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
