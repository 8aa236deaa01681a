"""Predicates are single C expressions; whatever tries to be more is refused."""

from __future__ import annotations

import random
import re
import time
from typing import Any

import pytest

from chaoskernel import predicate
from chaoskernel.errors import InvalidFault


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("order == 1", "order == 1"),
        ("  order==1 ", "order == 1"),
        ("(gfpflags & 0x400) != 0", "(gfpflags & 0x400) != 0"),
        ("(u32) x == 1", "((u32) x) == 1"),
        ("!a && *b", "(!a) && (*b)"),
        ("a ? b : c", "(a) ? (b) : (c)"),
        ("list[3].next->value", "list[3].next->value"),
        ("true", "true"),
        (
            "bio->bi_iter.bi_sector == 128 && bio->bi_bdev->bd_dev == MKDEV(7, 0)",
            "(bio->bi_iter.bi_sector == 128) && (bio->bi_bdev->bd_dev == MKDEV(7, 0))",
        ),
        ('STRNCMP(name->name, "bananas", 8)', 'STRNCMP(name->name, "bananas", 8)'),
        ('STRNCMP("bananas", name->name, 3)', 'STRNCMP(name->name, "bananas", 3)'),
        ("STRCMP(name->name, 'bananas')", 'STRNCMP(name->name, "bananas", 8)'),
        ("STRCMP(name->name, 'b')", 'STRNCMP(name->name, "b", 2)'),
        ('STRCMP(name->name, "a;b")', 'STRNCMP(name->name, "a;b", 4)'),
    ],
)
def test_an_expression_is_accepted_in_canonical_form(text: str, canonical: str) -> None:
    assert predicate.expression(text, key="predicate") == canonical
    assert predicate.expression(canonical, key="predicate") == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1) return 0; } int x(",
        "1) || (1",
        "#include <linux/fs.h>",
        "1 // the rest",
        "1 /* the rest",
        "1\n#define x",
        "1 \\",
        "return 1",
        "a = 1",
        "a += 1",
        "a++",
        "--a",
        "a, b",
        "(a, b)",
        "({ 1; })",
        "foo(x)",
        "a->f(x)",
        "(*f)(x)",
        "panic()",
        "__asm__(1)",
        "asm(1)",
        "(struct s){1}",
        "<% 1 %>",
        "1 ??/ 2",
        'STRNCMP(name, "bananas", 9)',
        'STRNCMP(name, "bananas", 0)',
        'STRNCMP(name, "bananas", n)',
        'STRNCMP(name, "bananas")',
        "STRNCMP(name, other, 3)",
        "STRCMP(name)",
        f'STRCMP(name, "{"x" * 64}")',
        'STRCMP(name, "unclosed)',
        "'",
        "1 == é",
        "\0",
        "int",
        "x y",
        "(" * 100 + "1" + ")" * 100,
        "((1)",
        "1))",
    ],
)
def test_what_is_no_expression_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidFault, match="^frame: ") as caught:
        predicate.expression(text, key="frame")
    assert "\n" not in str(caught.value)


def test_a_million_parentheses_are_refused_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(InvalidFault, match="up to 2000 characters"):
        predicate.expression("(" * 1_000_000, key="predicate")
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("void", ""),
        ("gfp_t gfp_mask, unsigned int order", "gfp_t gfp_mask, unsigned int order"),
        (
            "struct dentry *parent,const struct qstr * name",
            "struct dentry *parent, const struct qstr *name",
        ),
        ("unheard_t *x, other_t y", "unheard_t *x, other_t y"),
    ],
)
def test_parameters_are_accepted_in_canonical_form(text: str, canonical: str) -> None:
    assert predicate.parameters(text, key="parameters") == canonical


@pytest.mark.parametrize(
    "text",
    [
        "int a) { return 0; } int f(int b",
        "int",
        "struct dentry *",
        "int a, int a",
        "int a, ...",
        "int a;",
        "int a = 1",
        "int (*f)(int",
        ", ".join(f"int a{n}" for n in range(13)),
    ],
)
def test_what_is_no_list_of_parameters_is_refused(text: str) -> None:
    with pytest.raises(InvalidFault, match="^parameters: "):
        predicate.parameters(text, key="parameters")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("int a;", "parameters: 'int a;' is not a list of parameters without ';'"),
        ("int", "parameters: 'int' is not a list of parameters that each have a type and a name"),
        ("int a = 1", "parameters: 'int a = 1' is not a list of parameters .*"),
        (7, "parameters: 7 is not text"),
        (None, "parameters: None is not text"),
        ("a" * 2001, "parameters: 'a+... is not text of up to 2000 characters"),
    ],
)
def test_of_wrong_parameters_the_hint_is_of_parameters(text: Any, line: str) -> None:
    with pytest.raises(InvalidFault) as refused:
        predicate.parameters(text, key="parameters")
    hint = "; such as struct dentry *parent, const struct qstr *name"
    assert re.fullmatch(line + re.escape(hint), str(refused.value)), refused.value


def test_a_predicate_that_is_no_text_is_told_from_one_that_is_too_long() -> None:
    with pytest.raises(InvalidFault, match="^frame: 7 is not text; such as order == 1, or STRN"):
        predicate.expression(7, key="frame")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["linux/fs.h", "net/sock.h", "a.h", "linux/byteorder/generic.h"])
def test_a_header_is_accepted(name: str) -> None:
    assert predicate.header(name, key="headers") == name


@pytest.mark.parametrize(
    "name", ["/etc/a.h", "../a.h", "linux/../a.h", "a", "a.h>", 'a".h', "a b.h", "", 7, "x" * 130]
)
def test_what_is_no_header_is_refused(name: object) -> None:
    with pytest.raises(InvalidFault, match="^headers: "):
        predicate.header(name, key="headers")


def test_no_text_does_anything_but_parse_or_be_refused() -> None:
    words = ["a", "b", "1", "0x2", "STRCMP", "MKDEV", "u32", "struct", "'x'", '"x"']
    tokens = [*words, *"()[]*&.+-?:,;{}\"'", "->", "==", "&&", "||"]
    chosen = random.Random(7)
    accepted = 0
    for _ in range(3000):
        text = " ".join(chosen.choices(tokens, k=chosen.randint(1, 7)))
        try:
            canonical = predicate.expression(text, key="predicate")
        except InvalidFault:
            continue
        accepted += 1
        assert predicate.expression(canonical, key="predicate") == canonical
    assert accepted > 50
