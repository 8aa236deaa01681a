"""What a notice says, read as a stranger's text: bounded, and every part of it looked at."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from chaoskernel.agent import protocol
from chaoskernel.fault.checks import is_int
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.agent import shapes
else:
    shapes = Lazy("chaoskernel.agent.shapes")  # for those who read a notice

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
        if _depth(text) > protocol.MAX_DEPTH:
            raise NotAMessage("it is nested too deeply")
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAMessage("it is not JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("message"), dict):
        raise NotAMessage("it is not what an agent says")
    message: dict[str, Any] = said["message"]
    try:
        shapes.check(message, shapes.MESSAGES[protocol.ARMED], "its message")
    except ValueError as wrong:
        raise NotAMessage(str(wrong)) from None
    if not message.get("name") or not is_int(said.get("pid")) or not is_int(said.get("started")):
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
