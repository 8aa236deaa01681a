"""Characters of the C that users write: what a parser is not asked to read, and literals."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.c_text import MAX_CHARACTERS, MAX_DEPTH

_LITERAL = re.compile(r"""(\w?)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-3][0-7]{2})|\\|([^\\]+)", re.DOTALL)
_OUTSIDE = re.compile(r"[;{}#\\\n\r\0`@$]|//|/\*|\?\?|<[%:]|%[>:]|\+\+|--|__\w+|[^ -~]")


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """C of the user's.

    :param what: what it has to be.
    :param hint: what is right, by example.
    """

    text: Any
    key: str
    what: str
    hint: str

    def refused(self, allowed: str) -> InvalidFault:
        return InvalidFault(self.key, self.text, allowed, hint=self.hint)


def checked(given: Given) -> str:
    """Return a text with its literals in canonical form.

    :raises InvalidFault: by its characters, a parser should not be asked to read it.
    """
    text = given.text
    if not isinstance(text, str):
        raise given.refused("text")
    if len(text) > MAX_CHARACTERS:
        raise given.refused(f"text of up to {MAX_CHARACTERS} characters")
    bare = _LITERAL.sub(r"\1 0 ", text)
    if '"' in bare or "'" in bare:
        raise given.refused("C with every quotation mark closed")
    if found := _OUTSIDE.search(bare):
        raise given.refused(f"{given.what} without {found[0]!r}")
    depth = deepest = 0
    for character in bare:
        depth += (character in "([") - (character in ")]")
        deepest = max(deepest, depth)
        if depth < 0:
            break
    if depth:
        raise given.refused("C with balanced parentheses")
    if deepest > MAX_DEPTH:
        raise given.refused(f"C with up to {MAX_DEPTH} parentheses in each other")

    def canonical(found: re.Match[str]) -> str:
        prefix, literal = found.groups()
        if prefix:
            raise given.refused(f"C without a prefix of {literal}")
        content = content_of(literal, given)
        # C has 'a' for a number, and no 'several characters', which inject.py has for a string.
        is_number = literal[0] == "'" and len(content) == 1
        return _character(content) if is_number else string_of(content)

    return _LITERAL.sub(canonical, text)


def content_of(literal: str, given: Given) -> bytes:
    """Return the bytes of a literal, which may be written in octal: \\303."""
    content = bytearray()
    for found in _ESCAPE.finditer(literal, 1, len(literal) - 1):
        if found[0] == "\\":
            raise given.refused(
                r"C in which a backslash comes before three octal digits, as in \012"
            )
        try:
            content += bytes([int(found[1], 8)]) if found[1] else found[2].encode()
        except UnicodeEncodeError:
            raise given.refused("text that can be written in UTF-8") from None
    return bytes(content)


def string_of(content: bytes) -> str:
    """Return a literal of printable ASCII; `??` begins a trigraph, and is not in it."""
    return '"' + "".join(map(_escaped, content)).replace("??", r"?\077") + '"'


def _character(content: bytes) -> str:
    return "'" + ("\\047" if content == b"'" else _escaped(content[0])) + "'"


def _escaped(byte: int) -> str:
    is_plain = 0x20 <= byte < 0x7F and byte not in b'"\\'
    return chr(byte) if is_plain else f"\\{byte:03o}"
