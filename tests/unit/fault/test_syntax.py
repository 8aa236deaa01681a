"""Text of the user's <-> parts of a fault."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import syntax
from chaoskernel.fault.spec import Frame
from chaoskernel.fault.syntax import Chain


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("250ms", 0.25),
        (" 5m ", 300.0),
        ("1500000\u00b5s", 1.5),
        ("1500000\u03bcs", 1.5),
        (10, 10.0),
        (0.5, 0.5),
    ],
)
def test_a_go_duration_or_a_number_is_seconds(text: str | float, seconds: float) -> None:
    assert syntax.duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "banana",
        "10",
        "-5s",
        "5 m",
        "5M",
        "1mm",
        "1d",
        "1h banana 30m",
        "1..5s",
        "\N{FULLWIDTH DIGIT ONE}s",
        -1,
        float("nan"),
        float("inf"),
        10**400,
        True,
        None,
        ["5m"],
        "9" * 400 + "h",
    ],
)
def test_anything_else_is_refused_with_key_and_remedy(text: object) -> None:
    with pytest.raises(InvalidFault, match=r"^duration: .* is not a duration; write .* 30s, 5m"):
        syntax.duration(text)


def test_a_number_of_seconds_is_proposed_where_there_may_be_one() -> None:
    with pytest.raises(InvalidFault, match="or 1h30m$"):
        syntax.duration("10")
    with pytest.raises(InvalidFault, match="or 1h30m, or a number of seconds$"):
        syntax.duration(None)


def test_process_ids_that_are_text_become_numbers() -> None:
    assert syntax.process_ids([12, "34"]) == (12, 34)


def test_what_is_no_process_id_is_left_for_the_scope_to_refuse() -> None:
    assert syntax.process_ids(["-1", None, True]) == (-1, None, True)


def test_process_ids_that_are_no_list_are_refused() -> None:
    with pytest.raises(InvalidFault, match=r"pids: 12 is not a list"):
        syntax.process_ids(12)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        *(("50", 50), ("0", 0), ("-1", -1), ("12.5", 12.5), ("0.001", 0.001), ("-0.5", -0.5)),
        *((50, 50), (12.5, 12.5), (None, None), (True, True), ([], [])),
    ],
)
def test_text_that_is_exactly_a_number_is_that_number(given: object, found: object) -> None:
    assert syntax.number("times", given) == found
    assert type(syntax.number("times", given)) is type(found)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " 50",
            "50 ",
            "+5",
            "05",
            "1e3",
            "0x10",
            "1_000",
            "5%",
            "nan",
            "inf",
            "true",
            ".5",
            "5.",
        ),
        *("\N{FULLWIDTH DIGIT ONE}", "9" * 400, "1.2.3", "${p}", "50\n"),
    ],
)
def test_other_text_is_said_to_be_text_with_the_remedy(text: str) -> None:
    with pytest.raises(InvalidFault) as refused:
        syntax.number("times", text)
    assert refused.value.key == "times"
    assert 'it is text; where it comes from the environment, give its variable "env_var_type":' in (
        str(refused.value)
    )


@pytest.mark.parametrize(
    ("given", "seconds"), [("30", 30.0), ("1.5", 1.5), ("30s", 30.0), (30, 30.0), ("0", 0.0)]
)
def test_seconds_of_an_activity_may_be_text(given: object, seconds: float) -> None:
    assert syntax.seconds(given) == seconds


@pytest.mark.parametrize("given", ["-5", "", "5 m", None, "1e3", True])
def test_what_is_no_duration_of_an_activity_is_refused(given: object) -> None:
    with pytest.raises(InvalidFault, match=r"^duration: .* is not a duration; write "):
        syntax.seconds(given)


def test_frames_are_counted_before_they_are_read() -> None:
    begun = time.process_time()
    for number in (17, 5_000):
        with pytest.raises(InvalidFault, match="^spec: 17 frames; at most 16 are allowed; "):
            syntax.spec(" => ".join(["f(int a)(a > 3)"] * number)[: 2**16 - 1])
        frame = {"funcname": "f", "parameters": "int a", "predicate": "a > 3"}
        with pytest.raises(InvalidFault, match=f"^callchain: {number} frames; at most 16 "):
            syntax.frames([frame] * number)
    with pytest.raises(InvalidFault, match="^headers: 5000 headers; at most 32 are allowed; "):
        syntax.headers(["a.h"] * 5_000)
    assert time.process_time() - begun < 1


def test_a_line_that_ends_in_a_literal_is_a_character_of_it() -> None:
    (frame,) = syntax.spec("f(char *a)\n(STRCMP(a,\n'x\ny'))").frames
    assert frame.predicate == r'STRNCMP(a, "x\012y", 4)'


@pytest.mark.parametrize("chain", ["1" + "+1" * 899, "a" + "->b" * 600, "(int)" * 390 + "1"])
def test_a_spec_whose_tree_is_too_deep_is_refused_at_its_column(chain: str) -> None:
    with pytest.raises(InvalidFault, match="^spec, column 2: .* nests deeper"):
        syntax.spec(f"({chain})")


QSTR = "struct dentry *parent, const struct qstr *name"


@pytest.mark.parametrize(
    ("text", "chain"),
    [
        ("(true)", Chain()),
        ("((true))", Chain()),
        ("SyS_mount()", Chain((Frame("SyS_mount"),))),
        ("(true) => SyS_mount()(true)", Chain((Frame("SyS_mount"),))),
        (
            "mount_subtree() => btrfs_mount()",
            Chain((Frame("btrfs_mount"), Frame("mount_subtree"))),
        ),
        ("(order==1)", Chain((), "order == 1")),
        ("( order == 1 )=>f ( )=>g()", Chain((Frame("g"), Frame("f")), "order == 1")),
        ("  f()\n=>\tg()  ", Chain((Frame("g"), Frame("f")))),
        ("f.isra.0()", Chain((Frame("f.isra.0"),))),
        ("f(void)", Chain((Frame("f"),))),
        ("f(int a)(a>3)", Chain((Frame("f", "int a", "a > 3"),))),
        (
            f"d_alloc_parallel({QSTR})(STRCMP(name->name, 'bananas'))",
            Chain((Frame("d_alloc_parallel", QSTR, 'STRNCMP(name->name, "bananas", 8)'),)),
        ),
        (
            'f(char *a)(STRNCMP(a, ")=>(", 4)) => g()',
            Chain((Frame("g"), Frame("f", "char *a", 'STRNCMP(a, ")=>(", 4)'))),
        ),
    ],
)
def test_a_spec_of_inject_py_is_a_call_chain_and_back(text: str, chain: Chain) -> None:
    assert syntax.spec(text) == chain
    assert syntax.spec(syntax.spec_text(chain)) == chain


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "spec, column 1: '' is not the name of a function; such as .*"),
        ("mount", "spec, column 6: '' is not the parentheses of mount; .*"),
        ("f() g()", r"spec, column 5: 'g\(\)' is not => and the caller's name; .*"),
        ("f() =>", "spec, column 7: '' is not the name of a function; .*"),
        ("f() => => g()", r"spec, column 8: '=> g\(\)' is not the name of a function; .*"),
        ("f() => (true)", r"spec, column 8: '\(true\)' is not the name of a function; .*"),
        ("f(", r"spec, column 2: '\(' is not a parenthesis that is closed; .*"),
        ("f())", r"spec, column 4: '\)' is not => and .*"),
        ("f('()", r"spec, column 2: .* is not a parenthesis that is closed; .*"),
        ("f()()()", "spec, column 5: '' is not .*"),
        ("() => f()", "spec, column 2: '' is not .*"),
        ("(x = 1)", "spec, column 2: 'x = 1' is not an expression without an assignment; .*"),
        ("f() => g(int)", "spec, column 10: 'int' is not a list of parameters .*"),
        ("f() => g()(panic())", r"spec, column 12: 'panic\(\)' is not an expression that .*"),
        ("f" * 200 + "()", "spec, column 1: .* is not the name of a kernel function; .*"),
        ("(" * 70_000, "spec: .* is not text of up to 65536 characters"),
    ],
)
def test_a_wrong_spec_is_refused_at_its_column(text: str, line: str) -> None:
    with pytest.raises(InvalidFault, match=f"^{line}$"):
        syntax.spec(text)


PREDICATES = st.sampled_from(
    ["", "a > 3", "a == 1 || *b != 0", '!STRNCMP(c, "x) => y(", 5)', "(unsigned int) a & 0x80"]
).map(syntax.expression)
NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_.]{0,40}\Z")
FRAMES = st.builds(Frame, NAMES, st.just("int a, int *b, char *c"), PREDICATES) | st.builds(
    Frame, NAMES
)
CHAINS = st.builds(Chain, st.lists(FRAMES, max_size=16).map(tuple), PREDICATES)


@given(CHAINS)
def test_what_is_printed_is_parsed_to_the_same_chain(chain: Chain) -> None:
    assert syntax.spec(syntax.spec_text(chain)) == chain


@given(st.text() | st.text("fg()=> '\"true,*\n"))
def test_no_text_does_more_to_the_parser_than_be_refused(text: str) -> None:
    try:
        chain = syntax.spec(text)
    except InvalidFault as error:
        assert "\n" not in str(error)
    else:
        assert syntax.spec(syntax.spec_text(chain)) == chain
