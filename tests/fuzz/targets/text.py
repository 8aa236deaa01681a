"""C, specs, durations and cron expressions: text of whoever describes a fault."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable
from pathlib import Path

from chaoskernel.chaosmesh.cron import cron
from chaoskernel.compiler import objects
from chaoskernel.errors import InvalidFault
from chaoskernel.fault import c_text, lists, predicate, syntax
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from tests.fuzz import mutate
from tests.fuzz.target import Broken, Target, require

_EXPRESSIONS = (
    "order == 1",
    'STRNCMP(name->name, "bananas", 8)',
    "STRCMP(name->name, 'bananas')",
    "(gfp_mask & 0x100u) && order > 0 || !s",
    "bio->bi_iter.bi_sector == 128 && a[3]->b[1].c != 0x1fUL",
    "*(unsigned long *)(regs + 8) ? a : sizeof(struct bio)",
    "MAJOR(bio->bi_bdev->bd_dev) == 8 && (u8)~x << 2 >= 'a'",
    "((struct task_struct *)t)->comm[0] == 'x' && -1 < 2L",
)
_C_TOKENS = (
    *("(", ")", "[", "]", "{", "}", ";", ",", "?", ":", ".", "->", "*", "&", "!", "~", "-", "+"),
    *("=", "==", "<<=", "++", "--", "#", "//", "/*", "??/", "<%", "%:", "\\", '"', "'", "`", "$"),
    *('"x"', "'x'", 'u8"é"', 'L"abc"', '"a\rb"', "'ab'", "0x", "1e999", "9" * 30, "1UL", "0b1"),
    *("struct x", "union", "enum", "int", "unsigned", "void", "const", "_Atomic(int)", "_Bool"),
    *("sizeof", "_Generic", "_Alignof", "typeof", "__attribute__((x))", "asm", "return", "static"),
    *("STRNCMP(", "STRCMP(", "MACRO(", "bpf_send_signal(9)", "state.deadline = 0", "(int)"),
    *("(int){1}", "({1;})", "a->b", "1+", "a.", "[0]", "1?1:", "...", "(*f)(int)", "int ***"),
)
_DEEP_EXPRESSIONS = (
    "1" + "+1" * 900,
    "a" + "->b" * 600,
    "a" + ".b" * 900,
    "a" + "[0]" * 600,
    "1?1:" * 490 + "1",
    "(int)" * 390 + "1",
    "-" * 1000 + "1",
    "!" * 1990 + "1",
    "(" * 64 + "1" + ")" * 64,
    "(" * 999 + ")" * 999,
    "*" * 1990 + "a",
    "&a[" * 400 + "0" + "]" * 400,
    "sizeof(" * 250 + "1" + ")" * 250,
    "A(" * 600 + ")" * 600,
    "a||" * 600 + "1",
    "1 " * 900,
    '-TRACE_EVENT_FLAGS("x\r, 1) 1 + bpf_send_signal(9);\r//", 1)',
    'STRNCMP(n, u8"abc", 6)',
    'STRNCMP(n, L"abc", 5)',
    'STRCMP(n, "é")',
    'STRNCMP(n, "\0", 1)',
    "_Generic(1, int: 1)",
    "1e999",
    "9" * 1900,
    "0x" + "f" * 1900,
    "(_Atomic(int))a",
    "(int (*)[bpf_send_signal(9)])a",
)
_LISTS = (
    "/run/db.pid",
    "4711, 4712",
    "app=web,tier=db",
    '["a,b", {"funcname": "f"}]',
    '{"shop": ["web-1"]}',
)
_PARAMETERS = (
    "struct dentry *parent, const struct qstr *name",
    "int dfd, const char *filename, int flags, umode_t mode",
    "unsigned long long a, void *b, u8 c[16], bool (*test)(int, void *), enum e x",
    "struct kmem_cache *s, gfp_t flags, size_t n, struct list_head **(*f)(union u *const p)",
    "void",
    "int a, ...",
)
_DEEP_PARAMETERS = (
    "int " + "*" * 1900 + "a",
    "int a" + "[1]" * 600,
    "int " + "(" * 64 + "a" + ")" * 64,
    "int " + "(*" * 64 + "a" + ")(int)" * 64,
    "int (*f)(" * 60 + "int a" + ")" * 60,
    "_Atomic(int) d",
    "_Atomic int d",
    "int _Atomic *d",
    "_Alignas(8) int a",
    "const struct pt_regs (*regs)[(state.deadline = 0 - 1UL) ? bpf_send_signal(9) : 1]",
    "const struct pt_regs (*regs)[bpf_send_signal(9)]",
    "int a[sizeof(int)]",
    "int a[static 3]",
    "int a[*]",
    "struct { int a; } b",
    "struct x { int a; } b",
    "enum { A } b",
    "enum { A = 1 } b",
    "int a = 1",
    "register int a",
    "int a : 3",
    "typeof(1) a",
    "a, b, c",
    "int, int",
    "int f(int)",
    "int a; int b",
    ", ".join(f"int a{n}" for n in range(13)),
    "x " * 900 + "a",
)


def _try_predicate(given: str, _: Path) -> None:
    canonical = predicate.expression(given, key="predicate")
    c_text.check_expression("predicate", canonical)
    predicate.reading(canonical)
    _require_expression(canonical)
    require(_again(predicate.expression, canonical) == canonical, "it reads otherwise again")


def _try_parameters(given: str, _: Path) -> None:
    canonical = predicate.parameters(given, key="parameters")
    c_text.check_parameters("parameters", canonical)
    names = [name for name, _ in predicate.declarations(canonical)]
    require(all(name.isidentifier() for name in names), "a parameter without a name")
    _require_declarations(canonical)
    if canonical:
        require(_again(predicate.parameters, canonical) == canonical, "it reads otherwise again")


# These look at characters alone, so that they believe in nothing that the parser believes.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_ASSIGNMENT = re.compile(r"(?<![=!<>])=(?!=)|\+\+|--|<<=|>>=")


def _require_expression(canonical: str) -> None:
    """Check that C stays in its expression: no statement, no store, no call but macros."""
    require(all(" " <= character <= "~" for character in canonical), "C that is not plain text")
    require(not re.search(r"\b(?:u8|[uUL])[\"']", canonical), "a literal with a prefix")
    bare = _LITERAL.sub("0", canonical)
    names = set(_CALL.findall(bare)) - {"sizeof"}
    require(all(re.fullmatch("[A-Z_][A-Z0-9_]*", name) for name in names), "a call")
    require(not _ASSIGNMENT.search(bare) and not re.search(r"[;{}#]", bare), "more than a value")


def _require_declarations(canonical: str) -> None:
    """Check that parameters are types and names, and bounds that are numbers."""
    require(all(" " <= character <= "~" for character in canonical), "C that is not plain text")
    bounds = re.findall(r"\[([^\[\]]*)\]", canonical)
    require(all(re.fullmatch("[0-9A-Fa-fxXuUlL]*", each) for each in bounds), "a bound to compute")
    rest = re.sub(r"\[[^\[\]]*\]|\.\.\.", "", canonical)
    require(bool(re.fullmatch(r"[\w\s*(),]*", rest)), "more than types and names")


def _again(parse: Callable[..., str], canonical: str) -> str:
    try:
        return parse(canonical, key="again")
    except InvalidFault:
        raise Broken("its own text is refused") from None


def _try_agents_predicate(given: str, _: Path) -> None:
    """Read canonical text as an agent does, which has no parser."""
    c_text.check_expression("predicate", given)
    _require_expression(given)


def _try_agents_parameters(given: str, _: Path) -> None:
    c_text.check_parameters("parameters", given)
    _require_declarations(given)


_CANONICAL = tuple(predicate.expression(text, key="") for text in _EXPRESSIONS)
_DECLARED = tuple(predicate.parameters(text, key="") for text in _PARAMETERS[:-1])


_SPECS = (
    "mount_subtree() => btrfs_mount()",
    "(true)",
    "(order == 1) => d_alloc_parallel(struct dentry *parent, const struct qstr *name)"
    '(STRCMP(name->name, "bananas")) => f(int a)(a > 3)',
    "sys_mount()(true) => g.isra.0(void)",
)
_DEEP_SPECS = (
    " => ".join(["f()"] * 5000),
    " => ".join(["f(int a)(a == 1)"] * 3200),
    "f(" + "(" * 30_000,
    "(" + "1" + "+1" * 900 + ")",
    "f(" + "int " + "*" * 1900 + "a)",
    "f()" + " " * 65_000,
    "(" * 32_000 + ")" * 32_000,
    "f(_Atomic(int) d)(d == 1)",
    "f('" * 10_000,
    "(true) => " * 6000,
)


def _try_spec(given: str, _: Path) -> None:
    chain = syntax.spec(given)
    fault = Fault(
        name="fuzz",
        kind=Kind.SLAB,
        scope=Scope(system_wide=True),
        callchain=chain.frames,
        predicate=chain.predicate,
    )
    require(Fault.from_json(fault.to_json()) == fault, "the agent reads another fault")
    require("bool hook_matches(" in objects.source(fault), "no program")
    texts = [chain.predicate, *(frame.predicate for frame in chain.frames)]
    for text in texts:
        _require_expression(text)
    for frame in chain.frames:
        _require_declarations(frame.parameters)
    if max(map(len, texts)) <= c_text.MAX_CHARACTERS:
        require(syntax.spec(syntax.spec_text(chain)) == chain, "it reads otherwise again")


def _try_list(text: str, _: Path) -> None:
    """A list and a mapping are not empty, because an empty variable must not select everything."""
    try:
        found = lists.items("pids", text)
    except InvalidFault:
        found = lists.pairs("pids", text)
    require(bool(found) or text.lstrip()[0] in "[{", "empty text selects nothing")


def _try_header(given: str, _: Path) -> None:
    syntax.headers([given])


def _try_duration(given: str, _: Path) -> None:
    seconds = syntax.duration(given)
    require(0 <= seconds < float("inf"), "no number of seconds")


def _try_cron(given: str, _: Path) -> None:
    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    ticks = list(itertools.islice(cron(given).ticks(when), 3))
    require(ticks == sorted(ticks) and all(tick > when for tick in ticks), "ticks go back")


_HEADERS = ("linux/blkdev.h", "a.h", "asm-generic/x_y.h")
_DURATIONS = ("30s", "1h30m", "1.5h", "100ms", "2µs")
_CRONS = ("*/5 * * * *", "@every 10m", "CRON_TZ=Asia/Tokyo 0 9 * * MON", "0 30 4 1-7/2 JAN 0")

TARGETS = (
    Target(
        "predicates",
        30,
        mutate.texts(_EXPRESSIONS, _C_TOKENS),
        _try_predicate,
        _EXPRESSIONS,
        _DEEP_EXPRESSIONS,
    ),
    Target(
        "parameters",
        25,
        mutate.texts(_PARAMETERS, _C_TOKENS),
        _try_parameters,
        _PARAMETERS[:-1],
        (*_PARAMETERS, *_DEEP_PARAMETERS),
    ),
    Target(
        "agents-predicates",
        6,
        mutate.texts(_CANONICAL, _C_TOKENS),
        _try_agents_predicate,
        _CANONICAL,
        _DEEP_EXPRESSIONS,
    ),
    Target(
        "agents-parameters",
        4,
        mutate.texts(_DECLARED, _C_TOKENS),
        _try_agents_parameters,
        _DECLARED,
        _DEEP_PARAMETERS,
    ),
    Target(
        "specs",
        20,
        mutate.texts(_SPECS, (*_C_TOKENS, "=>", "f()", "true", " => f(int a)(a > 1)")),
        _try_spec,
        _SPECS,
        _DEEP_SPECS,
    ),
    Target(
        "headers",
        2,
        mutate.texts(_HEADERS, ("/", "..", ".", ".h", '"', ">", "*/")),
        _try_header,
        _HEADERS,
        ("../a.h", "a/../b.h", "/etc/passwd.h", "a.h\n", "a" * 5000 + ".h", "linux/" * 999 + "a.h"),
    ),
    Target(
        "lists",
        3,
        mutate.texts(_LISTS, (",", "=", "[", "]", "{", "}", '"', " ", "${x}", "\0", "null", "1e9")),
        _try_list,
        _LISTS,
        ("[" * 40 + "]" * 40, "{" * 40, "," * 70_000, "a=" * 999, "[" + "1," * 300_000 + "1]"),
    ),
    Target(
        "durations",
        6,
        mutate.texts(
            _DURATIONS,
            ("h", "m", "s", "ms", "us", "ns", ".", "-", "+", "9" * 400, "e5", "１", "٣", "mm"),
        ),
        _try_duration,
        _DURATIONS,
        ("1e999", "9" * 5000 + "h", "1." + "0" * 60_000 + "s", "1s" * 30_000, "9" * 300 + "h"),
    ),
    Target(
        "cron",
        8,
        mutate.texts(
            _CRONS,
            (
                *("*", "/", "-", ",", "?", "L", "W", "#", "0", "7", "59", "60", "99999999999"),
                *("@yearly", "@every ", "TZ=", "CRON_TZ=", "../etc", "UTC", "MON", "DEC", "31 2"),
                *("29 2", "*/0", "1-0", "1/9999999999", "-1", "24"),
            ),
        ),
        _try_cron,
        _CRONS,
        ("0 0 30 2 *", "0 0 29 2 1", "TZ=../../etc/passwd * * * * *", "@every 1e999s", "* " * 200),
    ),
)
