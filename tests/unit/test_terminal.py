"""Text of others is harmless on a terminal and in a log, and can be read all the same."""

from __future__ import annotations

import json
import logging
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.log import logger
from chaoskernel.terminal import document, shown

TERMINALS = {*range(0x20), 0x7F, *range(0x80, 0xA0)}
BIDI = [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("nginx: worker → [ok] é 漢字 👍", "nginx: worker → [ok] é 漢字 👍"),
        ("", ""),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x1b]52;c;cm0K\x07", r"\x1b]52;c;cm0K\x07"),
        ("a\rb\nc\td\x08\x0b\x0c\x00\x7f", r"a\x0db\x0ac\x09d\x08\x0b\x0c\x00\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\u202egpj.\u2066\u200b\ufeff\u2028", r"\u202egpj.\u2066\u200b\ufeff\u2028"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        (5, "5"),
        (None, "None"),
    ],
)
def test_what_has_no_glyph_is_shown_by_its_code(text: object, safe: str) -> None:
    assert shown(text) == safe
    assert shown(safe) == safe


@pytest.mark.slow
def test_every_control_and_format_character_is_escaped() -> None:
    escaped = {number for number in range(0x110000) if shown(chr(number)) != chr(number)}
    assert {*TERMINALS, *BIDI, 0xAD, 0x2028, 0x2029, *range(0xD800, 0xE000)} <= escaped
    formats = {n for n in range(0x110000) if unicodedata.category(chr(n)) in {"Cc", "Cf", "Cs"}}
    assert formats <= escaped
    assert not {*range(0x20, 0x7F)} & escaped


def test_a_program_keeps_its_lines() -> None:
    assert shown("int x;\n\treturn \x1b;\n", lines=True) == "int x;\n\treturn \\x1b;\n"


@given(st.text())
def test_whatever_is_shown_can_be_printed(text: str) -> None:
    assert shown(text).isprintable()
    shown(text).encode()


def test_a_number_of_thousands_of_digits_is_shown_as_what_it_is() -> None:
    assert shown(10**5000) == "an int"


def test_a_deep_list_is_shown_as_what_it_is() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "a list"
    with pytest.raises(ValueError, match="nested too deeply"):
        document(deep)
    while deep:  # Python takes it apart by recursion, too
        deep = deep.pop()  # type: ignore[assignment]


def test_a_document_is_ascii_without_control_characters() -> None:
    value = {"a": ["\x1b\x7f\x9b\u202e\ud800é", math.inf, -math.inf, math.nan, 1.5, 10**400]}
    text = document(value)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == {"a": ["\x1b\x7f\x9b\u202e\ud800é", None, None, None, 1.5, 10**400]}


def test_errors_quote_others_harmlessly() -> None:
    error = ChaosKernelError("process \x1b[2J ended", hint="look at \u202egpj")
    assert str(error) == r"process \x1b[2J ended; look at \u202egpj"
    assert str(InvalidFault("pids", "\x1b", "allowed: \x9b ran it")).isprintable()


def test_the_toolkits_log_has_no_text_that_does_something(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger=logger.name):
        logger.info("Fault '%s': %s", "x", "compiling\x1b[2J\nERROR all is lost")
    assert caplog.messages == [r"Fault 'x': compiling\x1b[2J\x0aERROR all is lost"]
