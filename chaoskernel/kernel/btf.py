"""The kernel's types (BTF): what its functions take, and where its structures have what.

The format is that of Documentation/bpf/btf.rst.  A kernel has some hundred thousand
types, of which a fault asks for a handful: they are indexed once, and read when asked for.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_BTF = Path("/sys/kernel/btf/vmlinux")
_MAGIC = struct.pack("<H", 0xEB9F)
_HEADER = struct.Struct("<HBBIIIII")
_RECORD = 12

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FWD, _TYPEDEF = range(1, 9)
_VOLATILE, _CONST, _RESTRICT, _FUNC, _FUNC_PROTO, _VAR, _DATASEC = range(9, 16)
_FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = range(16, 20)
_QUALIFIERS = {_VOLATILE: "volatile ", _CONST: "const ", _RESTRICT: "", _TYPE_TAG: ""}
_TAGGED = {_STRUCT: "struct ", _UNION: "union ", _ENUM: "enum ", _ENUM64: "enum ", _FWD: "struct "}

_TRANSPARENT = {*_QUALIFIERS, _PTR, _TYPEDEF}
"""Kinds that only add something to another type."""

_LOOKED_UP = {_FUNC, _STRUCT, _UNION, _TYPEDEF, _ENUM}
"""Kinds that are asked for by name."""

_FIXED_TAIL = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
"""Bytes that follow the record, by kind."""

_ITEM = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
"""Bytes of each of the items that follow the record, by kind."""


class Type(NamedTuple):
    """A type, as far as two of them are told apart here.

    :param text: in C, as the kernel's source has it.
    :param base: what it is without pointers, qualifiers and typedefs.
    :param pointers: how many stars it has then.
    :param size: bytes, of an integer or an enumeration; 0 of anything else.
    """

    text: str
    base: str
    pointers: int
    size: int


class Parameter(NamedTuple):
    """One parameter of a function."""

    name: str
    type: Type

    def __str__(self) -> str:
        space = "" if self.type.text.endswith("*") else " "
        return f"{self.type.text}{space}{self.name}"


class Types:
    """The types of one kernel.

    :param raw: the contents of /sys/kernel/btf/vmlinux; empty for a kernel without them.
    :param again: reads them again; what is forgotten is read where it is asked for.
    """

    def __init__(self, raw: bytes, again: Callable[[], bytes] | None = None) -> None:
        whole = raw.startswith(_MAGIC) and len(raw) >= _HEADER.size
        self._again = again or (lambda: raw)
        self._raw = raw if whole else b""
        self._records: list[int] = [0]  # offsets, by id; 0 is void
        self._named: dict[tuple[int, int], int] = {}  # ids, by kind and name
        self._strings = 0
        if self._raw:
            _, _, _, header, *_, strings, _ = _HEADER.unpack_from(self._raw)
            self._strings = header + strings
        self._indexed = False

    def __bool__(self) -> bool:
        return bool(self._strings)

    def __getattr__(self, name: str) -> Any:
        if name != "_raw":
            raise AttributeError(name)
        self._raw = self._again()
        return self._raw

    def forget(self) -> None:
        """Give back the memory of types that will hardly be asked for."""
        if self._strings:
            self.__dict__.pop("_raw", None)

    def has_function(self, name: str) -> bool:
        """Tell whether a function of that name is among the types.

        No index is made for that: the record of a function begins with the place of its
        name, then its kind, and nothing else holds the two side by side.
        """
        place = struct.pack("<I", self._place_of(name))
        at = self._raw.find(place, _HEADER.size, self._strings) if any(place) else -1
        while at >= 0:
            if at % 4 == 0 and self._info(at) >> 24 == _FUNC:
                return True
            at = self._raw.find(place, at + 1, self._strings)
        return False

    def parameters(self, function: str) -> Sequence[Parameter] | None:
        """Return what a function takes; None where that is not known."""
        number = self._find(_FUNC, function)
        return self._parameters(number) if number else None

    def prototypes(self, function: str) -> list[Sequence[Parameter]]:
        """Return what the functions of that name take, each list once."""
        self._find(_FUNC, function)
        place = self._place_of(function)
        found: list[Sequence[Parameter]] = []
        for number, at in enumerate(self._records[1:] if place else (), 1):
            name = struct.unpack_from("<I", self._raw, at)[0]
            if name == place and self._kind(number) == _FUNC:
                each = self._parameters(number)
                found += [] if each in found else [each]
        return found

    def _parameters(self, number: int) -> Sequence[Parameter]:
        prototype = self._records[self._target(number)]
        count = self._info(prototype) & 0xFFFF
        return [
            Parameter(self._string(name), self._type(kind))
            for name, kind in struct.iter_unpack(
                "<II", self._raw[prototype + _RECORD : prototype + _RECORD + 8 * count]
            )
        ]

    def returns_nothing(self, function: str) -> bool:
        """Tell whether a function is known to return void."""
        number = self._find(_FUNC, function)
        return bool(number) and self._target(self._target(number)) == 0

    def offset(self, structure: str, member: str) -> int:
        """Return where a structure has a member, in bytes; 0 where that is not known."""
        number = self._find(_STRUCT, structure)
        for name, bits in self._members(number):
            if name == member:
                small = self._info(self._records[number]) >> 31
                return int(bits & 0xFFFFFF if small else bits) // 8
        return 0

    def members_of_union(self, union: str) -> frozenset[str]:
        """Return the names of a union's members; none where it is not known."""
        return frozenset(name for name, _ in self._members(self._find(_UNION, union)))

    def _members(self, number: int) -> Iterator[tuple[str, int]]:
        """Yield the members of a structure or union by name, and where they are said to be."""
        if not number:
            return
        at = self._records[number]
        items = self._raw[at + _RECORD : at + _RECORD + 12 * (self._info(at) & 0xFFFF)]
        for name, _, place in struct.iter_unpack("<III", items):
            yield self._string(name), place

    def enumerator(self, enumeration: str, name: str) -> int | None:
        """Return the value of one of an enumeration's names; None where it is not known."""
        number = self._find(_ENUM, enumeration)
        at = self._records[number] + _RECORD
        count = self._info(at - _RECORD) & 0xFFFF if number else 0
        for place, value in struct.iter_unpack("<Ii", self._raw[at : at + 8 * count]):
            if self._string(place) == name:
                return int(value)
        return None

    def named(self, name: str) -> Type | None:
        """Return the type that a typedef names; None where there is none."""
        number = self._find(_TYPEDEF, name)
        return self._type(number) if number else None

    def _index(self) -> None:
        if not self._raw:
            return
        _, _, _, header, start, length, *_ = _HEADER.unpack_from(self._raw)
        unpack = struct.Struct("<II").unpack_from
        at, end = header + start, header + start + length
        while at < end:
            name, info = unpack(self._raw, at)
            kind = info >> 24 & 0x1F
            if kind in _LOOKED_UP:
                self._named.setdefault((kind, name), len(self._records))
            self._records.append(at)
            at += _RECORD + _FIXED_TAIL.get(kind, 0) + _ITEM.get(kind, 0) * (info & 0xFFFF)

    def _find(self, kind: int, name: str) -> int:
        """Return the id of a named type; 0 where there is none."""
        if not self._indexed:  # by the first who asks: it takes a while
            self._indexed = True
            self._index()
        return self._named.get((kind, self._place_of(name)), 0)

    def _place_of(self, name: str) -> int:
        """Return where a name lies among the strings; 0 where it does not."""
        # They are deduplicated: there is one place that holds a whole name.
        place = self._raw.find(b"\0%s\0" % name.encode(), self._strings) if name else -1
        return place + 1 - self._strings if place >= 0 else 0

    def _type(self, number: int) -> Type:
        text, pointers = self._text(number), 0
        while number and (kind := self._kind(number)) in _TRANSPARENT:
            pointers += kind == _PTR
            number = self._target(number)
        return Type(text, self._text(number), pointers, self._size(number))

    def _text(self, number: int) -> str:
        """Return a type in C."""
        kind = self._kind(number) if number else 0
        if kind in _QUALIFIERS:
            inner = self._text(self._target(number))
            # What is said of a pointer stands behind it.
            return f"{inner}{_QUALIFIERS[kind]}" if inner[-1] == "*" else _QUALIFIERS[kind] + inner
        if kind == _PTR:
            inner = self._text(self._target(number))
            return f"{inner}*" if inner.endswith("*") else f"{inner} *"
        if kind in _TAGGED:
            return _TAGGED[kind] + self._name(number)
        if kind in (_INT, _TYPEDEF, _FLOAT):
            return self._name(number)
        return "void"

    def _size(self, number: int) -> int:
        if number and self._kind(number) in (_INT, _ENUM, _ENUM64):
            return int(struct.unpack_from("<I", self._raw, self._records[number] + 8)[0])
        return 0

    def _kind(self, number: int) -> int:
        return self._info(self._records[number]) >> 24 & 0x1F

    def _target(self, number: int) -> int:
        return int(struct.unpack_from("<I", self._raw, self._records[number] + 8)[0])

    def _info(self, at: int) -> int:
        return int(struct.unpack_from("<I", self._raw, at + 4)[0])

    def _name(self, number: int) -> str:
        return self._string(struct.unpack_from("<I", self._raw, self._records[number])[0])

    def _string(self, place: int) -> str:
        start = self._strings + place
        return self._raw[start : self._raw.index(b"\0", start)].decode()


NOTHING = Types(b"")
"""Those of a kernel that has none."""


@functools.cache
def running() -> Types:
    """Return the types of the running kernel; none where it has none."""
    return Types(_BTF.read_bytes(), _BTF.read_bytes) if present() else NOTHING


def present() -> bool:
    """Tell whether the running kernel has its types (CONFIG_DEBUG_INFO_BTF)."""
    return _BTF.exists()
