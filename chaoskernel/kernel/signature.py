"""Are the parameters that a user gives a function those that the kernel's types say?"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence

from chaoskernel.errors import InvalidFault
from chaoskernel.kernel.btf import Parameter, Type, Types

_QUALIFIERS = {"const", "volatile", "restrict", "__restrict", "signed", "unsigned"}
_SIZES = {
    ("char",): 1,
    ("_Bool",): 1,
    ("bool",): 1,
    ("short",): 2,
    ("short", "int"): 2,
    ("int",): 4,
    (): 4,  # `unsigned` alone
    ("long",): struct.calcsize("l"),
    ("long", "int"): struct.calcsize("l"),
    ("long", "long"): 8,
    ("long", "long", "int"): 8,
}


def check_parameters(key: str, given: str, function: str, types: Types) -> None:
    """Compare the parameters of a function with those that the kernel has.

    A user may leave out the last ones, and what cannot be compared passes: a compiler
    sees it too.

    :param key: where the parameters stand in the fault.
    :param given: in C.
    :raises InvalidFault: there are too many, or one has another type.
    """
    # Nobody asks the types, which takes them a while, without need.
    actual = types.parameters(function) if given else None
    if actual is None:
        return
    hint = _difference(list(_each(given)), actual, types)
    if hint:
        takes = ", ".join(map(str, actual)) or "nothing"
        raise InvalidFault(key, given, f"what {function} takes: {takes}", hint=hint)


def _difference(given: Sequence[str], actual: Sequence[Parameter], types: Types) -> str:
    if len(given) > len(actual):
        return f"it has {len(actual)} and not {len(given)}"
    for number, (text, parameter) in enumerate(zip(given, actual, strict=False), 1):
        said = _read(text, types)
        if said and not _same(said, parameter.type):
            return f"number {number} is {parameter}"
    return ""


def _same(said: Type, actual: Type) -> bool:
    if bool(said.pointers) != bool(actual.pointers):
        return False
    if said.pointers and "void" in (said.base, actual.base):
        return True
    if said.pointers != actual.pointers:
        return False
    if said.size and actual.size:
        return said.size == actual.size
    return said.base == actual.base


def _each(given: str) -> Iterator[str]:
    """Yield the parameters one by one; a pointer to a function has commas of its own."""
    depth, begin = 0, 0
    for position, character in enumerate(given):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield given[begin:position]
            begin = position + 1
    yield given[begin:]


def _read(text: str, types: Types) -> Type | None:
    """Return the type of a parameter; None where it takes a compiler to know.

    :param text: canonical: of what has brackets, all is a pointer to something.
    """
    if re.search(r"[()\[\]]", text):  # a pointer to a function or to an array
        return Type(text, "void", 1, 0)
    words = [word for word in re.findall(r"\w+", text) if word not in _QUALIFIERS]
    pointers = text.count("*")
    if words[:1] and words[0] in ("struct", "union", "enum"):
        return Type(text, " ".join(words[:2]), pointers, 4 if words[0] == "enum" else 0)
    kind = tuple(words[:-1])
    if kind in _SIZES:
        return Type(text, " ".join(kind), pointers, _SIZES[kind])
    if kind == ("void",):
        return Type(text, "void", pointers, 0)
    named = types.named(kind[0]) if len(kind) == 1 else None
    return named and Type(text, named.base, named.pointers + pointers, named.size)
