"""What a notice says, read as a stranger's text: bounded, and every part of it looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_MAX_DEPTH = 16
_MAX_PROGRAMS = 1024
# Possessive, and content without a closing quote: linear in whatever a stranger writes.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)


class NotAMessage(Exception):
    """A text is not what a notice says; this one's text is why."""


def read_message(content: bytes) -> tuple[int, int, dict[str, Any]]:
    """Return what a notice says: the pid of its agent, when that started, and its message.

    :raises NotAMessage: it is something else.
    """
    try:
        text = content.decode()
        if _depth(text) > _MAX_DEPTH:
            raise NotAMessage("it is nested too deeply")
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAMessage("it is not JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("message"), dict):
        raise NotAMessage("it is not what an agent says")
    message: dict[str, Any] = said["message"]
    for key, is_right in _PARTS.items():
        if key in message and not is_right(message[key]):
            raise NotAMessage(f"its {key} is not what an agent says")
    if not message.get("name") or not _is_int(said.get("pid")) or not _is_int(said.get("started")):
        raise NotAMessage("it does not say whose it is")
    return said["pid"], said["started"], message


def _depth(text: str) -> int:
    """Return how deeply a text of JSON is nested."""
    deepest = depth = 0
    for token in _BRACKETS.finditer(text):
        if token[1]:
            depth += 1
            deepest = max(deepest, depth)
        elif token[2]:
            depth -= 1
    return deepest


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_program(value: object) -> bool:
    return _is_int(value) and isinstance(value, int) and 0 < value < 2**32


def _are_programs(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _MAX_PROGRAMS and all(map(_is_program, value))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_frames(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_frame, value))


def _is_frame(value: object) -> bool:
    return isinstance(value, dict) and "symbol" in value and all(map(_is_text, value.values()))


def _are_targets(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_target, value))


def _is_target(value: object) -> bool:
    return isinstance(value, dict) and all(
        _are_texts(part) or (isinstance(part, str | int) and key != "containers")
        for key, part in value.items()
    )


_PARTS: dict[str, Callable[[object], bool]] = {
    "type": _is_text,
    "name": _is_text,
    "hook": _is_text,
    "fault": _is_text,
    "stand_in_for": _is_text,
    "mechanism": _is_text,
    "engine": _is_text,
    "armed_at": _is_text,
    "expires_at": _is_text,
    "callchain": _are_frames,
    "targets": _are_targets,
    "warnings": _are_texts,
    "programs": _are_programs,
}
"""What an agent may say of each; others are shown as they are, as JSON."""
