"""Writes chaoskernel/bpf/abi.py: what the program's C defines, for the Python beside it.

Sizes, offsets and numbers are those of the BTF that clang makes of bpf/logic:
`python -m tools.abi` writes the module anew, and a test tells when it is out of date.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaoskernel import process
from chaoskernel.compiler import clang

OUTPUT = clang.SOURCE.parent / "abi.py"

_SCALARS = {
    "char": "c_char",
    "unsigned char": "c_uint8",
    "short": "c_int16",
    "unsigned short": "c_uint16",
    "int": "c_int32",
    "unsigned int": "c_uint32",
    "long long": "c_int64",
    "unsigned long long": "c_uint64",
}
_DECLARED = re.compile(r"(?m)^(enum|struct) (chaos_\w+) \{$")
_COUNTERS, _HOOK_COUNTS, _LIMITS = "chaos_counter", "chaos_hook_counts", "chaos_limit"

_OWN = ("chaos_end", "chaos_sockaddr", "chaos_call", "chaos_call_key", "chaos_text")
"""Structures that nobody but the program sees; those of watch.h are watching.py's."""

_HEAD = '''\
"""What the program's C defines: limits, numbers and layouts.

Written by `python -m tools.abi` from chaoskernel/bpf/logic; not by hand.
"""

from __future__ import annotations

import ctypes
'''


def text() -> str:
    """Return the text of the module."""
    types = _Types(_btf())
    return "\n".join(
        [_HEAD, *types.limits(), *types.counters(), *types.enums(), *types.structures(), ""]
    )


def _declared() -> list[tuple[str, str]]:
    """Return the structures and enumerations of the C, in its order."""
    headers = sorted(clang.SOURCE.parent.glob("logic/*.h"), key=lambda path: path.stem != "state")
    return [found for header in headers for found in _DECLARED.findall(header.read_text("utf-8"))]


def _btf() -> list[dict[str, Any]]:
    """Return the types of the program; those that it does not name by themselves too."""
    with tempfile.TemporaryDirectory(prefix="chaoskernel-") as directory:
        unit, compiled = Path(directory, "abi.c"), Path(directory, "abi.o")
        named = "".join(f"{kind} {name} *kept_{name};\n" for kind, name in _declared())
        unit.write_text(f'#include "{clang.SOURCE}"\n{named}', encoding="utf-8")
        clang.compile_object(compiled, source=unit)
        dump = ["bpftool", "-j", "btf", "dump", "file", str(compiled)]
        found: list[dict[str, Any]] = json.loads(process.run(dump, seconds=60).stdout)["types"]
        return found


class _Types:
    def __init__(self, types: list[dict[str, Any]]) -> None:
        self._by_id = {each["id"]: each for each in types}
        self._by_name = {(each["kind"], each["name"]): each for each in types}

    def limits(self) -> Iterator[str]:
        for each in self._by_name["ENUM", _LIMITS]["values"]:
            yield f"{each['name']} = {each['val']}"
        yield ""

    def counters(self) -> Iterator[str]:
        names = [each["name"] for each in self._by_name["ENUM", _COUNTERS]["values"][:-1]]
        yield "COUNTERS = ("
        yield from (f'    "{name.removeprefix("COUNT_").lower()}",' for name in names)
        yield ")"
        yield '"""Names of the counters, in the order in which the program keeps them."""'
        yield ""
        kept = [each["name"] for each in self._by_name["STRUCT", _HOOK_COUNTS]["members"]]
        yield f"HOOK_COUNTERS = ({', '.join(f'{chr(34)}{name}{chr(34)}' for name in kept)})"
        yield '"""Those that are kept for each hook, in that order; `injected` is what would have'
        yield 'failed in a dry run."""'

    def enums(self) -> Iterator[str]:
        for kind, name in _declared():
            if kind == "enum" and name not in (_COUNTERS, _LIMITS):
                yield ""
                for each in self._by_name["ENUM", name]["values"]:
                    yield f"{each['name'].removeprefix('CHAOS_')} = {each['val']}"

    def structures(self) -> Iterator[str]:
        made: set[str] = set()
        for kind, name in _declared():
            if kind == "struct" and name not in _OWN:
                yield from self._structure(name, made)

    def _structure(self, name: str, made: set[str]) -> Iterator[str]:
        if name in made:
            return
        made.add(name)
        compiled = self._by_name["STRUCT", name]
        members = [(each["name"], self._type(each["type_id"])) for each in compiled["members"]]
        for _, (_, inner) in members:
            if inner:
                yield from self._structure(inner, made)
        yield f'\n\nclass {_class(name)}(ctypes.Structure):\n    """`struct {name}`."""\n'
        if len(members) == 1:
            ((member, (kind, _)),) = members
            yield f'    _fields_ = (("{member}", {kind}),)'
            return
        yield "    _fields_ = ("
        yield from (f'        ("{member}", {kind}),' for member, (kind, _) in members)
        yield "    )"

    def _type(self, number: int) -> tuple[str, str]:
        """Return a type in Python, and the structure that it is of, if any."""
        found = self._by_id[number]
        if found["kind"] == "ARRAY":
            element, inner = self._type(found["type_id"])
            return f"{element} * {found['nr_elems']}", inner
        if found["kind"] == "STRUCT":
            return _class(found["name"]), found["name"]
        if found["kind"] == "INT":
            return f"ctypes.{_SCALARS[found['name']]}", ""
        return self._type(found["type_id"])


def _class(name: str) -> str:
    return "".join(word.title() for word in name.removeprefix("chaos_").split("_"))


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
