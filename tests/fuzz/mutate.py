"""Strategies that mutate texts and documents of JSON."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

MAX_CHARACTERS = 1 << 17
"""Repetition stops here; longer inputs are among the seeds."""

HOSTILE = (
    *("\0", "\x07", "\x08", "\t", "\n", "\v", "\f", "\r", "\x1b", "\x1b[2J", "\x1b]0;x\x07"),
    *("\x7f", "\x85", "\x9b31m", "\u2028", "\u202e", "\ufeff", "é", "\ud800", "\U0001f600", "\\"),
)
"""What ends a line, moves a cursor, turns text round or cannot be encoded."""

DEEP = (
    "[" * 100_000,
    "[" * 50_000 + "]" * 50_000,
    '{"a":' * 20_000 + "1" + "}" * 20_000,
    '"' + "\\" * 99_999,
    "[],[]," * 20_000,
    "[" + "[],[]," * 170_000 + "[]]",
    "1e999",
    "-" * 50_000,
    "9" * 20_000,
    "null",
    "[]",
    '"text"',
    "",
    "\0",
    "\ufeff{}",
    '{"a":1,"a":2}',
)
"""JSON, and YAML, that is too much or nothing of what is asked for."""

_TIMES = (1, 2, 3, 20, 70, 700, 2000)
_PAIRS = ("()", "[]", "{}", '""', "''", "<>")

_RAW = re.compile(r'"\\u0000raw:([^"]*)"')


def _raw(text: str) -> str:
    """Return a value that a document's text has as it stands, without quotation marks."""
    return f"\0raw:{text}"


_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**32, 2**63, 2**64, 0.5, -0.0, 1e308),
    *(_raw("1e999"), _raw("-1e999"), _raw("NaN"), _raw("9" * 5000), _raw("1" + "0" * 400)),
    *("", " ", "0", "-1", "1e999", "x" * 5000, "9" * 20, "2026-01-01T00:00:00", "0001-01-01"),
    *("a\nb", "a\rb", "\x1b[2J", "\x1b]0;x\x07", "\x9b31m", "\u202e", "\ud800", "é", "\0"),
    *([], {}, [[]], [{}], [None], [5], ["x"], {"": None}, {"x": {}}, {"x": []}, [[1, 2]]),
    *(_raw("[" * 3000 + "]" * 3000), _raw("[" * 900 + "]" * 900)),
    _raw("{@x@:" * 900 + "0" + "}" * 900),
)


def texts(seeds: Sequence[str], tokens: Sequence[str], *, edits: int = 4) -> st.SearchStrategy[str]:
    """Return texts that are seeds after some edits.

    :param tokens: what the language is made of.
    """

    @st.composite
    def mutated(draw: st.DrawFn) -> str:
        text = draw(st.sampled_from(seeds))
        for _ in range(draw(st.integers(1, edits))):
            text = _edited(draw, text, seeds, tokens)
        return text

    return mutated()


def _edited(draw: st.DrawFn, text: str, seeds: Sequence[str], tokens: Sequence[str]) -> str:
    """Put something else in the place of a short part of a text."""
    start = draw(st.integers(0, len(text)))
    inside = text[start : start + draw(st.integers(0, 12))]
    after = text[start + len(inside) :]
    match draw(st.integers(0, 9)):
        case 0:
            new = ""
        case 1:
            new = inside * draw(st.sampled_from(_TIMES))
        case 2:
            new = draw(st.sampled_from(HOSTILE))
        case 3:
            new, after = draw(st.sampled_from(seeds))[start:], ""
        case 4:
            pair, times = draw(st.sampled_from(_PAIRS)), draw(st.sampled_from(_TIMES))
            new = pair[0] * times + inside + pair[1] * times
        case 5:
            new = chr(draw(st.integers(32, 126)))
        case 6:
            new = after = ""
        case 7:
            new = draw(st.sampled_from(tokens)) + inside
        case _:
            new = draw(st.sampled_from(tokens))
    return (text[:start] + new + after)[:MAX_CHARACTERS]


def documents(
    seeds: Sequence[Any],
    words: Sequence[str],
    *,
    write: Callable[[Any], str] = json.dumps,
    edits: int = 3,
) -> st.SearchStrategy[str]:
    """Return documents as text: seeds of which parts became something else.

    :param words: keys and values that mean something there.
    :param write: writes a document; what it writes is edited as text, too.
    """
    tokens = (*words, "{", "}", "[", "]", ",", ":", '"', "null", "true", "1e999", "-", "\\u0000")

    @st.composite
    def mutated(draw: st.DrawFn) -> str:
        document = copy.deepcopy(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(1, edits))):
            document = _changed(draw, document, seeds, words)
        text = _RAW.sub(lambda found: found[1].replace("@", '"'), write(document))
        for _ in range(max(0, draw(st.integers(-4, 2)))):
            text = _edited(draw, text, [text], tokens)
        return text

    return mutated()


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return container and key of every value of a document."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        node = waiting.pop()
        pairs = list(node.items() if isinstance(node, dict) else enumerate(node))
        found += [(node, key) for key, _ in pairs]
        waiting += [value for _, value in pairs if isinstance(value, dict | list)]
    return found


def _changed(draw: st.DrawFn, document: Any, seeds: Sequence[Any], words: Sequence[str]) -> Any:
    places = _places(document) if isinstance(document, dict | list) else []
    if not places or draw(st.integers(0, 30)) == 0:
        return copy.deepcopy(draw(st.sampled_from(_ODD)))
    node, key = draw(st.sampled_from(places))
    kind = draw(st.integers(0, 6))
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[draw(st.sampled_from(words))] = node.pop(key)
    elif kind == 2 and isinstance(node[key], list):
        times = draw(st.sampled_from((2, 20, 300)))
        if len(json.dumps(node[key])) * times < MAX_CHARACTERS:
            node[key] = node[key] * times
    elif kind == 3:
        node[key] = draw(st.sampled_from(words))
    elif kind == 4 and isinstance(node[key], str) and not node[key].startswith("\0raw:"):
        node[key] = _edited(draw, node[key], [node[key]], words)
    elif kind == 5 and isinstance(document, dict):
        other, name = draw(st.sampled_from(_places(draw(st.sampled_from(seeds)))))
        node[key] = copy.deepcopy(other[name])
    else:
        node[key] = copy.deepcopy(draw(st.sampled_from(_ODD)))
    return document
