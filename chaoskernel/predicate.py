"""Predicates: C of the user's that goes into the program, parsed and not pasted.

What comes out is the canonical text of a syntax tree that holds a single expression,
so that nothing can leave the place that it is put in.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from pycparser import c_ast, c_generator, c_parser

from chaoskernel.errors import InvalidFault

MAX_CHARACTERS = 2000
MAX_DEPTH = 64
MAX_PARAMETERS = 12
MAX_LITERAL = 64
"""Bytes of a name that STRNCMP compares: the program's MAX_LITERAL."""

_EXPRESSIONS = 'such as order == 1, or STRNCMP(name->name, "bananas", 8)'
_PARAMETERS = "such as struct dentry *parent, const struct qstr *name"

_LITERAL = re.compile(r'"[^"\\]*"|\'[^\'\\]*\'')
_OUTSIDE = re.compile(r"[;{}#\\\n\r\0`@$]|//|/\*|\?\?|<[%:]|%[>:]|\+\+|--|__\w+|[^ -~]")
_HEADER = re.compile(r"(?!\.)[A-Za-z0-9_.-]+(/(?!\.)[A-Za-z0-9_.-]+)*\.h")
_MACRO = re.compile(r"[A-Z_][A-Z0-9_]*")
_TYPE_NAME = re.compile(r"\b([A-Za-z_]\w*)\b(?=\s*(?:\*|\b[A-Za-z_]))")

_C_WORDS = frozenset(
    {
        *("char", "const", "double", "enum", "float", "int", "long", "restrict", "short"),
        *("signed", "struct", "union", "unsigned", "void", "volatile", "_Bool"),
    }
)
_KERNEL_TYPES = (
    *(f"{sign}{bits}" for sign in "us" for bits in (8, 16, 32, 64)),
    *("bool", "dev_t", "fmode_t", "gfp_t", "loff_t", "mode_t", "pid_t", "sector_t", "size_t"),
    *("ssize_t", "umode_t", "blk_opf_t", "uintptr_t"),
)
_TYPEDEFS = "".join(f"typedef int {name};" for name in _KERNEL_TYPES)

_ALLOWED = (
    c_ast.ArrayRef,
    c_ast.BinaryOp,
    c_ast.Cast,
    c_ast.Constant,
    c_ast.ExprList,
    c_ast.FuncCall,
    c_ast.ID,
    c_ast.StructRef,
    c_ast.TernaryOp,
    c_ast.UnaryOp,
    # what a cast names
    c_ast.IdentifierType,
    c_ast.PtrDecl,
    c_ast.Struct,
    c_ast.TypeDecl,
    c_ast.Typename,
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Given:
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


def expression(text: str, *, key: str) -> str:
    """Return a single C expression in canonical form.

    `STRNCMP(a, "text", n)` is true when the first n bytes are equal (KernelChaos);
    `STRCMP(a, 'text')` when all are, the terminating NUL included (inject.py).

    :param key: where the text stands in the fault.
    :raises InvalidFault: it is something else than an expression, or calls
        something else than those two and the macros of headers.
    """
    given = _Given(text, key, "a single C expression", _EXPRESSIONS)
    _check(given)
    wrapped = f"{_TYPEDEFS} int p(void) {{ return ({_double_quoted(text)}); }}"
    tree = _parsed(wrapped, given).ext[-1].body.block_items[0].expr
    for node in _nodes(tree):
        if not isinstance(node, _ALLOWED):
            raise given.refused(f"an expression without {_name_of(node)}")
        if isinstance(node, c_ast.FuncCall):
            _settle_call(node, given)
    if any(isinstance(node, c_ast.ExprList) for node in _nodes(tree, into_calls=False)):
        raise given.refused("a single expression: it has a comma")
    return str(c_generator.CGenerator().visit(tree))


def parameters(text: str, *, key: str) -> str:
    """Return a function's parameters in canonical form; none stay none.

    :param key: where the text stands in the fault.
    :raises InvalidFault: they are no list of named parameters.
    """
    if isinstance(text, str) and text.strip() in ("", "void"):
        return ""
    given = _Given(text, key, "a list of parameters", _PARAMETERS)
    _check(given)
    names = set(_TYPE_NAME.findall(text)) - _C_WORDS - set(_KERNEL_TYPES)
    tagged = set(re.findall(r"\b(?:struct|union|enum)\s+(\w+)", text))
    typedefs = "".join(f"typedef int {name};" for name in sorted(names - tagged))
    tree = _parsed(f"{_TYPEDEFS} {typedefs} int f({text});", given).ext[-1]
    if not isinstance(tree.type, c_ast.FuncDecl) or tree.type.args is None:
        raise given.refused("a list of parameters")
    listed = tree.type.args.params
    if len(listed) > MAX_PARAMETERS:
        raise given.refused(f"at most {MAX_PARAMETERS} parameters")
    for parameter in listed:
        if not isinstance(parameter, c_ast.Decl) or isinstance(parameter.type, c_ast.FuncDecl):
            raise given.refused("a list of parameters that each have a type and a name")
    if len({parameter.name for parameter in listed}) < len(listed):
        raise given.refused("a list of parameters with a name of its own for each")
    return str(c_generator.CGenerator().visit(tree.type.args))


def declarations(text: str) -> list[tuple[str, str]]:
    """Return name and declaration of each of a function's parameters.

    :param text: what `parameters` has returned.
    """
    if not text:
        return []
    names = set(_TYPE_NAME.findall(text)) - _C_WORDS - set(_KERNEL_TYPES)
    typedefs = "".join(f"typedef int {name};" for name in sorted(names))
    tree = c_parser.CParser().parse(f"{_TYPEDEFS} {typedefs} int f({text});").ext[-1]
    listed = tree.type.args.params
    return [(each.name, str(c_generator.CGenerator().visit(each))) for each in listed]


def reading(text: str) -> str:
    """Return an expression in which the program's READ() fetches what is not in a parameter.

    :param text: what `expression` has returned.
    """
    tree = c_parser.CParser().parse(f"{_TYPEDEFS} int p(void) {{ return {text}; }}")
    return str(_Reading().visit(tree.ext[-1].body.block_items[0].expr))


class _Reading(c_generator.CGenerator):  # type: ignore[misc]
    """Writes C as usual, but for what lies in the kernel's memory."""

    def visit_StructRef(self, node: c_ast.StructRef) -> str:  # noqa: N802 - pycparser's name
        return f"READ({self._place(node)})"

    def visit_ArrayRef(self, node: c_ast.ArrayRef) -> str:  # noqa: N802
        return f"READ({self._place(node)})"

    def visit_UnaryOp(self, node: c_ast.UnaryOp) -> str:  # noqa: N802
        if node.op == "*":
            return f"READ({self._place(node)})"
        if node.op == "&":
            return f"(&{self._place(node.expr)})"
        return str(super().visit_UnaryOp(node))

    def _place(self, node: c_ast.Node) -> str:
        """Return a place in memory: what is on the way to it is read, and it itself is not."""
        if isinstance(node, c_ast.StructRef):
            of = self._place(node.name) if node.type == "." else f"({self.visit(node.name)})"
            return f"{of}{node.type}{self.visit(node.field)}"
        if isinstance(node, c_ast.ArrayRef):
            return f"({self.visit(node.name)})[{self.visit(node.subscript)}]"
        if isinstance(node, c_ast.UnaryOp) and node.op == "*":
            return f"(*({self.visit(node.expr)}))"
        return str(self.visit(node))


def header(name: object, *, key: str) -> str:
    """Return the name of a header below the kernel's include directory.

    :param key: where the name stands in the fault.
    :raises InvalidFault: it is none.
    """
    if not isinstance(name, str) or not _HEADER.fullmatch(name) or len(name) > 128:
        raise InvalidFault(
            key, name, "a header of the kernel", hint="write it as linux/blkdev.h, below include"
        )
    return name


def _check(given: _Given) -> None:
    """Refuse by its characters what a parser should not be asked to read."""
    text = given.text
    if not isinstance(text, str):
        raise given.refused("text")
    if len(text) > MAX_CHARACTERS:
        raise given.refused(f"text of up to {MAX_CHARACTERS} characters")
    bare = _LITERAL.sub("0", text)
    if found := _OUTSIDE.search(bare):
        raise given.refused(f"{given.what} without {found[0]!r}")
    if '"' in bare or "'" in bare:
        raise given.refused("C with every quotation mark closed")
    depth = deepest = 0
    for character in bare:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
        if depth < 0:
            break
    if depth:
        raise given.refused("C with balanced parentheses")
    if deepest > MAX_DEPTH:
        raise given.refused(f"C with up to {MAX_DEPTH} parentheses in each other")


def _double_quoted(text: str) -> str:
    """Turn inject.py's 'several characters' into a string; C has no such constant."""

    def quoted(found: re.Match[str]) -> str:
        body = found[0][1:-1]
        is_string = found[0][0] == "'" and len(body) != 1 and '"' not in body
        return f'"{body}"' if is_string else found[0]

    return _LITERAL.sub(quoted, text)


def _parsed(source: str, given: _Given) -> c_ast.FileAST:
    try:
        tree = c_parser.CParser().parse(source)
    except c_parser.ParseError as error:
        said = str(error).rpartition(": ")[2] or str(error)
        raise given.refused(f"{given.what} ({said})") from None
    except (AssertionError, AttributeError, RecursionError):
        raise given.refused(given.what) from None
    return tree


def _nodes(tree: c_ast.Node, *, into_calls: bool = True) -> Iterator[c_ast.Node]:
    """Yield the nodes of a tree; a call's list of arguments only when asked to."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, c_ast.FuncCall) and not into_calls:
            waiting.extend(node.args.exprs if node.args else ())
        else:
            waiting.extend(child for _, child in node.children())


def _settle_call(call: c_ast.FuncCall, given: _Given) -> None:
    """Check a call, and give it the form that the program knows."""
    if not isinstance(call.name, c_ast.ID) or not _MACRO.fullmatch(call.name.name):
        raise given.refused("an expression that calls only STRNCMP, STRCMP and macros of headers")
    if call.name.name in ("STRNCMP", "STRCMP"):
        _settle_comparison(call, given)


def _settle_comparison(call: c_ast.FuncCall, given: _Given) -> None:
    arguments = list(call.args.exprs) if call.args else []
    counted = call.name.name == "STRNCMP"
    form = 'STRNCMP(name, "text", bytes)' if counted else "STRCMP(name, 'text')"
    literals = [node for node in arguments[:2] if _is_string(node)]
    if len(arguments) != (3 if counted else 2) or len(literals) != 1:
        raise given.refused(f"C in which a comparison has the form {form}")
    (literal,) = literals
    other = next(node for node in arguments[:2] if node is not literal)
    room = len(literal.value) - 2 + 1
    size = _size(arguments[2]) if counted else room
    if not 1 <= size <= min(room, MAX_LITERAL):
        raise given.refused(f"C that compares 1 to {min(room, MAX_LITERAL)} bytes")
    call.name = c_ast.ID("STRNCMP")
    call.args = c_ast.ExprList([other, literal, c_ast.Constant("int", str(size))])


def _is_string(node: c_ast.Node) -> bool:
    # C has 'a' for a number; inject.py has it for a string of one character.
    if isinstance(node, c_ast.Constant) and node.type == "char" and node.value[0] == "'":
        node.type, node.value = "string", f'"{node.value[1:-1]}"'
    return isinstance(node, c_ast.Constant) and node.type == "string"


def _size(node: c_ast.Node) -> int:
    is_number = isinstance(node, c_ast.Constant) and re.fullmatch("[0-9]{1,4}", node.value)
    return int(node.value) if is_number else 0


def _name_of(node: c_ast.Node) -> str:
    names = {"Assignment": "an assignment", "Compound": "statements", "ExprList": "a comma"}
    return names.get(type(node).__name__, type(node).__name__)
