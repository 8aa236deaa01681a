"""Checks of single values that come from a user; each names what is wrong.

Standard library only, for the agent makes them too.
"""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from chaoskernel.errors import InvalidFault
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    import base64
    import difflib
    import zlib
else:
    base64, difflib, zlib = Lazy("base64"), Lazy("difflib"), Lazy("zlib")

MAX_OBJECT = 8 << 20
"""Largest object file, in bytes."""

MAX_DOCUMENT = 16 << 20
"""Longest JSON document, in bytes: one with an object in it."""

MAX_LEVELS = 32
"""Most lists and objects in each other in a document."""

MAX_VALUES = 1 << 18
"""Most values of a document."""

MAX_ITEMS = 1 << 16
"""Longest list; those that have a smaller limit say so themselves."""

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""What a namespace or a container may be called (RFC 1123)."""

MAX_TYPES = 64 << 20
"""Largest description of a kernel's types, in bytes: a distribution's takes some 6 MB."""

_ELF = b"\x7fELF"
_BTF = (b"\x9f\xeb", b"\xeb\x9f")
_Named = TypeVar("_Named", bound=enum.StrEnum)
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,126}")
_TEXT_FOR_FLAG = 'where it comes from the environment, say "env_var_type": "bool" there'


def sequence_of(key: str, value: Any) -> tuple[Any, ...]:
    """Return a list's items.

    :raises InvalidFault: the value is not a list.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise InvalidFault(key, value, "a list", hint="put it in square brackets")
    check_count(key, len(value), MAX_ITEMS, "items")
    return tuple(value)


def check_count(key: str, number: int, most: int, what: str, *, hint: str = "") -> None:
    """Check how many of something there are.

    :param what: they are called, in the plural.
    :raises InvalidFault: there are too many.
    """
    if number > most:
        problem = f"{number} {what}; at most {most} are allowed"
        raise InvalidFault(key, "", problem=problem, hint=hint)


def check_flag(key: str, value: Any) -> None:
    """Check what has to be true or false.

    :raises InvalidFault: it is neither.
    """
    if not isinstance(value, bool):
        hint = f"it is text; {_TEXT_FOR_FLAG}" if isinstance(value, str) else ""
        raise InvalidFault(key, value, "true or false", hint=hint)


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
            hint="such as sys_openat; /sys/kernel/debug/error_injection/list names what can fail"
            if key == "function"
            else "such as ext4_create or sys_mount; grep looks for one in /proc/kallsyms",
        )


def document(key: str, text: str) -> Any:
    """Return what a JSON document says; its size is bounded before it is read.

    :param key: what the document is called.
    :raises InvalidFault: it is no JSON, too long, or too deep.
    """
    values = text.count("[") + text.count("{") + text.count(",")
    if len(text) > MAX_DOCUMENT or values > MAX_VALUES:
        shown = f"{text[:20]}… of {len(text)} characters"
        allowed = f"a document of up to {MAX_DOCUMENT} bytes and {MAX_VALUES} values"
        raise InvalidFault(key, shown, allowed)
    try:
        found = json.loads(text)
        check_levels(found, MAX_LEVELS)
    except RecursionError:
        allowed = f"a document of up to {MAX_LEVELS} levels in each other"
        raise InvalidFault(key, text[:60], allowed, hint="a fault has 5") from None
    except ValueError:
        hint = "write one object, in one line"
        raise InvalidFault(key, text[:60], "a JSON document", hint=hint) from None
    return found


def check_levels(found: Any, most: int) -> None:
    """Check how deep a document is, as the reader does whose own limit is much higher.

    :raises RecursionError: it has more levels of lists and objects.
    """
    waiting = [(found, 1)] if isinstance(found, dict | list) else []
    while waiting:
        value, level = waiting.pop()
        if level > most:
            raise RecursionError
        inner = value.values() if isinstance(value, dict) else value
        waiting.extend((each, level + 1) for each in inner if isinstance(each, dict | list))


def packed(image: bytes) -> str:
    """Return an object file, or a kernel's types, as text: compressed, in base64."""
    return base64.b64encode(zlib.compress(image, 9)).decode("ascii")


def unpacked(text: Any) -> bytes:
    """Return the object file that `packed` made a text of.

    :raises ValueError: the text is something else.
    """
    return _unpacked(text, MAX_OBJECT, (_ELF,), "an object file")


def unpacked_types(text: Any) -> bytes:
    """Return the types of a kernel (BTF) that `packed` made a text of.

    :raises ValueError: the text is something else.
    """
    return _unpacked(text, MAX_TYPES, _BTF, "the types of a kernel")


def _unpacked(text: Any, most: int, beginnings: tuple[bytes, ...], what: str) -> bytes:
    if not isinstance(text, str):
        raise ValueError("text")
    unpack = zlib.decompressobj()
    try:
        content = unpack.decompress(base64.b64decode(text, validate=True), most)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpack.eof:
        raise ValueError("a whole text")
    if not content.startswith(beginnings):
        raise ValueError(what)
    return content


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


def member(key: str, name: Any, kind: type[_Named]) -> _Named:
    """Return the member of an enumeration that has this value.

    :raises InvalidFault: there is none.
    """
    try:
        return kind(name)
    except ValueError:
        allowed = [each.value for each in kind]
        near = difflib.get_close_matches(str(name)[:40], allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use {key}: {allowed[0]}, for one"
        raise InvalidFault(key, name, f"one of {', '.join(allowed)}", hint=hint) from None


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


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether this is a number that is neither infinite nor no number."""
    return is_int(value) or (isinstance(value, float) and math.isfinite(value))
