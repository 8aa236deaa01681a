"""Text of others on its way to a terminal or a log: command names, journals, notices, answers.

Such text is data.  An escape sequence in it could rewrite the screen, fill the clipboard or
reverse what a line says, so that each character without a glyph of its own is shown by its code.
Standard library only.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import sys
from typing import Any

_SPELLED = "chaoskernel-spelled"
_SPELLINGS = {
    "←": "<-",
    "→": "->",
    "…": "...",
    "│": "|",
    "─": "-",
    "•": "*",
}
_LAYOUT = "\n\t"


def shown(text: object, *, lines: bool = False) -> str:
    r"""Return text that is harmless on any terminal.

    Escaped, as in `\x1b` and `\u202e`, are control characters (C0, DEL, C1), format characters
    such as those that change the direction of text, separators other than the space, lone
    surrogates, and what Unicode leaves to private use or has not assigned.

    :param text: what is not text is shown as Python writes it.
    :param lines: keep line feeds and tabs, as in a program's source.
    """
    whole = _text(text)
    if whole.isprintable():
        return whole
    kept = _LAYOUT if lines else ""
    return "".join(each if each.isprintable() or each in kept else _code(each) for each in whole)


def document(value: Any, *, indent: int = 2) -> str:
    """Return a value as JSON to print: ASCII, indented, without a control character.

    Numbers that JSON lacks (infinity, NaN) become null.

    :param indent: blanks of each level.
    :raises ValueError: it is nested too deeply, or has a number of thousands of digits.
    """
    try:
        text = json.dumps(_finite(value), indent=indent, allow_nan=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return text.replace("\x7f", "\\u007f")


def write_what_can_be_written() -> None:
    """Have standard output and error write something else for characters that they cannot write.

    A terminal or a pipe may be ASCII (LC_ALL=C, PYTHONIOENCODING=ascii): an arrow is `<-` then.
    """
    codecs.register_error(_SPELLED, _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_SPELLED)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLINGS.get(each) or _code(each) for each in lacking), error.end


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return str(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; a deep list
        return "an int" if isinstance(value, int) else f"a {type(value).__name__}"


def _code(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
