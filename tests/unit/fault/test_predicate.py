"""Predicates are single C expressions; whatever tries to be more is refused."""

from __future__ import annotations

import inspect
import random
import re
import sys
import time
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import predicate


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
        ("order == 'a'", "order == 'a'"),
        ("order == '\"'", r"order == '\042'"),
        (r"order == '\047'", r"order == '\047'"),
        ("sizeof(struct dentry) == 1", "(sizeof(struct dentry)) == 1"),
        ("(enum pid_type) a == 1", "((enum pid_type) a) == 1"),
        ("a - -b", "a - (-b)"),
        ("S_ISDIR(inode->i_mode)", "S_ISDIR(inode->i_mode)"),
        (" || ".join(["a == 1"] * 60), "(" * 59 + "a == 1" + ") || (a == 1)" * 59),
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


@pytest.mark.parametrize(
    ("literal", "written"),
    [
        ('"é"', r'"\303\251", 3'),
        ("'é'", r'"\303\251", 3'),
        (r'"\303\251"', r'"\303\251", 3'),
        ('"x\r, 1) 1 + f(9);\r//"', r'"x\015, 1) 1 + f(9);\015//", 20'),
        ('"a\nb\0c\x7f\u2028"', r'"a\012b\000c\177\342\200\250", 10'),
        (r'"\134\042\047"', """"\\134\\042'", 4"""),
        ("""'a"b'""", r'"a\042b", 4'),
        ('"??/"', r'"?\077/", 4'),
        ('"a" "b"', '"ab", 3'),
        ('"?" "?"', r'"?\077", 3'),
        ("'ab' 'cd'", '"abcd", 5'),
        ('""', '"", 1'),
    ],
)
def test_a_literal_is_written_anew_and_counted_in_bytes(literal: str, written: str) -> None:
    found = predicate.expression(f"STRCMP(name->name, {literal})", key="predicate")
    assert found == f"STRNCMP(name->name, {written})"
    assert predicate.expression(found, key="predicate") == found
    assert found.isascii()
    assert found.isprintable()


@pytest.mark.parametrize(
    "literal",
    [
        *('u8"abc"', 'L"abc"', 'u"abc"', 'U"abc"', 'R"(abc)"', 'x"abc"', "L'a'", "u8'a'"),
        *(r'"\n"', r'"\\"', r'"\""', r"'\''", r'"\x41"', r'"\8"', r'"\12"', r'"\400"', '"\ud800"'),
        *('"a" L"b"', '"a', "'a", "\"a'"),
    ],
)
def test_a_literal_that_is_not_plain_is_refused(literal: str) -> None:
    with pytest.raises(InvalidFault, match="^predicate: "):
        predicate.expression(f"STRCMP(name, {literal})", key="predicate")


def test_more_bytes_than_a_literal_has_are_not_compared() -> None:
    assert predicate.expression('STRNCMP(n, "é", 3)', key="p").endswith(", 3)")
    with pytest.raises(InvalidFault, match="compares 1 to 3 bytes"):
        predicate.expression('STRNCMP(n, "é", 4)', key="p")


@pytest.mark.parametrize(
    "text",
    [
        "1" + "+1" * 899,
        "a" + "->b" * 600,
        "a" + ".b" * 900,
        "a" + "[0]" * 600,
        "1?1:" * 450 + "1",
        "(int)" * 390 + "1",
        "-" + " -" * 900 + "1",
        "!" * 1900 + "1",
        "sizeof " * 280 + "a",
        "a[" * 400 + "1" + "]" * 400,
        "MKDEV(" * 200 + "1" + ",1)" * 200,
        "1" + "||1" * 64,
    ],
)
def test_a_tree_that_is_too_deep_is_refused_by_its_key(text: str) -> None:
    with pytest.raises(InvalidFault, match=r"^frame: .* (nests deeper|in each other)"):
        predicate.expression(text, key="frame")


def test_what_is_accepted_is_read_again_from_deep_within_a_program() -> None:
    canonical = predicate.expression(" || ".join(["-(u32) a->b[0] == 1"] * 50), key="p")

    def deep(levels: int) -> str:
        return deep(levels - 1) if levels else predicate.reading(canonical)

    assert deep(150).count("READ(") == 100
    with pytest.raises(InvalidFault, match="nests deeper"):
        deep(sys.getrecursionlimit() - len(inspect.stack()) - 60)


@pytest.mark.parametrize(
    "text",
    [
        "BPF_CORE_READ_INTO(&state.deadline, parent, d_flags)",
        "WRITE_ONCE(state.deadline, 0)",
        "BUG_ON(1)",
        "READ(a)",
        "(bpf_send_signal)(9)",
        "(*bpf_send_signal)(9)",
        "((int (*)(int)) 109)(9)",
        "sizeof(int[f()])",
        "(int (*)[f()]) a",
        "_Generic(a, int: 1)",
        "_Alignof(int)",
        "(_Atomic(int)) a",
        "(_BitInt(8)) a",
        "(typeof(a)) a",
        "_Pragma(1)",
        "a ?: b",
        "&&label",
        "1.5",
        "0b1",
        "1e3",
        "x' '",
        "a\r== 1",
        "a\v== 1",
        "a ??( 1 ??)",
        "a<:1:>",
        "%:define",
    ],
)
def test_what_would_do_more_than_compute_is_refused(text: str) -> None:
    with pytest.raises(InvalidFault, match="^frame: "):
        predicate.expression(text, key="frame")


def test_canonical_text_is_no_longer_than_what_is_taken() -> None:
    text = "STRCMP(n, '" + "é" * 30 + "') || " * 1
    with pytest.raises(InvalidFault, match="of up to 2000 characters: it becomes"):
        predicate.expression(text * 30 + "1", key="p")


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
        ("int a[16], char *b[]", "int *a, char **b"),
        ("int (*a)[3], int b[2][3]", "int (*a)[3], int (*b)[3]"),
        ("int (*f)(int, void *p), void *x", "int (*f)(int, void *p), void *x"),
        ("struct s *(*f)(void)", "struct s *(*f)(void)"),
        ("const char *const *x", "const char * const *x"),
        ("union u *x, enum e y", "union u *x, enum e y"),
        ("unsigned a, long long b, _Bool c", "unsigned a, long long b, _Bool c"),
    ],
)
def test_parameters_are_accepted_in_canonical_form(text: str, canonical: str) -> None:
    assert predicate.parameters(text, key="parameters") == canonical
    assert predicate.parameters(canonical, key="parameters") == canonical


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
        "const struct pt_regs (*regs)[(state.deadline = 0 - 1UL) ? bpf_send_signal(9) : 1]",
        "const struct pt_regs (*regs)[bpf_send_signal(9)]",
        "int (*f)(int, int a[bpf_send_signal(9)])",
        "int a[state.deadline = 0]",
        "int a[n]",
        "int a[1 + 1]",
        "int a[sizeof(int)]",
        "int (*a)[0x10]",
        "int (*a)[9999999999]",
        "int a[static 3]",
        "int a[const]",
        "int a[*]",
        "_Atomic(int) d",
        "_Atomic int d",
        "int *_Atomic d",
        "_Alignas(8) int d",
        "_Alignas(f()) int d",
        "_BitInt(8) d",
        "typeof(bpf_send_signal(9)) d",
        "auto d",
        "static int d",
        "register int d",
        "inline int d",
        "_Thread_local int d",
        "struct s { int x[f()]; } *d",
        "enum { A = 1 } d",
        "enum e : int d",
        "int d : 3",
        "int d __attribute__((cleanup(f)))",
        "int d [[gnu::cleanup(f)]]",
        "int d asm(1)",
        "macro (*d)(int)",
        "int (*f)(int, ...)",
        "int (*f)(int x = 1)",
        "int bpf_probe_read_kernel",
        "int (*bpf_send_signal)(int)",
        "int NULL",
        "int (*STRNCMP)(int)",
        "int return",
        "double d",
        "int d\r",
        "int d // x",
        "int " + "*" * 1900 + "d",
        "int " + "(*" * 64 + "d" + ")" * 64,
        "int " + "(" * 300 + "d" + ")" * 300,
        "int d" + "[1]" * 600,
        "int (*f)(" * 70 + "int" + ")" * 70,
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


def test_what_the_parser_quotes_is_cut() -> None:
    with pytest.raises(InvalidFault) as refused:
        predicate.expression(f"a {'or' * 900}", key="predicate")
    assert len(str(refused.value)) < 400
