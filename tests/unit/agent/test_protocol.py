"""What the agent and its starter say to each other."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.agent import protocol
from chaoskernel.errors import (
    AgentError,
    ChaosKernelError,
    DeadHook,
    EngineError,
    InvalidFault,
    MissingTool,
    NotPermitted,
    UnsupportedKernel,
)


def test_a_message_is_one_line_and_comes_back_as_it_was() -> None:
    message = {"type": "armed", "name": "zwei\nZeilen", "programs": [1, 2]}
    line = protocol.encode(message)
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert protocol.decode(line) == message


def test_a_number_that_json_does_not_have_is_not_sent() -> None:
    with pytest.raises(ValueError, match=r"JSON"):
        protocol.encode({"counters": float("nan")})


@pytest.mark.parametrize("line", ["", "warning: unused", "[1]", "7", "null", '{"a":'])
def test_a_line_that_is_no_object_is_not_a_message(line: str) -> None:
    with pytest.raises(AgentError, match=r"this is not a message of the agent's"):
        protocol.decode(line)


@pytest.mark.parametrize(
    "error",
    [
        UnsupportedKernel("no hook", needs="CONFIG_FAILSLAB"),
        DeadHook("never called", needs="CONFIG_FAILSLAB"),
        NotPermitted("not root", hint="use sudo"),
        MissingTool("no bcc", hint="install it"),
        EngineError("the verifier refused it", hint="shorten the chain"),
        AgentError("it went silent", hint="look at its log"),
    ],
)
def test_an_error_crosses_as_the_class_that_it_was(error: ChaosKernelError) -> None:
    again = protocol.error_of(protocol.decode(protocol.encode(protocol.error_message(error))))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_an_error_whose_class_takes_more_crosses_with_its_text() -> None:
    error = InvalidFault("pids", 12, "a process that runs", hint="ps -e shows them")
    again = protocol.error_of(protocol.error_message(error))
    assert str(again) == "pids: 12 is not a process that runs; ps -e shows them"


@pytest.mark.parametrize("name", ["Exception", "annotations", "Any", "", "no such"])
def test_a_class_that_is_not_ours_is_not_looked_up(name: str) -> None:
    again = protocol.error_of({"error": name, "message": "text", "hint": "remedy"})
    assert type(again) is AgentError
    assert str(again) == "text; remedy"


@pytest.mark.parametrize(
    ("said", "warnings"),
    [
        ({}, []),
        ({"warnings": ["a", "b"]}, ["a", "b"]),
        ({"warnings": [5, None]}, ["5", "None"]),
        ({"warnings": 5}, []),
        ({"warnings": "text"}, []),
        ({"warnings": {"a": 1}}, []),
    ],
)
def test_warnings_are_a_list_of_lines_whatever_another_version_says(
    said: dict[str, object], warnings: list[str]
) -> None:
    assert protocol.warnings_of(said) == warnings


# Each is a line that a thread of the start has died of, or one near it.
UNEXPECTED = {
    "a proxy's page": "<html>proxy says hello</html>",
    "a list": "[]",
    "deep lists": "[" * 100_000,
    "a deep object": '{"a":' * 100_000,
    "deep, but whole": '{"type":"counters","counters":{"x":' + "[" * 40 + "]" * 40 + "}}",
    "a number of 5,000 digits": '{"type":"counters","counters":{"injected":' + "1" * 5000 + "}}",
    "no type": '{"counters":{}}',
    "a type that is a list": '{"type":["armed"]}',
    "a type of another version": '{"type":"sites","sites":[]}',
    "events that are numbers": '{"type":"events","events":[5],"dropped":0}',
    "a stack of numbers": '{"type":"events","events":[{"stack":[1]}],"dropped":0}',
    "counters that are a list": '{"type":"counters","counters":[]}',
    "no counters": '{"type":"counters"}',
    "a count as text": '{"type":"counters","counters":{"injected":"3"}}',
    "a count below 0": '{"type":"counters","counters":{"injected":-1}}',
    "a count that is true": '{"type":"counters","counters":{"injected":true}}',
    "an infinite count": '{"type":"counters","counters":{"injected":1e999}}',
    "a count that is no number": '{"type":"counters","counters":{"injected":NaN}}',
    "a count of 65 bits": '{"type":"counters","counters":{"injected":18446744073709551616}}',
    "an infinite number far below": '{"type":"counters","counters":{"new":[{"at":1e999}]}}',
    "frames of text": '{"type":"counters","counters":{"frames":["mount"]}}',
    "a frame without its count": '{"type":"counters","counters":{"frames":[{"symbol":"f"}]}}',
    "a process without its pid": '{"type":"disarmed","counters":{"processes":[{"injected":1}]}}',
    "leftovers that are a number": '{"type":"disarmed","leftovers":5}',
    "dropped as text": '{"type":"disarmed","dropped":"5"}',
    "an end without a zone": '{"type":"disarmed","ended_at":"2026-01-01T00:00:00"}',
    "a start that is no time": '{"type":"armed","armed_at":"now"}',
    "targets that are text": '{"type":"armed","targets":"all"}',
    "callers that are a number": '{"type":"armed","left_out":18446744073709551616}',
    "callers that are numbers": '{"type":"armed","left_out":[5]}',
    "hooks that are text": '{"type":"armed","hooks":"should_failslab"}',
    "a proof that is a list": '{"type":"armed","proof":[]}',
    "containers that are a number": '{"type":"armed","targets":[{"pod":"a/b","containers":7}]}',
    "a step that is an object": '{"type":"progress","step":{}}',
    "an error that is null": '{"type":"error","message":null}',
}


@pytest.mark.parametrize("line", UNEXPECTED.values(), ids=UNEXPECTED.keys())
def test_a_line_that_is_not_expected_is_one_documented_error(line: str) -> None:
    with pytest.raises(AgentError) as refused:
        protocol.heard(line)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def test_the_error_names_the_field_and_what_it_has_to_be() -> None:
    line = '{"type":"counters","counters":{"frames":[{"symbol":"f","entered":1,"matched":"x"}]}}'
    with pytest.raises(
        AgentError,
        match=r"^counters\.counters\.frames\[0\]\.matched: 'x' is not a count; the agent",
    ):
        protocol.heard(line)


def test_a_line_is_bounded() -> None:
    text = "x" * (protocol.MAX_MESSAGE - 40)
    assert protocol.heard(f'{{"type":"progress","step":"{text}"}}')["step"] == text
    with pytest.raises(
        AgentError, match=f"^a line of more than {protocol.MAX_MESSAGE} characters: "
    ):
        protocol.heard(f'{{"type":"progress","step":"{text}{text}"}}')


def test_what_an_agent_says_passes_as_it_is() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "progress", "step": "compiling"},
        {
            "type": "armed",
            "name": "x",
            "callchain": [{"symbol": "mount", "mechanism": "kprobe"}],
            "targets": [{"system_wide": True}, {"pid": 4, "command": "a"}, {"pod": "a/b"}],
            "armed_at": "2026-01-01T00:00:00+00:00",
            "programs": [1],
        },
        {"type": "disarmed", "counters": {"injected": 2**64 - 1, "new": {"a": [1.5, None]}}},
        {"type": "error", "error": "InvalidFault", "key": "pids", "value": [1, {"a": None}]},
        {"type": "counters", "counters": {}, "a key of another version": 1},
    ]
    for message in messages:
        assert protocol.heard(protocol.encode(message)) == message


def test_half_of_a_surrogate_pair_does_not_reach_a_journal() -> None:
    """A path of bytes that are not UTF-8 is one in JSON, and in no file."""
    line = r'{"type":"armed","targets":[{"cgroup":"/a\udc80"}],"\ud800":1}'
    assert protocol.heard(line) == {"type": "armed", "targets": [{"cgroup": "/a?"}], "?": 1}


@pytest.mark.parametrize("half", ["\udc80", r"\udc80", r"\uDC80", r"\ud83d"])
def test_half_of_a_surrogate_pair_is_found_however_it_is_written(half: str) -> None:
    message = protocol.decode(f'{{"type":"armed","name":"a{half}"}}')
    assert message == {"type": "armed", "name": "a?"}


@pytest.mark.parametrize("text", ["\U0001f600", "Zoë", "\\ud800"])
def test_text_that_has_no_half_of_a_pair_comes_as_it_is(text: str) -> None:
    assert protocol.decode(protocol.encode({"type": "armed", "name": text}))["name"] == text


@pytest.mark.parametrize("more", ["", r"\ud83d\ude00"])
@pytest.mark.parametrize("wrap", ["[%s]", '{"a":%s}'])
def test_a_message_has_at_most_so_many_levels(wrap: str, more: str) -> None:
    def nested(levels: int) -> str:
        value = f'"{more}"'
        for _ in range(levels):
            value = wrap % value
        return f'{{"type":"error","value":{value}}}'

    assert protocol.decode(nested(protocol.MAX_DEPTH - 1))["type"] == "error"
    with pytest.raises(AgentError, match=r"a message of more than 16 levels"):
        protocol.decode(nested(protocol.MAX_DEPTH))


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_error_without_a_text_says_that_much(text: str) -> None:
    error = protocol.error_of({"error": "EngineError", "message": text, "hint": "h"})
    assert str(error) == "its agent failed, and did not say why; h"


def test_an_agent_s_error_is_cut() -> None:
    error = protocol.error_of({"error": "EngineError", "message": "m" * 5000, "hint": "h" * 5000})
    assert (len(error.message), len(error.hint)) == (1000, 500)
