"""A kernel's types (BTF) made by hand, for the tests of what reads them."""

from __future__ import annotations

import struct

from chaoskernel.kernel.btf import Types
from chaoskernel.kernel.symbols import Symbols

INT, PTR, ARRAY, STRUCT, TYPEDEF, CONST, FUNC, FUNC_PROTO = 1, 2, 3, 4, 8, 10, 12, 13


class Blob:
    """Collects types and writes them as /sys/kernel/btf/vmlinux has them."""

    def __init__(self) -> None:
        self._strings = b"\0"
        self._types = b""
        self._count = 0

    def number(self, name: str, size: int) -> int:
        return self._add(name, INT, 0, size, struct.pack("<I", size * 8))

    def pointer(self, target: int) -> int:
        return self._add("", PTR, 0, target)

    def const(self, target: int) -> int:
        return self._add("", CONST, 0, target)

    def typedef(self, name: str, target: int) -> int:
        return self._add(name, TYPEDEF, 0, target)

    def array(self, of: int, index: int, length: int) -> int:
        return self._add("", ARRAY, 0, 0, struct.pack("<III", of, index, length))

    def structure(self, name: str, /, **members: tuple[int, int]) -> int:
        """Add a structure; a member is its type and its offset in bytes."""
        items = [
            struct.pack("<III", self._string(member), kind, offset * 8)
            for member, (kind, offset) in members.items()
        ]
        return self._add(name, STRUCT, len(items), 64, b"".join(items))

    def union(self, name: str, /, **members: int) -> int:
        """Add a union of members by their types."""
        tail = b"".join(
            struct.pack("<III", self._string(member), kind, 0) for member, kind in members.items()
        )
        return self._add(name, 5, len(members), 8, tail)

    def function(self, name: str, returns: int = 0, /, **parameters: int) -> int:
        """Add a function; one that returns 0 is void."""
        items = [struct.pack("<II", self._string(key), kind) for key, kind in parameters.items()]
        prototype = self._add("", FUNC_PROTO, len(items), returns, b"".join(items))
        return self._add(name, FUNC, 0, prototype)

    def raw(self) -> bytes:
        sizes = (0, len(self._types), len(self._types), len(self._strings))
        return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, *sizes) + self._types + self._strings

    def _string(self, text: str) -> int:
        if not text:
            return 0
        found = self._strings.find(b"\0%s\0" % text.encode())
        if found < 0:
            found = len(self._strings) - 1
            self._strings += text.encode() + b"\0"
        return found + 1

    def _add(self, name: str, kind: int, items: int, size_or_type: int, tail: bytes = b"") -> int:
        self._types += struct.pack("<III", self._string(name), kind << 24 | items, size_or_type)
        self._types += tail
        self._count += 1
        return self._count


def symbols_of(text: bytes, machine: str = "x86_64", types: Types | None = None) -> Symbols:
    """The symbols of a kernel whose /proc/kallsyms has this text."""
    return Symbols(lambda: text, machine, types or Types(b""))


def types_of(*functions: str) -> Types:
    """The types of a kernel with these functions, each of which returns an int."""
    blob = Blob()
    integer = blob.number("int", 4)
    for name in functions:
        blob.function(name, integer)
    return Types(blob.raw())


def kernel() -> bytes:
    """A kernel with a few types and functions."""
    blob = Blob()
    integer, character = blob.number("int", 4), blob.number("char", 1)
    unsigned, huge = blob.number("unsigned int", 4), blob.number("long unsigned int", 8)
    blob.array(character, integer, 16)
    gfp = blob.typedef("gfp_t", unsigned)
    size = blob.typedef("size_t", huge)
    text = blob.pointer(blob.const(character))
    cache = blob.structure("kmem_cache", name=(text, 96), object_size=(unsigned, 28))
    name = blob.structure("qstr", hash=(unsigned, 0), name=(text, 8))
    names = blob.pointer(blob.const(name))
    blob.function("should_failslab", s=blob.pointer(cache), gfpflags=gfp)
    blob.function("look", name=names, flags=integer, length=size, data=blob.pointer(0))
    blob.function("nothing")
    return blob.raw()
