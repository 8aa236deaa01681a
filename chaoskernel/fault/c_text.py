"""The C that a fault may bring with it, as a grammar: what is not in it reaches no program.

predicate.py parses what users write and hands on canonical text.  This is the check of that text,
made wherever a fault is made, the agent included; it therefore uses the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.c_tokens import (
    END,
    KERNEL_TYPES,
    NOT_OPERANDS,
    QUALIFIERS,
    Reader,
    Token,
    Wrong,
    tokens,
)

MAX_CHARACTERS = 2000
"""Longest predicate, and longest list of parameters, as canonical text."""

MAX_DEPTH = 64
"""Most brackets in each other; most levels of an expression's tree."""

MAX_PARAMETERS = 12
MAX_LITERAL = 64
"""Bytes of a name that STRNCMP compares: the program's MAX_LITERAL."""

COMPARISON = "STRNCMP"
MACROS = frozenset(
    {
        *("MAJOR", "MINOR", "MKDEV"),
        *("S_ISBLK", "S_ISCHR", "S_ISDIR", "S_ISFIFO", "S_ISLNK", "S_ISREG", "S_ISSOCK"),
        *("BIT", "BIT_ULL", "GENMASK", "GENMASK_ULL"),
        *("IS_ERR", "IS_ERR_OR_NULL", "IS_ERR_VALUE", "IS_ROOT", "PTR_ERR"),
    }
)
"""Macros of the kernel's headers that compute a value and do nothing else.

Others store or call a helper: WRITE_ONCE, BPF_CORE_READ_INTO.
"""

_HEADER = re.compile(r"(?!\.)[A-Za-z0-9_.-]+(/(?!\.)[A-Za-z0-9_.-]+)*\.h")
_HEADER_CHARACTERS = 128

# Names in capitals are macros, and bpf_… are helpers, which a parameter would take the name of.
_NOT_PARAMETERS = re.compile(r"bpf_\w*|[A-Z_][A-Z0-9_]*", re.ASCII)

_PREFIXES = frozenset("+-!~&*")
_BINARY = frozenset(
    {*"+-*/%&|^<>", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||"},
)


def check_expression(key: str, text: Any) -> None:
    """Check that a text is a single C expression in canonical form; empty is none.

    :param key: where it stands in the fault.
    :raises InvalidFault: it is anything else.
    """
    _check(key, text, "write a single expression, such as order == 1", _Expression)


def check_parameters(key: str, text: Any) -> None:
    """Check that a text is a list of named parameters in canonical form; empty is none.

    :param key: where it stands in the fault.
    :raises InvalidFault: it is anything else.
    """
    hint = "write types and names, such as struct dentry *parent, unsigned int flags"
    _check(key, text, hint, _Parameters)


def check_header(key: str, name: Any) -> None:
    """Check the name of a header.

    :param key: where it stands in the fault.
    :raises InvalidFault: it is not a path below the kernel's include directory.
    """
    is_text = isinstance(name, str) and len(name) <= _HEADER_CHARACTERS
    if not is_text or not _HEADER.fullmatch(name):
        raise InvalidFault(
            key,
            name,
            "a header of the kernel",
            hint="write it as linux/blkdev.h, below the kernel's include directory",
        )


def _check(key: str, text: Any, hint: str, grammar: type[_Expression | _Parameters]) -> None:
    if not isinstance(text, str):
        raise InvalidFault(key, text, "text", hint="put it in quotes, or leave it out")
    if len(text) > MAX_CHARACTERS:
        allowed = f"text of up to {MAX_CHARACTERS} characters"
        raise InvalidFault(key, text, allowed, hint="shorten it")
    if not text:
        return
    try:
        grammar(list(tokens(text))).check()
    except Wrong as wrong:
        raise InvalidFault(key, text, str(wrong), hint=hint) from None


class _Expression(Reader):
    """A single expression: operands, and operators between them.

    Brackets are kept in a list, and nothing calls itself, so that no text is too deep.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        super().__init__(tokens)
        self._open: list[str] = []
        """Of what is open: `(`, `[`, `?`, or the name that is called."""
        self._begun: list[tuple[int, int]] = []
        """Of each call that is open: its first token, and how many commas it has."""

    def check(self) -> None:
        """Check all tokens.

        :raises Wrong: they are no expression.
        """
        while True:
            while not self._operand():
                pass
            while self._after_operand():
                pass
            if self._peek() is END and not self._open:
                return
            self._operator()

    def _operand(self) -> bool:
        """Pass over an operand, or over what may come before one; tell which it was."""
        token = self._peek()
        if token.kind in ("number", "string"):
            self._at += 1
            return True
        if self._take(*_PREFIXES):
            return False
        if self._take("sizeof"):
            return self._sizeof()
        if self._take("("):
            if not self._type_in_parentheses():
                self._push("(")
            return False
        if token.kind != "word" or token.text in NOT_OPERANDS | KERNEL_TYPES:
            raise self._unexpected()
        self._at += 1
        return not self._call(token.text)

    def _sizeof(self) -> bool:
        self._expect("(")
        if self._type_in_parentheses():
            return True
        self._push("(")
        return False

    def _push(self, opened: str) -> None:
        if len(self._open) == MAX_DEPTH:
            raise Wrong(f"C with up to {MAX_DEPTH} brackets in each other")
        self._open.append(opened)

    def _type_in_parentheses(self) -> bool:
        """Pass over a type and the parenthesis after it; without one stay in place."""
        begin = self._at
        if self._skip_specifiers(any_type=False):
            while self._take("*", *QUALIFIERS):
                pass
            if self._take(")"):
                return True
        self._at = begin
        return False

    def _call(self, name: str) -> bool:
        if self._peek().text != "(" or self._peek().kind != "sign":
            return False
        if name != COMPARISON and name not in MACROS:
            raise Wrong(f"an expression that calls only {called()}")
        self._at += 1
        self._push(name)
        self._begun.append((self._at, 0))
        return True

    def _after_operand(self) -> bool:
        """Pass over what ends an operand, or adds to it."""
        if self._take(".", "->"):
            member = self._peek()
            if member.kind != "word" or member.text in NOT_OPERANDS:
                raise self._unexpected()
            self._at += 1
            return True
        top = self._open[-1] if self._open else ""
        if top == "[" and self._take("]"):
            self._open.pop()
            return True
        if top not in ("", "[", "?") and self._take(")"):
            if self._open.pop() != "(":
                self._end_call(top)
            return True
        return False

    def _end_call(self, name: str) -> None:
        begin, commas = self._begun.pop()
        if name != COMPARISON:
            return
        *_, comma, literal, second, size = END, END, END, *self._tokens[begin : self._at - 1]
        is_formed = comma.text == second.text == "," and literal.kind == "string" and commas == 2
        room = min(MAX_LITERAL, size_of(literal.text) + 1) if is_formed else 0
        is_number = re.fullmatch("[0-9]{1,4}", size.text)
        if not is_number or not 1 <= int(size.text) <= room:
            raise Wrong(
                f'C in which a comparison has the form {COMPARISON}(name, "text", bytes), with at '
                f"most as many bytes as the text has, its end included, and at most {MAX_LITERAL}"
            )

    def _operator(self) -> None:
        top = self._open[-1] if self._open else ""
        if self._take(*_BINARY):
            return
        if self._take("["):
            self._push("[")
        elif self._take("?"):
            self._push("?")
        elif top == "?" and self._take(":"):
            self._open.pop()
        elif top not in ("", "(", "[", "?") and self._take(","):
            begin, commas = self._begun[-1]
            self._begun[-1] = (begin, commas + 1)
        else:
            raise self._unexpected()


class _Parameters(Reader):
    """Named parameters: types, pointers, pointers to functions, and arrays of a fixed size."""

    def check(self) -> None:
        """Check all tokens.

        :raises Wrong: they are no list of parameters.
        """
        names = self._list(0)
        if self._peek() is not END:
            raise self._unexpected()
        if "" in names:
            raise Wrong("a list of parameters that each have a type and a name")
        if len(names) > MAX_PARAMETERS:
            raise Wrong(f"at most {MAX_PARAMETERS} parameters")
        if len(set(names)) < len(names):
            raise Wrong("a list of parameters with a name of its own for each")

    def _list(self, depth: int) -> list[str]:
        """Pass over parameters; return their names, which those of pointers may lack.

        :param depth: pointers to functions around it, which are bounded: this calls itself.
        """
        if depth > 4:
            raise Wrong("C with up to 4 pointers to functions in each other")
        names = [self._parameter(depth)]
        while self._take(","):
            names.append(self._parameter(depth))
        return names

    def _parameter(self, depth: int) -> str:
        if not self._skip_specifiers(any_type=True):
            raise self._unexpected()
        nested = 0
        while True:
            if self._peek().text == "(" and self._peek(1).text == "*":
                self._at += 1
                nested += 1
            elif not self._take("*", *QUALIFIERS):
                break
        if nested > MAX_DEPTH:
            raise Wrong(f"C with up to {MAX_DEPTH} brackets in each other")
        name = self._name()
        self._suffixes(depth, is_in_parentheses=False)
        for _ in range(nested):
            self._expect(")")
            self._suffixes(depth, is_in_parentheses=True)
        return name

    def _name(self) -> str:
        token = self._peek()
        if token.kind != "word":
            return ""
        if token.text in NOT_OPERANDS or _NOT_PARAMETERS.fullmatch(token.text):
            raise Wrong(f"a list of parameters without one that is called {token.text}")
        self._at += 1
        return token.text

    def _suffixes(self, depth: int, *, is_in_parentheses: bool) -> None:
        while True:
            if self._take("["):
                if re.fullmatch("[0-9]{1,9}", self._peek().text):
                    self._at += 1
                self._expect("]")
            elif is_in_parentheses and self._take("("):
                if not self._take(")"):
                    self._list(depth + 1)
                    self._expect(")")
            else:
                return


def called() -> str:
    """Return the names that an expression may call, for a person."""
    return ", ".join(["STRNCMP", "STRCMP", *sorted(MACROS)])


def size_of(literal: str) -> int:
    """Return how many bytes a literal in canonical form has, its end not included."""
    return len(re.sub(r"\\[0-7]{3}", "x", literal)) - 2
