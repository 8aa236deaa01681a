"""No text of a user puts a statement, a call of a helper or a store into the program.

`make test-injection` tries a hundred thousand texts; here are some of them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.property.code import Accepted, wrong_code, wrong_tokens
from tests.property.hostile import PARAMETERS
from tests.property.injection import run

pytestmark = pytest.mark.skipif(
    not Path("/sys/kernel/btf/vmlinux").exists() or not shutil.which("clang"),
    reason="this kernel does not have its types, or there is no compiler",
)


@pytest.mark.slow
def test_no_text_that_is_accepted_puts_anything_into_the_program() -> None:
    report = run(500, 20)
    assert report.wrong == []
    # Where nothing is accepted, nothing is shown.
    assert min(report.accepted.values()) > 10
    assert report.compiled > 100


ESCAPES = [
    ("bpf_send_signal(9)", "a call (0) of 109"),
    ("(state.deadline = 0)", "a store"),
    ("order++ && p[order] == (p[1] = 2)", "a store"),
    ("__sync_fetch_and_add(&state.tickets, 1)", "a store"),
    ("((long (*)(u32)) 109)(9)", "a call (0) of 109"),
    ("((long (*)(u32)) p)(9)", "a call by pointer"),
    ("1) bpf_send_signal(9); if (1", "a call (0) of 109"),
    ("1) return 1; return 0; } int escaped(void) { u32 __matched = 1; if (1", "escaped"),
]
DIMENSION = "const struct pt_regs (*regs)[(state.deadline = 0 - 1UL) ? bpf_send_signal(9) : 1]"


@pytest.mark.slow
def test_what_is_put_into_the_program_is_found() -> None:
    # What only the agent has taken is not parsed once more, which would refuse it.
    hostile = [Accepted(predicate, PARAMETERS, False) for predicate, _ in ESCAPES]
    hostile.append(Accepted("regs != 0", DIMENSION, False))
    harmless = [Accepted("order == 1", PARAMETERS), Accepted("p->d", "struct nothing *p")]
    wrong, compiled = wrong_code([*hostile, *harmless])
    assert compiled == len(hostile) + 1
    for predicate, what in [*ESCAPES, (DIMENSION, "a call (0) of 109"), (DIMENSION, "a store")]:
        assert any(what in line and (predicate in line or what == "escaped") for line in wrong), (
            predicate,
            wrong,
        )
    assert not any("order == 1" in line for line in wrong)


@pytest.mark.parametrize(
    "text",
    [
        "a = 1",
        "a; b",
        "a, b) (c",
        "a\rb(c)",
        "f(x",
        '"a',
        '"x\r, 1) 1 + bpf_send_signal(9);\r//"',
        '"a??/"',
        'u8"a"',
        "a <% b %>",
        "a // b\\",
        "a++",
        "#define a",
        "return 1",
        "asm",
    ],
)
def test_tokens_of_what_is_no_expression_are_found(text: str) -> None:
    assert wrong_tokens(["order == 1", text, "b"])


def test_tokens_of_expressions_and_parameters_are_right() -> None:
    right = ["order == 1", 'STRNCMP(a->b, "x;\\012{}", 3)', "(u32) x[2]", "int (*f)(int), bool b"]
    assert wrong_tokens(right) == []
