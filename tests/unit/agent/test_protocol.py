"""What the agent and its starter say to each other."""

from __future__ import annotations

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
