"""The words of the C that a fault may bring with it, and a reader that goes through them.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

QUALIFIERS = frozenset({"const", "restrict", "volatile"})
TAGS = frozenset({"struct", "union", "enum"})
BASE_TYPES = frozenset({"char", "int", "long", "short", "signed", "unsigned", "void", "_Bool"})
KERNEL_TYPES = frozenset(
    {
        *(f"{sign}{bits}" for sign in "us" for bits in (8, 16, 32, 64)),
        *("bool", "dev_t", "fmode_t", "gfp_t", "loff_t", "mode_t", "pid_t", "sector_t", "size_t"),
        *("ssize_t", "umode_t", "blk_opf_t", "uintptr_t"),
    }
)
"""Types that an expression may name without `struct` before them."""

KEYWORDS = frozenset(
    {
        *("alignas", "alignof", "asm", "auto", "break", "case", "constexpr", "continue", "default"),
        *("do", "double", "else", "extern", "float", "for", "goto", "if", "inline", "nullptr"),
        *("register", "return", "sizeof", "static", "static_assert", "switch", "thread_local"),
        *("typedef", "typeof", "typeof_unqual", "while"),
    }
)
NOT_OPERANDS = KEYWORDS | QUALIFIERS | TAGS | BASE_TYPES

_TOKEN = re.compile(
    r"""
    \ + |
    (?P<refused> \+\+ | -- | // | /\* | \?\? | <[%:] | [%:]> | %: | __\w* | _(?!Bool\b)[A-Z]\w* ) |
    (?P<string> "(?: (?!\?\?)[ !\#-\[\]-~] | \\[0-3][0-7]{2} )*" ) |
    (?P<number>
        '(?: [ -&(-\[\]-~] | \\[0-3][0-7]{2} )' |
        (?: 0[xX][0-9A-Fa-f]{1,16} | [0-9]{1,20} ) (?: [uU]?[lL]{0,2} | [lL]{1,2}[uU] ) (?![\w.])
    ) |
    (?P<word> [A-Za-z_]\w* ) |
    (?P<sign> -> | << | >> | <= | >= | == | != | && | \|\| | [-+*/%&|^~!<>?:.,()\[\]] )
    """,
    re.VERBOSE | re.ASCII,
)


class Token(NamedTuple):
    """:param kind: string, number, word or sign; empty at the end of the text."""

    kind: str
    text: str


END = Token("", "")


class Wrong(Exception):
    """The text is not in the grammar; the message is what it would have to be."""


def tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found or found.lastgroup == "refused":
            raise Wrong(f"one line of plain C without {(found or text[at:])[0]!r}")
        at = found.end()
        if found.lastgroup:
            yield Token(found.lastgroup, found[0])


class Reader:
    """Goes through tokens from the first to the last."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def _peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else END

    def _take(self, *texts: str) -> str:
        """Return the next token and pass over it when it is one of these; else return nothing."""
        token = self._peek()
        if token.kind not in ("word", "sign") or token.text not in texts:
            return ""
        self._at += 1
        return token.text

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected()

    def _unexpected(self) -> Wrong:
        found = self._peek()
        return Wrong(f"plain C: {found.text} is out of place" if found.kind else "whole: it ends")

    def _skip_specifiers(self, *, any_type: bool) -> bool:
        """Pass over what a type begins with; tell whether there was a type.

        :param any_type: one that is named by a single word of the user's counts too.
        """
        is_known = named = False
        while (token := self._peek()).kind == "word":
            if token.text in TAGS and not named and not is_known:
                if self._peek(1).kind != "word" or self._peek(1).text in NOT_OPERANDS:
                    return False
                self._at += 1
                named = True
            elif token.text in BASE_TYPES and not named:
                is_known = True
            elif token.text in KERNEL_TYPES and not named and not is_known:
                named = True
            elif token.text not in QUALIFIERS:
                if not any_type or named or is_known or token.text in KEYWORDS | TAGS:
                    break
                if self._peek(1).text == "(":  # a macro's call, perhaps
                    return False
                named = True
            self._at += 1
        return is_known or named
