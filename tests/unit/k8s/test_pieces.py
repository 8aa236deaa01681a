"""Pieces of a kernel's types: whole or an error, whatever a log has."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.errors import AgentError
from chaoskernel.fault.checks import packed, unpacked_types
from chaoskernel.k8s.pieces import Pieces

TYPES = b"\x9f\xeb\x01\x00 and so on"
TEXT = packed(TYPES)


def piece(number: int, of: int, text: str) -> dict[str, Any]:
    return {"type": "types", "number": number, "of": of, "text": text}


HALVES = [piece(0, 2, TEXT[:9]), piece(1, 2, TEXT[9:])]


def heard(*messages: dict[str, Any]) -> Pieces:
    found = Pieces()
    for message in messages:
        found.take(message)
    return found


def test_they_come_in_any_order() -> None:
    assert heard(*HALVES).whole() == heard(*reversed(HALVES)).whole() == TYPES


@pytest.mark.parametrize(
    "others",
    [
        [],
        [HALVES[1]],
        [piece(2, 2, TEXT)],
        [piece(0, 9, TEXT), *HALVES],
        [piece(0, 1 << 40, "x")],
        [piece(0, 1, "x" * 20_000)],
    ],
)
def test_what_is_not_whole_is_an_error(others: list[dict[str, Any]]) -> None:
    with pytest.raises(AgentError, match="pieces of its kernel's types"):
        heard(*others).whole()


@pytest.mark.parametrize("text", ["", "!", packed(b"\x7fELF"), packed(b"")])
def test_something_else_is_an_error(text: str) -> None:
    with pytest.raises(AgentError, match="something else"):
        heard(piece(0, 1, text)).whole()


def test_what_unpacks_to_more_than_types_can_be_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chaoskernel.fault.checks.MAX_TYPES", 1000)
    with pytest.raises(ValueError, match="whole"):
        unpacked_types(packed(b"\x9f\xeb" + bytes(2000)))
