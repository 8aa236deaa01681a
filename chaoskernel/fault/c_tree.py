"""Syntax trees of the C that users write: read, checked node by node, and written again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pycparser import c_ast, c_generator, c_parser

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import c_tokens
from chaoskernel.fault.c_literals import Given
from chaoskernel.fault.c_text import MAX_DEPTH

_SHOWN = 80
"""Characters of what the parser says, which quotes what it was given."""

# By kind of node: the attributes that it may have a value in.  Whatever else a node has,
# such as the members of a struct or an attribute of C23, is refused.
_TYPES: dict[type[c_ast.Node], frozenset[str]] = {
    c_ast.Enum: frozenset({"name"}),
    c_ast.IdentifierType: frozenset({"names"}),
    c_ast.PtrDecl: frozenset({"quals", "type"}),
    c_ast.Struct: frozenset({"name"}),
    c_ast.TypeDecl: frozenset({"declname", "quals", "type"}),
    c_ast.Typename: frozenset({"name", "quals", "type"}),
    c_ast.Union: frozenset({"name"}),
}
IN_EXPRESSIONS = _TYPES | {
    c_ast.ArrayRef: frozenset({"name", "subscript"}),
    c_ast.BinaryOp: frozenset({"op", "left", "right"}),
    c_ast.Cast: frozenset({"to_type", "expr"}),
    c_ast.Constant: frozenset({"type", "value"}),
    c_ast.ExprList: frozenset({"exprs"}),
    c_ast.FuncCall: frozenset({"name", "args"}),
    c_ast.ID: frozenset({"name"}),
    c_ast.StructRef: frozenset({"name", "type", "field"}),
    c_ast.TernaryOp: frozenset({"cond", "iftrue", "iffalse"}),
    c_ast.UnaryOp: frozenset({"op", "expr"}),
}
IN_PARAMETERS = _TYPES | {
    c_ast.ArrayDecl: frozenset({"type", "dim"}),
    c_ast.Constant: frozenset({"type", "value"}),
    c_ast.Decl: frozenset({"name", "quals", "type"}),
    c_ast.FuncDecl: frozenset({"args", "type"}),
    c_ast.ParamList: frozenset({"params"}),
}


def parse(source: str, given: Given) -> c_ast.FileAST:
    try:
        return c_parser.CParser().parse(source)
    except c_parser.ParseError as error:
        said = (str(error).rpartition(": ")[2] or str(error))[:_SHOWN]
        raise given.refused(f"{given.what} ({said})") from None
    except RecursionError:
        raise _too_deep(given) from None
    except (AssertionError, AttributeError):
        raise given.refused(given.what) from None


def write(tree: c_ast.Node, given: Given, generator: Any = None) -> str:
    try:
        return str((generator or c_generator.CGenerator()).visit(tree))
    except RecursionError:  # the caller has left little of the stack
        raise _too_deep(given) from None


def _too_deep(given: Given) -> InvalidFault:
    return given.refused(f"C of up to {MAX_DEPTH} levels: it nests deeper; make it shorter")


def check_nodes(
    tree: c_ast.Node, allowed: dict[type[c_ast.Node], frozenset[str]], what: str, given: Given
) -> None:
    """Check each node of a tree, and how deep it is, before anything recursive runs on it."""
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(given)
        attributes = allowed.get(type(node))
        if attributes is None:
            raise given.refused(f"{what} without {_name_of(node)}")
        for name in node.__slots__:
            value = None if name in ("coord", "__weakref__") else getattr(node, name)
            if value and name not in attributes:
                raise given.refused(f"{what} without {_name_of(node)} that has {name}")
            if name == "quals" and not set(value or ()) <= c_tokens.QUALIFIERS:
                raise given.refused(f"{what} without {' '.join(value or ())}")
        waiting.extend((child, depth + 1) for _, child in node.children())


def nodes(tree: c_ast.Node, *, into_calls: bool = True) -> Iterator[c_ast.Node]:
    """Yield the nodes of a tree; a call's list of arguments only when asked to."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, c_ast.FuncCall) and not into_calls:
            waiting.extend(node.args.exprs if node.args else ())
        else:
            waiting.extend(child for _, child in node.children())


class Reading(c_generator.CGenerator):  # type: ignore[misc]
    """Writes C as usual, but for what lies in the kernel's memory."""

    def visit_StructRef(self, node: c_ast.StructRef) -> str:  # noqa: N802 - pycparser's name
        return f"READ({self._place(node)})"

    def visit_ArrayRef(self, node: c_ast.ArrayRef) -> str:  # noqa: N802
        return f"READ({self._place(node)})"

    def visit_UnaryOp(self, node: c_ast.UnaryOp) -> str:  # noqa: N802
        if node.op == "*":
            return f"READ({self._place(node)})"
        if node.op == "sizeof":  # nothing is read for it, and an array has its own size
            return str(c_generator.CGenerator().visit(node))
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


def _name_of(node: c_ast.Node) -> str:
    names = {"Assignment": "an assignment", "Compound": "statements", "ExprList": "a comma"}
    return names.get(type(node).__name__, type(node).__name__)
