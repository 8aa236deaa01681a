"""Predicates: C of the user's that goes into the program, parsed and not pasted.

What comes out is the canonical text of a syntax tree that holds a single expression,
so that nothing can leave the place that it is put in.  c_text.py checks that text once more.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pycparser import c_ast, c_generator, c_parser

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import c_text
from chaoskernel.fault.c_text import MAX_CHARACTERS, MAX_DEPTH, MAX_LITERAL, MAX_PARAMETERS

_EXPRESSIONS = 'such as order == 1, or STRNCMP(name->name, "bananas", 8)'
_PARAMETERS = "such as struct dentry *parent, const struct qstr *name"

_SHOWN = 80
"""Characters of what the parser says, which quotes what it was given."""

_LITERAL = re.compile(r"""(\w?)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", re.DOTALL)
_ESCAPE = re.compile(r"\\([0-3][0-7]{2})|\\|([^\\]+)", re.DOTALL)
_OUTSIDE = re.compile(r"[;{}#\\\n\r\0`@$]|//|/\*|\?\?|<[%:]|%[>:]|\+\+|--|__\w+|[^ -~]")
_WHOLE_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20})[uUlL]{0,3}")
_BOUND = re.compile(r"[0-9]{1,9}")
_TYPE_NAME = re.compile(r"\b([A-Za-z_]\w*)\b(?=\s*(?:\*|\b[A-Za-z_]))")

_KNOWN_WORDS = c_text.BASE_TYPES | c_text.QUALIFIERS | c_text.TAGS | c_text.KERNEL_TYPES

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
_IN_EXPRESSIONS = _TYPES | {
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
_IN_PARAMETERS = _TYPES | {
    c_ast.ArrayDecl: frozenset({"type", "dim"}),
    c_ast.Constant: frozenset({"type", "value"}),
    c_ast.Decl: frozenset({"name", "quals", "type"}),
    c_ast.FuncDecl: frozenset({"args", "type"}),
    c_ast.ParamList: frozenset({"params"}),
}


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
        something else than those two and the macros of c_text.MACROS.
    """
    given = _Given(text, key, "a single C expression", _EXPRESSIONS)
    written = _canonical_expression(_checked(given), given)
    return _confirmed(written, given, _canonical_expression, c_text.check_expression)


def parameters(text: str, *, key: str) -> str:
    """Return a function's parameters in canonical form; none stay none.

    An array is the pointer that C makes of it.

    :param key: where the text stands in the fault.
    :raises InvalidFault: they are no list of named parameters.
    """
    if isinstance(text, str) and text.strip() in ("", "void"):
        return ""
    given = _Given(text, key, "a list of parameters", _PARAMETERS)
    written = _canonical_parameters(_checked(given), given)
    return _confirmed(written, given, _canonical_parameters, c_text.check_parameters)


def declarations(text: str) -> list[tuple[str, str]]:
    """Return name and declaration of each of a function's parameters.

    :param text: what `parameters` has returned.
    :raises InvalidFault: it is something else.
    """
    if not text:
        return []
    listed = _parameter_list(text, _Given(text, "parameters", "a list of parameters", _PARAMETERS))
    return [(each.name, str(c_generator.CGenerator().visit(each))) for each in listed.params]


def reading(text: str) -> str:
    """Return an expression in which the program's READ() fetches what is not in a parameter.

    :param text: what `expression` has returned.
    :raises InvalidFault: it is something else.
    """
    given = _Given(text, "predicate", "a single C expression", _EXPRESSIONS)
    return _written(_expression_tree(text, given), given, _Reading())


class _Reading(c_generator.CGenerator):  # type: ignore[misc]
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


def header(name: object, *, key: str) -> str:
    """Return the name of a header below the kernel's include directory.

    :param key: where the name stands in the fault.
    :raises InvalidFault: it is none.
    """
    c_text.check_header(key, name)
    return str(name)


def _canonical_expression(text: str, given: _Given) -> str:
    tree = _expression_tree(text, given)
    for node in _nodes(tree):
        if isinstance(node, c_ast.FuncCall):
            _settle_call(node, given)
        elif isinstance(node, c_ast.Constant):
            _settle_constant(node, given)
    if any(isinstance(node, c_ast.ExprList) for node in _nodes(tree, into_calls=False)):
        raise given.refused("a single expression: it has a comma")
    return _written(tree, given)


def _expression_tree(text: str, given: _Given) -> c_ast.Node:
    """Return the tree of a text, of whose nodes each is known to be harmless."""
    tree = _parsed(f"{_typedefs(text)} int p(void) {{ return ({text}); }}", given)
    (statement,) = _only_function(tree, given).body.block_items or (None,)
    if not isinstance(statement, c_ast.Return) or statement.expr is None:
        raise given.refused(given.what)
    _check_nodes(statement.expr, _IN_EXPRESSIONS, "an expression", given)
    return statement.expr


def _typedefs(text: str, names: Iterable[str] = ()) -> str:
    """Return declarations of the types that a text may name, without which C cannot be read."""
    known = c_text.KERNEL_TYPES.intersection(re.findall(r"\w+", text))
    return "".join(f"typedef int {name};" for name in sorted(known.union(names)))


def _only_function(tree: c_ast.FileAST, given: _Given) -> c_ast.FuncDef:
    *typedefs, function = tree.ext
    if not isinstance(function, c_ast.FuncDef) or not _all_are_typedefs(typedefs):
        raise given.refused(given.what)
    return function


def _all_are_typedefs(nodes: list[c_ast.Node]) -> bool:
    return all(isinstance(node, c_ast.Typedef) for node in nodes)


def _canonical_parameters(text: str, given: _Given) -> str:
    listed = _parameter_list(text, given)
    if len(listed.params) > MAX_PARAMETERS:
        raise given.refused(f"at most {MAX_PARAMETERS} parameters")
    for parameter in listed.params:
        if not isinstance(parameter, c_ast.Decl) or isinstance(parameter.type, c_ast.FuncDecl):
            raise given.refused("a list of parameters that each have a type and a name")
        if isinstance(parameter.type, c_ast.ArrayDecl):
            parameter.type = c_ast.PtrDecl([], parameter.type.type)
    return _written(listed, given)


def _parameter_list(text: str, given: _Given) -> c_ast.ParamList:
    """Return the tree of parameters, of whose nodes each is known to be harmless."""
    tagged = set(re.findall(r"\b(?:struct|union|enum)\s+(\w+)", text))
    names = set(_TYPE_NAME.findall(text)) - _KNOWN_WORDS - tagged
    *before, function = _parsed(f"{_typedefs(text, names)} int f({text});", given).ext
    kind = getattr(function, "type", None)
    if not _all_are_typedefs(before) or not isinstance(kind, c_ast.FuncDecl) or kind.args is None:
        raise given.refused("a list of parameters")
    _check_nodes(kind.args, _IN_PARAMETERS, "a list of parameters", given)
    for node in _nodes(kind.args):
        if isinstance(node, c_ast.ArrayDecl) and not _is_bound(node.dim):
            raise given.refused("a list of parameters in which the size of an array is a number")
    return kind.args


def _is_bound(node: c_ast.Node | None) -> bool:
    return node is None or (isinstance(node, c_ast.Constant) and bool(_BOUND.fullmatch(node.value)))


def _confirmed(
    written: str,
    given: _Given,
    again: Callable[[str, _Given], str],
    check: Callable[[str, Any], None],
) -> str:
    """Return canonical text that the agent will take, and that says the same when it is read.

    :raises InvalidFault: it is not, because the parser has understood something else.
    """
    if len(written) > MAX_CHARACTERS:
        raise given.refused(f"C of up to {MAX_CHARACTERS} characters: it becomes {len(written)}")
    try:
        check(given.key, written)
        same = again(written, given) == written
    except InvalidFault as refused:
        raise given.refused(refused.allowed) from None
    if not same:
        raise given.refused(f"{given.what} that has one meaning: it is read as {written}")
    return written


def _checked(given: _Given) -> str:
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
        content = _content(literal, given)
        # C has 'a' for a number, and no 'several characters', which inject.py has for a string.
        is_number = literal[0] == "'" and len(content) == 1
        return _character(content) if is_number else _string(content)

    return _LITERAL.sub(canonical, text)


def _content(literal: str, given: _Given) -> bytes:
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


def _string(content: bytes) -> str:
    """Return a literal of printable ASCII; `??` begins a trigraph, and is not in it."""
    return '"' + "".join(map(_escaped, content)).replace("??", r"?\077") + '"'


def _character(content: bytes) -> str:
    return "'" + ("\\047" if content == b"'" else _escaped(content[0])) + "'"


def _escaped(byte: int) -> str:
    is_plain = 0x20 <= byte < 0x7F and byte not in b'"\\'
    return chr(byte) if is_plain else f"\\{byte:03o}"


def _parsed(source: str, given: _Given) -> c_ast.FileAST:
    try:
        return c_parser.CParser().parse(source)
    except c_parser.ParseError as error:
        said = (str(error).rpartition(": ")[2] or str(error))[:_SHOWN]
        raise given.refused(f"{given.what} ({said})") from None
    except RecursionError:
        raise _too_deep(given) from None
    except (AssertionError, AttributeError):
        raise given.refused(given.what) from None


def _written(tree: c_ast.Node, given: _Given, generator: Any = None) -> str:
    try:
        return str((generator or c_generator.CGenerator()).visit(tree))
    except RecursionError:  # the caller has left little of the stack
        raise _too_deep(given) from None


def _too_deep(given: _Given) -> InvalidFault:
    return given.refused(f"C of up to {MAX_DEPTH} levels: it nests deeper; make it shorter")


def _check_nodes(
    tree: c_ast.Node, allowed: dict[type[c_ast.Node], frozenset[str]], what: str, given: _Given
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
            if name == "quals" and not set(value or ()) <= c_text.QUALIFIERS:
                raise given.refused(f"{what} without {' '.join(value or ())}")
        waiting.extend((child, depth + 1) for _, child in node.children())


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
    name = call.name.name if isinstance(call.name, c_ast.ID) else ""
    if name in ("STRNCMP", "STRCMP"):
        _settle_comparison(call, given)
    elif name not in c_text.MACROS:
        raise given.refused(f"an expression that calls only {c_text.called()}")


def _settle_comparison(call: c_ast.FuncCall, given: _Given) -> None:
    arguments = list(call.args.exprs) if call.args else []
    counted = call.name.name == "STRNCMP"
    form = 'STRNCMP(name, "text", bytes)' if counted else "STRCMP(name, 'text')"
    literals = [node for node in arguments[:2] if _is_string(node)]
    if len(arguments) != (3 if counted else 2) or len(literals) != 1:
        raise given.refused(f"C in which a comparison has the form {form}")
    (literal,) = literals
    other = next(node for node in arguments[:2] if node is not literal)
    content = _content(literal.value, given)
    room = len(content) + 1
    size = _size(arguments[2]) if counted else room
    if not 1 <= size <= min(room, MAX_LITERAL):
        raise given.refused(f"C that compares 1 to {min(room, MAX_LITERAL)} bytes")
    literal.type, literal.value = "string", _string(content)
    call.name = c_ast.ID("STRNCMP")
    call.args = c_ast.ExprList([other, literal, c_ast.Constant("int", str(size))])


def _settle_constant(constant: c_ast.Constant, given: _Given) -> None:
    """Check a constant, and give it the form that the program knows."""
    if constant.value.startswith('"'):
        # Literals that follow each other are one, and have been joined as they were written.
        constant.value = _string(_content(constant.value, given))
    elif not constant.value.startswith("'") and not _WHOLE_NUMBER.fullmatch(constant.value):
        raise given.refused("C whose numbers are whole, in decimal, octal or hexadecimal")


def _is_string(node: c_ast.Node) -> bool:
    # 'a' is a number in C, and a string of one character in inject.py.
    return isinstance(node, c_ast.Constant) and node.value[0] in "\"'"


def _size(node: c_ast.Node) -> int:
    is_number = isinstance(node, c_ast.Constant) and re.fullmatch("[0-9]{1,4}", node.value)
    return int(node.value) if is_number else 0


def _name_of(node: c_ast.Node) -> str:
    names = {"Assignment": "an assignment", "Compound": "statements", "ExprList": "a comma"}
    return names.get(type(node).__name__, type(node).__name__)
