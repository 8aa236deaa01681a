"""Texts of somebody who wants code of theirs in the program: a grammar that knows no parser.

Most of a text is C that a compiler takes, so that what is hostile in it is what decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

PARAMETERS = "struct dentry *parent, const struct qstr *name, unsigned int order, u64 *p, int value"
"""What expressions are about."""

_HELPERS = ("bpf_send_signal", "bpf_override_return", "bpf_map_update_elem", "bpf_probe_write_user")
_NAMES = (
    *("parent", "name", "order", "p", "value", "parent", "name", "order", "p", "value"),
    *("true", "NULL", "state", "switches", "counts", "here", "__arguments", "arguments", "ctx"),
    *("matched", "current", "LICENSE", "SYSTEM_RUNNING", "found", "wanted", "_THIS_IP_", *_HELPERS),
)
_VALUES = (
    *("order", "value", "parent->d_flags", "name->len", "*p", "p[1]", "parent->d_parent->d_flags"),
    *("name->name[0]", "parent->d_name.len", "(unsigned long) parent", "(u64) p", "p != 0"),
    *("state.deadline", "*(&state.deadline)", "(&state)->tickets", "&value", "*(u64 *) parent"),
    *("0", "1", "0x400", "7UL", "'a'", "'\\012'", '"text"[1]', "sizeof(struct dentry)"),
)
# BPF has no signed division, of which clang 14 dies.
_BINARY = (*"+-*&|^<>", "<<", ">>", "==", "!=", "<=", ">=", "&&", "||")
_UNARY = ("-", "+", "!", "~", "*", "&", "(u32) ", "(struct dentry *) ", "(const u8 *) ", "sizeof ")
_CALLED = (
    *("STRNCMP", "STRCMP", "MAJOR", "MINOR", "MKDEV", "READ", "IS_ARRAY", "WRITE_ONCE", "BUG_ON"),
    *("BPF_CORE_READ", "BPF_CORE_READ_INTO", "BPF_PROBE_READ_INTO", "SEC", "PT_REGS_PARM1"),
    *(
        "barrier_var",
        "panic",
        "READ_ONCE",
        "__builtin_memset",
        "in_scope",
        "ticket_left",
        *_HELPERS,
    ),
)
_CONTROL = tuple(map(chr, (*range(0x20), 0x7F, 0x85, 0xA0, 0x2028, 0x2029, 0xFEFF, 0xD800, 0xFF)))
_IN_LITERALS = (
    *_CONTROL,
    *("\\", '\\"', "\\'", "\\n", "\\x", "\\012", "\\400", "??/", "??", "?", "%:", "*/", "//", "é"),
    *(
        "\r, 1) 1 + bpf_send_signal(9);\r//",
        "/* headers */",
        "; state.deadline = 0;",
        "a",
        "bananas",
    ),
)
_PREFIXES = ("", "", "", "", "", "", "u8", "L", "u", "U", "R", "LR", "x")

_STATEMENTS = (
    "bpf_send_signal(9)",
    "(bpf_send_signal)(9)",
    "(*bpf_send_signal)(9)",
    "((long (*)(u32)) 109)(9)",
    "(&bpf_send_signal)[0](9)",
    "state.deadline = 0 - 1UL",
    "state.tickets += 1",
    "*p = 1",
    "p[0] = 1",
    "order++",
    "--*p",
    "order, value",
    "({ bpf_send_signal(9); 1; })",
    "({ state.deadline = 0; })",
    "(int[]){ bpf_send_signal(9) }[0]",
    "(struct qstr){ .len = bpf_send_signal(9) }.len",
    "_Generic(bpf_send_signal(9), long: 1)",
    "_Generic(order, unsigned: bpf_send_signal)(9)",
    "sizeof(int[bpf_send_signal(9)])",
    "(int (*)[bpf_send_signal(9)]) p",
    "*(int (*)[state.deadline = 0]) p",
    "sizeof(struct { int x[bpf_send_signal(9)]; })",
    "(enum { A = 1 }) order",
    "(typeof(bpf_send_signal(9))) 1",
    "(_Atomic(int)) order",
    "(_BitInt(8)) order",
    "_Alignof(int[bpf_send_signal(9)])",
    'asm("call 109")',
    '__asm__ volatile ("r0 = 0")',
    '_Pragma("GCC error") 1',
    "__builtin_trap()",
    "__sync_fetch_and_add(&state.tickets, 1)",
    "&&out",
    "order ?: bpf_send_signal(9)",
    "name->hash_len(9)",
    "p[0](9)",
    "BPF_CORE_READ_INTO(&state.deadline, parent, d_flags)",
    "WRITE_ONCE(state.deadline, 0)",
    'STRNCMP(name->name, "bananas", 60)',
    "STRNCMP(name->name, name->name, 8)",
    'STRNCMP((bpf_send_signal(9), name->name), "a", 1)',
    "offsetof(struct dentry, d_name)",
    '1); } char escaped[] = "x"; int other(void) { return (1',
    "1; state.deadline = 0; 1",
    '1; } SEC("fentry/x") int other(void) { return 1',
)
_GLUE = (
    *("<:", ":>", "<%", "%>", "%:", "??(", "??)", "??<", "??/\n", "??=", "\\\n", "//", "/*", "*/"),
    *(
        "#",
        "##",
        "@",
        "`",
        "$",
        ";",
        "{",
        "}",
        ",",
        "=",
        "(",
        ")",
        "[",
        "]",
        "?",
        ":",
        '"',
        "'",
        " ",
    ),
    *(".", "->", "...", "__attribute__((cleanup(f)))", "[[gnu::cleanup(f)]]", "asm", "return 1"),
    *("\n#define order bpf_send_signal(9)\n", "\n#include </etc/passwd>\n", "goto out", *_CONTROL),
)

_TYPES = (
    *("int", "unsigned int", "u64", "const char *", "struct dentry *", "const struct qstr *"),
    *("struct pt_regs *", "const struct pt_regs", "void *", "gfp_t", "size_t", "long long", "bool"),
    *("unheard_t *", "enum pid_type", "union bpf_attr *", "volatile u32", "const char *const *"),
)
_HOSTILE_TYPES = (
    *("_Atomic(int)", "_Atomic int", "_Alignas(8) int", "typeof(bpf_send_signal(9))", "_BitInt(8)"),
    *("static int", "register int", "inline int", "extern int", "typedef int", "_Thread_local int"),
    *(
        "struct s { int x[bpf_send_signal(9)]; }",
        "enum { A = 1 }",
        "enum e : int",
        "auto",
        "double",
    ),
    *("__typeof__(({ bpf_send_signal(9); }))", "READ", "SEC", "BPF_PROG", "unheard_t", "float"),
    *("int __attribute__((cleanup(f)))", "[[gnu::unused]] int", "struct", "", "struct struct"),
)
_PARAMETER_NAMES = (
    *("a", "b", "c", "regs", "name", "value", "state", "order", "arguments", "matched", "ctx"),
    *("__arguments", "__value", "NULL", "READ", "STRNCMP", "u32", "int", "return", "bool", ""),
    *("bpf_probe_read_kernel", "in_scope", "bpf_send_signal", "true", "MKDEV", "a", "b", "c"),
)
_GOOD_NAMES = tuple("abcdefgh")
_GOOD_BOUNDS = ("", "3", "16")
_BOUNDS = (
    *("", "3", "16", "0", "0x10", "3U", "1 + 1", "n", "static 3", "const", "*", "-1", "1, 2"),
    *("bpf_send_signal(9)", "(state.deadline = 0 - 1UL) ? bpf_send_signal(9) : 1", "sizeof(int)"),
    *("({ bpf_send_signal(9); })", "state.tickets++", "(int){ 1 }", "_Generic(1, int: 1)", "'a'"),
    *('"x"[0]', "3]; state.deadline = 0; int (*x)[1", "9999999999", "3\r", "3 // ", "1 ??( 2 ??)"),
)
_HEADERS = (
    *(
        "linux/fs.h",
        "linux/blkdev.h",
        "net/sock.h",
        "asm/unistd.h",
        "a.h",
        "../../etc/a.h",
        "/etc/a.h",
    ),
    *(
        "linux/../a.h",
        "linux//fs.h",
        ".hidden.h",
        "linux/.h",
        "linux/fs.h>",
        'linux/fs.h"',
        "a b.h",
    ),
    *(
        "a.h>\n#define order bpf_send_signal(9)\n#include <b.h",
        "a.h\r",
        "a.h\0",
        "a.h // ",
        "a.h\\",
    ),
    *(
        "a.h> /* ",
        "a??/\n.h",
        "é.h",
        "a\u2028.h",
        "x" * 130 + ".h",
        "a.c",
        "%:a.h",
        "$(HOME).h",
        "",
    ),
)


class Hostile:
    """Makes texts by a seed.

    :param seed: the same one makes the same texts.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def expression(self) -> str:
        """Return what may pass for a predicate on PARAMETERS."""
        return self._damaged(self._expression(self._random.choice((0, 1, 1, 2, 2, 3, 4))))

    def parameters(self) -> str:
        """Return what may pass for a list of parameters."""
        listed = ", ".join(self._parameter() for _ in range(self._random.choice((1, 1, 1, 2, 3))))
        return self._damaged(listed)

    def header(self) -> str:
        """Return what may pass for the name of a header."""
        return self._damaged(self._random.choice(_HEADERS))

    def _one(self, texts: Sequence[str]) -> str:
        return self._random.choice(texts)

    def _happens(self, percent: float) -> bool:
        return self._random.random() * 100 < percent

    def _expression(self, depth: int) -> str:
        if self._happens(4):
            return self._one(_STATEMENTS)
        if depth <= 0:
            return self._leaf()
        inner: Sequence[Callable[[int], str]] = (
            lambda n: f"{self._expression(n)} {self._one(_BINARY)} {self._expression(n)}",
            lambda n: f"({self._expression(n)}) {self._one(_BINARY)} ({self._expression(n)})",
            lambda n: f"{self._one(_UNARY)}{self._expression(n)}",
            lambda n: f"({self._expression(n)})",
            lambda n: f"(u64) ({self._expression(n)}) / (u64) ({self._expression(n)})",
            lambda n: f"{self._expression(n)} ? {self._expression(n)} : {self._expression(n)}",
            lambda n: f"p[{self._expression(n)}]",
            lambda n: f"*(p + {self._expression(n)})",
            lambda _: self._comparison(),
            self._call,
        )
        return self._random.choice(inner)(depth - 1)

    def _leaf(self) -> str:
        return self._one(_NAMES) if self._happens(20) else self._one(_VALUES)

    def _call(self, depth: int) -> str:
        arguments = (self._expression(depth) for _ in range(self._random.choice((1, 1, 2, 2, 3))))
        name = self._one(("MAJOR", "MINOR", "MKDEV")) if self._happens(60) else self._one(_CALLED)
        return f"{name}({', '.join(arguments)})"

    def _comparison(self) -> str:
        place = self._one(("name->name", "parent->d_name.name", "(char *) p", self._leaf()))
        sizes = ("1", "2", "3", "8", "64", "65", "0", "n", "1 + 1")
        if self._happens(50):
            return f"STRCMP({place}, {self._literal()})"
        return f"STRNCMP({place}, {self._literal()}, {self._one(sizes)})"

    def _literal(self) -> str:
        quote = self._one('"""\'')
        content = "".join(self._one(_IN_LITERALS) for _ in range(self._random.randint(0, 4)))
        literal = f"{self._one(_PREFIXES)}{quote}{content}{quote}"
        return f"{literal} {self._literal()}" if self._happens(8) else literal

    def _parameter(self) -> str:
        kind = self._one(_HOSTILE_TYPES) if self._happens(12) else self._one(_TYPES)
        name = self._one(_PARAMETER_NAMES if self._happens(50) else _GOOD_NAMES)
        bound = self._one(_BOUNDS if self._happens(50) else _GOOD_BOUNDS)
        other = self._one(_BOUNDS if self._happens(30) else _GOOD_BOUNDS)
        forms = (
            *(f"{kind} {name}", f"{kind} {name}", f"{kind} *{name}", f"{kind} {name}[{bound}]"),
            *(f"{kind} (*{name})[{bound}]", f"{kind} {name}[{bound}][{other}]"),
            *(f"{kind} (*{name})(int, void *)", f"{kind} (*{name})(int x[{bound}])"),
            *(f"{kind} (*(*{name})[{bound}])(void)", f"{kind} (*{name}[{bound}])(u64)"),
            *(f"{kind} {name}({kind} x)", f"{kind} {name} = {self._one(_STATEMENTS)}"),
            *(f"{kind} {name} : 3", f"{kind} {name} {self._one(_GLUE)}"),
        )
        return self._one(forms)

    def _damaged(self, text: str) -> str:
        """Return a text, in a third of all cases with something put in or cut out."""
        while self._happens(33):
            at = self._random.randint(0, len(text))
            cut = self._random.choice((0, 0, 1, 2, 5))
            put = self._one(_GLUE) if self._happens(80) else self._one(_STATEMENTS)
            text = text[:at] + put + text[at + cut :]
        return text
