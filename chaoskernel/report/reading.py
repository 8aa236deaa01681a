"""Documents of others, read so that whatever they hold is text, a number, or left out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chaoskernel.errors import ChaosKernelError
from chaoskernel.terminal import shown

_MAX_BYTES = 2**28
_MAX_DIGITS = 1000
_MAX_COUNT = 2**64
"""What a counter of the kernel's stays below."""

_LONGEST = 10_000
"""Characters of one text that are shown."""

_OF_AN_EVENT = ("at", "command", "pid", "hook", "node", "stack_kept")

JOURNAL = "the journal that `chaos run` wrote; it is journal.json by default"
JOURNAL_OR_RESULTS = "a journal of `chaos run`, or the results of `chaoskernel explore`"

Document = Mapping[str, Any]


def read(path: Path, *, whole: bool = False, wanted: str = JOURNAL_OR_RESULTS) -> Document:
    """Return the JSON object in a file; of events what a report shows, and each stack once.

    :param whole: keep all of the events.
    :param wanted: what the file should be, for the remedy of an error.
    :raises ChaosKernelError: it cannot be read, or is something else.
    """
    stacks: dict[tuple[str, ...], tuple[str, ...]] = {}

    def smaller(item: dict[str, Any]) -> dict[str, Any]:
        if not whole and "stack" in item and "pid" in item and isinstance(item["stack"], list):
            kept = {key: item[key] for key in _OF_AN_EVENT if key in item}
            return {**kept, "stack": _once(item["stack"], stacks)}
        return item

    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES), parse_int=integer, object_hook=smaller)
    except OSError as error:
        raise ChaosKernelError(
            f"{path} cannot be read: {error.strerror}",
            hint=f"name {wanted}",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ChaosKernelError(
            f"{path} is not a JSON document of up to {_MAX_BYTES >> 20} MiB",
            hint=f"name {wanted}",
        ) from error
    return mapping(document)


def _once(stack: list[Any], stacks: dict[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Return a stack as it was first seen, which keeps and converts each once."""
    try:
        return stacks[tuple(stack)]
    except (KeyError, TypeError):
        said = tuple(map(str, stack))
        return stacks.setdefault(said, said)


def integer(digits: str) -> int | float:
    """Return a whole number; one of thousands of digits, which Python refuses, is infinite."""
    return int(digits) if len(digits) <= _MAX_DIGITS else math.inf


def mapping(value: object) -> Document:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return a list; an empty one for anything else."""
    return list(value) if isinstance(value, list | tuple) else []


def objects(value: object) -> Iterator[Document]:
    """Yield the objects of a list."""
    return (each for each in items(value) if isinstance(each, dict))


def text(value: object, longest: int = _LONGEST) -> str:
    """Return a single value as text, of several lines perhaps, that is harmless anywhere.

    Null, lists and objects are no text.
    """
    if value is None or isinstance(value, dict | list | tuple):
        return ""
    whole = value if isinstance(value, str) else shown(value)
    return shown(whole if len(whole) <= longest else f"{whole[:longest]}…", lines=True)


def texts(value: object, longest: int = _LONGEST) -> list[str]:
    """Return the single values of a list as text."""
    return [found for each in items(value) if (found := text(each, longest))]


def count(value: object) -> int:
    """Return a counter; 0 for what cannot be one."""
    right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT
    return int(value) if right else 0  # type: ignore[call-overload]


def number(value: object) -> float:
    """Return a finite number; 0 for anything else."""
    right = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
    return float(value) if right else 0.0  # type: ignore[arg-type]
