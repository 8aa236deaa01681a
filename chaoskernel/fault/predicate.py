"""Predicates: C of the user's that goes into the program, parsed and not pasted.

What comes out is the canonical text of a syntax tree that holds a single expression,
so that nothing can leave the place that it is put in.  c_text.py checks that text once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from pycparser import c_ast, c_generator

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import c_text, c_tokens
from chaoskernel.fault.c_literals import Given, checked, content_of, string_of
from chaoskernel.fault.c_text import MAX_CHARACTERS, MAX_LITERAL, MAX_PARAMETERS
from chaoskernel.fault.c_tree import (
    IN_EXPRESSIONS,
    IN_PARAMETERS,
    Reading,
    check_nodes,
    nodes,
    parse,
    write,
)

_EXPRESSIONS = 'such as order == 1, or STRNCMP(name->name, "bananas", 8)'
_PARAMETERS = "such as struct dentry *parent, const struct qstr *name"

_WHOLE_NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20})[uUlL]{0,3}")
_BOUND = re.compile(r"[0-9]{1,9}")
_TYPE_NAME = re.compile(r"\b([A-Za-z_]\w*)\b(?=\s*(?:\*|\b[A-Za-z_]))")

_KNOWN_WORDS = c_tokens.BASE_TYPES | c_tokens.QUALIFIERS | c_tokens.TAGS | c_tokens.KERNEL_TYPES


def expression(text: str, *, key: str) -> str:
    """Return a single C expression in canonical form.

    `STRNCMP(a, "text", n)` is true when the first n bytes are equal (KernelChaos);
    `STRCMP(a, 'text')` when all are, the terminating NUL included (inject.py).

    :param key: where the text stands in the fault.
    :raises InvalidFault: it is something else than an expression, or calls
        something else than those two and the macros of c_text.MACROS.
    """
    given = Given(text, key, "a single C expression", _EXPRESSIONS)
    written = _canonical_expression(checked(given), given)
    return _confirmed(written, given, _canonical_expression, c_text.check_expression)


def parameters(text: str, *, key: str) -> str:
    """Return a function's parameters in canonical form; none stay none.

    An array is the pointer that C makes of it.

    :param key: where the text stands in the fault.
    :raises InvalidFault: they are no list of named parameters.
    """
    if isinstance(text, str) and text.strip() in ("", "void"):
        return ""
    given = Given(text, key, "a list of parameters", _PARAMETERS)
    written = _canonical_parameters(checked(given), given)
    return _confirmed(written, given, _canonical_parameters, c_text.check_parameters)


def declarations(text: str) -> list[tuple[str, str]]:
    """Return name and declaration of each of a function's parameters.

    :param text: what `parameters` has returned.
    :raises InvalidFault: it is something else.
    """
    if not text:
        return []
    listed = _parameter_list(text, Given(text, "parameters", "a list of parameters", _PARAMETERS))
    return [(each.name, str(c_generator.CGenerator().visit(each))) for each in listed.params]


def reading(text: str) -> str:
    """Return an expression in which the program's READ() fetches what is not in a parameter.

    :param text: what `expression` has returned.
    :raises InvalidFault: it is something else.
    """
    given = Given(text, "predicate", "a single C expression", _EXPRESSIONS)
    return write(_expression_tree(text, given), given, Reading())


def header(name: object, *, key: str) -> str:
    """Return the name of a header below the kernel's include directory.

    :param key: where the name stands in the fault.
    :raises InvalidFault: it is none.
    """
    c_text.check_header(key, name)
    return str(name)


def _canonical_expression(text: str, given: Given) -> str:
    tree = _expression_tree(text, given)
    for node in nodes(tree):
        if isinstance(node, c_ast.FuncCall):
            _settle_call(node, given)
        elif isinstance(node, c_ast.Constant):
            _settle_constant(node, given)
    if any(isinstance(node, c_ast.ExprList) for node in nodes(tree, into_calls=False)):
        raise given.refused("a single expression: it has a comma")
    return write(tree, given)


def _expression_tree(text: str, given: Given) -> c_ast.Node:
    """Return the tree of a text, of whose nodes each is known to be harmless."""
    tree = parse(f"{_typedefs(text)} int p(void) {{ return ({text}); }}", given)
    (statement,) = _only_function(tree, given).body.block_items or (None,)
    if not isinstance(statement, c_ast.Return) or statement.expr is None:
        raise given.refused(given.what)
    check_nodes(statement.expr, IN_EXPRESSIONS, "an expression", given)
    return statement.expr


def _typedefs(text: str, names: Iterable[str] = ()) -> str:
    """Return declarations of the types that a text may name, without which C cannot be read."""
    known = c_tokens.KERNEL_TYPES.intersection(re.findall(r"\w+", text))
    return "".join(f"typedef int {name};" for name in sorted(known.union(names)))


def _only_function(tree: c_ast.FileAST, given: Given) -> c_ast.FuncDef:
    *typedefs, function = tree.ext
    if not isinstance(function, c_ast.FuncDef) or not _all_are_typedefs(typedefs):
        raise given.refused(given.what)
    return function


def _all_are_typedefs(nodes: list[c_ast.Node]) -> bool:
    return all(isinstance(node, c_ast.Typedef) for node in nodes)


def _canonical_parameters(text: str, given: Given) -> str:
    listed = _parameter_list(text, given)
    if len(listed.params) > MAX_PARAMETERS:
        raise given.refused(f"at most {MAX_PARAMETERS} parameters")
    for parameter in listed.params:
        if not isinstance(parameter, c_ast.Decl) or isinstance(parameter.type, c_ast.FuncDecl):
            raise given.refused("a list of parameters that each have a type and a name")
        if isinstance(parameter.type, c_ast.ArrayDecl):
            parameter.type = c_ast.PtrDecl([], parameter.type.type)
    return write(listed, given)


def _parameter_list(text: str, given: Given) -> c_ast.ParamList:
    """Return the tree of parameters, of whose nodes each is known to be harmless."""
    tagged = set(re.findall(r"\b(?:struct|union|enum)\s+(\w+)", text))
    names = set(_TYPE_NAME.findall(text)) - _KNOWN_WORDS - tagged
    *before, function = parse(f"{_typedefs(text, names)} int f({text});", given).ext
    kind = getattr(function, "type", None)
    if not _all_are_typedefs(before) or not isinstance(kind, c_ast.FuncDecl) or kind.args is None:
        raise given.refused("a list of parameters")
    check_nodes(kind.args, IN_PARAMETERS, "a list of parameters", given)
    for node in nodes(kind.args):
        if isinstance(node, c_ast.ArrayDecl) and not _is_bound(node.dim):
            raise given.refused("a list of parameters in which the size of an array is a number")
    return kind.args


def _is_bound(node: c_ast.Node | None) -> bool:
    return node is None or (isinstance(node, c_ast.Constant) and bool(_BOUND.fullmatch(node.value)))


def _confirmed(
    written: str,
    given: Given,
    again: Callable[[str, Given], str],
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


def _settle_call(call: c_ast.FuncCall, given: Given) -> None:
    """Check a call, and give it the form that the program knows."""
    name = call.name.name if isinstance(call.name, c_ast.ID) else ""
    if name in ("STRNCMP", "STRCMP"):
        _settle_comparison(call, given)
    elif name not in c_text.MACROS:
        raise given.refused(f"an expression that calls only {c_text.called()}")


def _settle_comparison(call: c_ast.FuncCall, given: Given) -> None:
    arguments = list(call.args.exprs) if call.args else []
    counted = call.name.name == "STRNCMP"
    form = 'STRNCMP(name, "text", bytes)' if counted else "STRCMP(name, 'text')"
    literals = [node for node in arguments[:2] if _is_string(node)]
    if len(arguments) != (3 if counted else 2) or len(literals) != 1:
        raise given.refused(f"C in which a comparison has the form {form}")
    (literal,) = literals
    other = next(node for node in arguments[:2] if node is not literal)
    content = content_of(literal.value, given)
    room = len(content) + 1
    size = _size(arguments[2]) if counted else room
    if not 1 <= size <= min(room, MAX_LITERAL):
        raise given.refused(f"C that compares 1 to {min(room, MAX_LITERAL)} bytes")
    literal.type, literal.value = "string", string_of(content)
    call.name = c_ast.ID("STRNCMP")
    call.args = c_ast.ExprList([other, literal, c_ast.Constant("int", str(size))])


def _settle_constant(constant: c_ast.Constant, given: Given) -> None:
    """Check a constant, and give it the form that the program knows."""
    if constant.value.startswith('"'):
        # Literals that follow each other are one, and have been joined as they were written.
        constant.value = string_of(content_of(constant.value, given))
    elif not constant.value.startswith("'") and not _WHOLE_NUMBER.fullmatch(constant.value):
        raise given.refused("C whose numbers are whole, in decimal, octal or hexadecimal")


def _is_string(node: c_ast.Node) -> bool:
    # 'a' is a number in C, and a string of one character in inject.py.
    return isinstance(node, c_ast.Constant) and node.value[0] in "\"'"


def _size(node: c_ast.Node) -> int:
    is_number = isinstance(node, c_ast.Constant) and re.fullmatch("[0-9]{1,4}", node.value)
    return int(node.value) if is_number else 0
