"""Errors are one line: what is wrong, then the remedy."""

from __future__ import annotations

from chaoskernel.errors import ChaosKernelError, InvalidFault, InvalidManifest, UnsupportedKernel


def test_the_remedy_follows_what_is_wrong() -> None:
    assert str(ChaosKernelError("it broke", hint="mend it")) == "it broke; mend it"


def test_an_error_without_a_remedy_is_what_is_wrong() -> None:
    assert str(ChaosKernelError("it broke")) == "it broke"


def test_line_breaks_do_not_reach_the_user() -> None:
    assert str(ChaosKernelError("it\n  broke", hint="mend\nit")) == "it broke; mend it"


def test_a_bad_value_is_named_with_its_key_and_what_is_allowed() -> None:
    error = InvalidFault("times", -1, "a whole number", hint="0 sets no limit")
    assert str(error) == "times: -1 is not a whole number; 0 sets no limit"
    assert (error.key, error.value, error.allowed) == ("times", -1, "a whole number")


def test_a_long_value_is_cut() -> None:
    shown = str(InvalidFault("name", "x" * 500, "a name"))
    assert shown == "name: '" + "x" * 56 + "... is not a name"


def test_an_unsupported_kernel_says_what_would_give_the_feature() -> None:
    error = UnsupportedKernel("no should_failslab", needs="CONFIG_FAILSLAB gives it")
    assert str(error) == "no should_failslab; CONFIG_FAILSLAB gives it"


def test_a_value_that_python_cannot_write_is_named_by_its_kind() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    error = InvalidFault("pids", deep, "a list")
    assert str(error) == "pids: a list that nests too deep is not a list"
    assert str(InvalidFault("times", 10**5_000, "less")) == "times: a int is not less"
    while deep:  # Python would free it by recursion
        (deep,) = deep  # type: ignore[assignment]


def test_what_an_error_quotes_is_cut() -> None:
    error = InvalidFault("k" * 9000, "v" * 9000, "a" * 9000, hint="h" * 9000)
    assert len(str(error)) < 1300
    assert str(error).startswith("k" * 100)
    assert str(error).endswith("h...")
    assert error.key == "k" * 9000
    assert len(str(ChaosKernelError("x" * 99_999))) == 1 << 14


def test_a_problem_of_a_document_is_cut_and_harmless() -> None:
    error = InvalidManifest("a.yaml", ["1:1: short", "2:1: \x1b[2J" + "x" * 9000])
    assert error.problems[0] == "1:1: short"
    assert error.problems[1].startswith(r"2:1: \x1b[2Jx")
    assert len(error.problems[1]) == 500
    assert str(error) == f"a.yaml is not valid: {'; '.join(error.problems)}"
