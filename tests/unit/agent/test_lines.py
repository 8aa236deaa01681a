"""The lines that an agent is sent."""

from __future__ import annotations

import os

import pytest

from chaoskernel.agent import protocol
from chaoskernel.agent.lifeline import Requests
from chaoskernel.errors import AgentError


def test_lines_are_put_together_from_pieces(pipe: tuple[Requests, int]) -> None:
    requests, writer = pipe
    os.write(writer, b"one\ntw")
    assert requests.line(timeout=1) == "one"
    with pytest.raises(TimeoutError):
        requests.line(timeout=0.01)
    os.write(writer, b"o\nrest")
    assert requests.line(timeout=1) == "two"
    os.close(writer)
    assert requests.line(timeout=1) is None


def test_a_line_without_end_is_refused(
    pipe: tuple[Requests, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_LINE", 10_000)
    requests, writer = pipe
    os.write(writer, b"x" * 20_000)
    with pytest.raises(AgentError, match="a line of more than 10000 bytes came in"):
        requests.line(timeout=1)
    os.close(writer)
