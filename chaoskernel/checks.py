"""Checks of single values that come from a user; each names what is wrong.

Standard library only, for the agent makes them too.
"""

from __future__ import annotations

import base64
import enum
import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from chaoskernel.errors import InvalidFault

MAX_TEXT = 4096
"""Longest predicate or list of parameters, in characters."""

MAX_OBJECT = 8 << 20
"""Largest object file, in bytes."""

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""What a namespace or a container may be called (RFC 1123)."""

_ELF = b"\x7fELF"
_Named = TypeVar("_Named", bound=enum.StrEnum)
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,126}")
# No way out of the parentheses that a predicate is put in: predicate.py parses it, but the
# agent, which has no parser, takes faults from elsewhere too.
_LITERAL = re.compile(r'"[^"\\\n]*"|\'[^\'\\\n]*\'')
_UNSAFE_IN_C = re.compile(r"[\"';{}#\\\n\r\0]|//|/\*|\?\?|<[%:]|%[>:]")


def sequence_of(key: str, value: Any) -> tuple[Any, ...]:
    """Return a list's items.

    :raises InvalidFault: the value is not a list.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise InvalidFault(key, value, "a list", hint="put it in square brackets")
    return tuple(value)


def listed(key: str, value: Any) -> tuple[Any, ...]:
    """Return a list's items; one that is absent (None) has none.

    :raises InvalidFault: the value is not a list.
    """
    return () if value is None else sequence_of(key, value)


def check_flag(key: str, value: Any) -> None:
    """Check what has to be true or false.

    :raises InvalidFault: it is neither.
    """
    if not isinstance(value, bool):
        raise InvalidFault(key, value, "true or false")


def check_name(key: str, name: Any) -> None:
    """Check what is to be looked up by its name.

    :raises InvalidFault: it is no text, and so no name.
    """
    if not isinstance(name, str):
        raise InvalidFault(key, name, "a name", hint="put it in quotes")


def check_function(key: str, name: Any) -> None:
    """Check the name of a kernel function.

    :raises InvalidFault: no function can have that name.
    """
    if not isinstance(name, str) or not _FUNCTION.fullmatch(name):
        raise InvalidFault(
            key,
            name,
            "the name of a kernel function",
            hint="take a name from /proc/kallsyms, such as d_alloc_parallel or sys_mount",
        )


def check_c(key: str, text: Any) -> None:
    """Check C text of the user's: it must stay where it is put.

    :raises InvalidFault: it might not.
    """
    if not isinstance(text, str):
        raise InvalidFault(key, text, "text", hint="put it in quotes, or leave it out")
    if len(text) > MAX_TEXT:
        raise InvalidFault(key, text, f"text of up to {MAX_TEXT} characters", hint="shorten it")
    bare = _LITERAL.sub("0", text)
    unsafe = _UNSAFE_IN_C.search(bare)
    if unsafe or not _closed(bare):
        what = repr(unsafe[0]) if unsafe else "unbalanced parentheses"
        raise InvalidFault(
            key, text, f"one line of plain C without {what}", hint="write a single expression"
        )


def packed(image: bytes) -> str:
    """Return an object file as text: compressed, in base64."""
    return base64.b64encode(zlib.compress(image, 9)).decode("ascii")


def unpacked(text: Any) -> bytes:
    """Return the object file that `packed` made a text of.

    :raises ValueError: the text is something else.
    """
    if not isinstance(text, str):
        raise ValueError("text")
    unpack = zlib.decompressobj()
    try:
        image = unpack.decompress(base64.b64decode(text, validate=True), MAX_OBJECT)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpack.eof or not image.startswith(_ELF):
        raise ValueError("an object file")
    return image


def check_object(key: str, text: Any) -> None:
    """Check an object file as text; empty is none.

    :raises InvalidFault: it is something else.
    """
    if text == "":
        return
    try:
        unpacked(text)
    except ValueError:
        shown = text[:40] if isinstance(text, str) else text
        raise InvalidFault(
            key,
            shown,
            "an object file, compressed and in base64",
            hint="leave it out: it is made when needed",
        ) from None


def _closed(text: str) -> bool:
    """Tell whether every parenthesis that is closed was opened, and every other one too."""
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


def member(key: str, name: Any, kind: type[_Named]) -> _Named:
    """Return the member of an enumeration that has this value.

    :raises InvalidFault: there is none.
    """
    try:
        return kind(name)
    except ValueError:
        allowed = [each.value for each in kind]
        raise InvalidFault(
            key, name, f"one of {', '.join(allowed)}", hint=f"use {key}: {allowed[0]}, for one"
        ) from None


def mapping(key: str, value: Any) -> Mapping[str, Any]:
    """Return a value that has to be an object.

    :raises InvalidFault: it is none.
    """
    if not isinstance(value, Mapping):
        raise InvalidFault(key, value, "an object", hint="write it as {…}")
    return value


def only(body: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Check that an object has no keys but these.

    :param where: what comes before a key in the user's spelling.
    :raises InvalidFault: it has.
    """
    names = sorted(known)
    for key in body:
        if key not in names:
            raise InvalidFault(
                f"{where}{key}",
                body[key],
                "known here",
                hint=f"the keys are {', '.join(names)}",
            )


def is_int(value: Any) -> bool:
    """Tell whether this is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Tell whether this is a number that is neither infinite nor no number."""
    return is_int(value) or (isinstance(value, float) and math.isfinite(value))
