"""What the agent takes of a user's C: what the parser writes, and nothing that does more."""

from __future__ import annotations

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import c_text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order == 1",
        "(gfpflags & 0x400UL) != 0",
        "(a) ? (b) : (c)",
        "list[3].next->value",
        "((const struct dentry * const *) x)[1] == (-(-1))",
        "sizeof(struct qstr) == sizeof(p->name)",
        "((unsigned long long) (a + b)) > (!(~c))",
        r"""STRNCMP(name->name, "b;{}#'\303\251\012", 3)""",
        "MKDEV(7, MINOR(bio->bi_bdev->bd_dev)) == 'a'",
        r"order == '\042'",
        '"abc"[1]',
        "((enum pid_type) a) == PIDTYPE_PID",
        "(" * 64 + "1" + ")" * 64,
    ],
)
def test_an_expression_is_taken(text: str) -> None:
    c_text.check_expression("predicate", text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "bpf_send_signal(9)",
            "(bpf_send_signal)(9)",
            "(bpf_send_signal) (9)",
            "(*f)(9)",
            "a[0](9)",
        ),
        *("p->f(9)", "((int (*)(int)) 109)(9)", '"a"(9)', "1(9)", "READ(a)", "WRITE_ONCE(a, 1)"),
        *("MKDEV(", "MKDEV()", "MKDEV(1,)", "MKDEV(,1)", "MKDEV (1", "sizeof", "sizeof a"),
        *("BPF_CORE_READ_INTO(&state.deadline, a, b)", "sizeof(int[f()])", "sizeof(int) 1"),
        *("a = 1", "a += 1", "a <<= 1", "a++", "--a", "a, b", "(a, b)", "p[a, b]", "(1, f)(9)"),
        *(
            "1) || (1",
            "(1",
            "1)",
            "(]",
            "[1]",
            "a[1)",
            "a ? b",
            "a : b",
            "a ? (b : c)",
            "(a ? b) : c",
        ),
        *("a b", "1 1", "a ? : b", "a +", "+", "()", "a..b", "a.1", "a->", "a->int", "a.(b)"),
        *(
            "{ a }",
            "({ a; })",
            "a;",
            "a\\",
            "#a",
            "a // b",
            "a /* b */ + 1",
            "a `b`",
            "a @ b",
            "$(a)",
        ),
        *("a\rb", "a\nb", "a\tb", "a\vb", "a\fb", "a\0", "a\x7f", "é", "a\u2028b", "\ufeffa"),
        *("a ??( 1 ??)", "a<:1:>", "a <% b", "b %> a", "%: a"),
        *(
            '"a\r"',
            '"a\n"',
            '"a\0"',
            '"é"',
            r'"\n"',
            r'"\x41"',
            r'"\12"',
            r'"\400"',
            '"a??/"',
            r'"\"',
        ),
        *('u8"a"', 'L"a"', "L'a'", "'ab'", "''", "'''", r"'\'", '"a', "'a", '"a" L"b"', '"a"b"'),
        *("__asm__", "__builtin_trap()", "_Generic(a, int: 1)", "_Alignof(int)", "_Pragma(a)"),
        *("asm", "return", "return 1", "typeof(a) b", "int", "(int", "(int) ", "(a) b", "struct s"),
        *("1.5", ".5", "1e5", "0b1", "0x", "1z", "1_000", "12345678901234567890123"),
        *('STRNCMP(a, "b", 3)', 'STRNCMP(a, "b", 0)', 'STRNCMP(a, "b", n)', "STRNCMP(a, b, 1)"),
        *(
            'STRNCMP("b", a, 1)',
            'STRNCMP(a, "b")',
            'STRNCMP(a, a, "b", 1)',
            'STRNCMP(a, "b" + 1, 1)',
        ),
        *('STRCMP(a, "b")', 'STRNCMP(MKDEV(a, "b", 1), 1)', f'STRNCMP(a, "{"x" * 70}", 65)'),
        *("(" * 65 + "1" + ")" * 65, "a[" * 65 + "1" + "]" * 65, "a?" * 65 + "a" + ":a" * 65),
    ],
)
def test_what_does_more_or_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidFault, match="^predicate: ") as refused:
        c_text.check_expression("predicate", text)
    assert refused.value.hint
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "struct dentry *parent, const struct qstr *name",
        "unheard_t *x, const other_t y, bool b, unsigned u, long long int l",
        "int (*f)(int, void *p), struct s *(*g)(void), int (*h)()",
        "int (*a)[3], const char * const *restrict b, int c[]",
        "int (*(*f)(int))(struct s *)",
    ],
)
def test_parameters_are_taken(text: str) -> None:
    c_text.check_parameters("parameters", text)


@pytest.mark.parametrize(
    "text",
    [
        "const struct pt_regs (*regs)[(state.deadline = 0 - 1UL) ? bpf_send_signal(9) : 1]",
        *("int (*a)[f(9)]", "int a[n]", "int a[1 + 1]", "int a[0x10]", "int a[3U]", "int a['a']"),
        *("int a[static 3]", "int a[*]", "int a[", "int a]", "int a[1", "int a[1;]"),
        *("int a = 1", "int a; int b", "int a)", "(int a", "int a) { f(); } int g(int b", "int a,"),
        *("int", "int *", "a", "int a b", "int a, int a", "struct s", "struct *a", "int a, ,int b"),
        *("int f(int)", "int f()", "macro(*a)", "macro (*a)(int)", "int (a)", "int (*f)(macro(a))"),
        *("typeof(f()) a", "_Atomic(int) a", "_Atomic int a", "_Alignas(8) int a", "_BitInt(8) a"),
        *("static int a", "auto a", "register int a", "typedef int a", "asm a", "struct struct a"),
        *("struct s { int x; } a", "enum { A } a", "int a : 3", "int (*f)(int, ...)", "double a"),
        *(
            "int a __attribute__((x))",
            "int a [[x]]",
            "__typeof__(a) b",
            "int __arguments",
            "int a->b",
        ),
        *("int bpf_send_signal", "int (*bpf_probe_read_kernel)(void)", "int NULL", "int STRNCMP"),
        *(
            "int return",
            "int const",
            'int "a"',
            "int 1",
            "int a\r",
            "int a // b",
            "int a \\",
            "é a",
        ),
        *(", ".join(f"int a{n}" for n in range(13)), "int (*f)(" * 6 + "int" + ")" * 6),
        "int " + "(*" * 65 + "a" + ")" * 65,
    ],
)
def test_what_is_no_list_of_parameters_is_refused(text: str) -> None:
    with pytest.raises(InvalidFault, match="^parameters: ") as refused:
        c_text.check_parameters("parameters", text)
    assert refused.value.hint


@pytest.mark.parametrize("check", [c_text.check_expression, c_text.check_parameters])
@pytest.mark.parametrize("text", [None, 7, ["a"], b"a", "a" * 2001])
def test_what_is_no_text_or_too_long_is_refused(check: object, text: object) -> None:
    with pytest.raises(InvalidFault, match=r"^key: .* is not text"):
        check("key", text)  # type: ignore[operator]
