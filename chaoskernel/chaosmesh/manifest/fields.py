"""Fields of a document: each is read with its type, and what is wrong is noted.

A field that is wrong reads as if it were absent, so that the ones after it are looked at too.
"""

from __future__ import annotations

import contextlib
import difflib
import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from chaoskernel.chaosmesh.manifest.document import Mark, Problems, Value
from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.checks import is_int

_Named = TypeVar("_Named", bound=enum.StrEnum)
_Parsed = TypeVar("_Parsed")


class Fields:
    """The fields of one mapping.

    :param known: names of all fields that it may have.
    """

    def __init__(self, value: Value, problems: Problems, known: Iterable[str]) -> None:
        self.value = value
        self._problems = problems
        self._items: dict[str, Value] = {}
        if not isinstance(value.content, dict):
            self.refuse(value, "is not an object; write fields below it, in JSON in { }")
            return
        self._items = value.content
        names = sorted(known)
        for name, item in self._items.items():
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(names)}"
                self.refuse_name(item, f"is not known here; {hint}")

    @property
    def mark(self) -> Mark:
        """Where the mapping stands."""
        return self.value.mark

    def refuse(self, value: Value, why: str) -> None:
        """Note that a value is not what its field takes."""
        self._problems.add(value.mark, f"{value.path}: {_shown(value)} {why}".removeprefix(": "))

    def refuse_name(self, value: Value, why: str) -> None:
        """Note that the name of a field is not what it may be.

        :param value: the field's.
        """
        self._problems.add(value.mark, f"{value.path}: it {why}")

    def given(self, name: str) -> Value | None:
        """Return a field's value; none when the field is absent or null."""
        item = self._items.get(name)
        return None if item is None or item.content is None else item

    def required(self, name: str, what: str) -> Value | None:
        """Return a field's value, and note when it is absent.

        :param what: what it takes.
        """
        item = self.given(name)
        if item is None and isinstance(self.value.content, dict):
            self._problems.add(self.mark, f"{self.value.below(name)}: it is missing; it is {what}")
        return item

    def text(self, name: str, default: str = "") -> str:
        """Return a field of text."""
        item = self.given(name)
        return default if item is None or not self.is_text(item) else str(item.content)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a field of a whole number within bounds."""
        item = self.given(name)
        if item is None:
            return default
        if not is_int(item.content) or not least <= item.content <= most:
            what = "" if is_int(item.content) else "a whole number "
            self.refuse(item, f"is not {what}in {least}..{most}")
            return default
        return int(item.content)

    def member(self, name: str, default: _Named, *, is_required: bool = False) -> _Named:
        """Return a field that takes one of some words."""
        kind = type(default)
        words = ", ".join(each.value for each in kind)
        item = self.required(name, f"one of {words}") if is_required else self.given(name)
        if item is None or not self.is_text(item):
            return default
        if item.content not in [each.value for each in kind]:
            self.refuse(item, f"is not one of {words}")
            return default
        return kind(item.content)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a field of a list of texts."""
        return tuple(str(item.content) for item in self.text_items(name))

    def text_items(self, name: str) -> Iterator[Value]:
        """Yield the values of a field that is a list of texts."""
        return filter(self.is_text, self.items(name))

    def items(self, name: str) -> Sequence[Value]:
        """Return the values of a field that is a list."""
        item = self.given(name)
        if item is None:
            return ()
        if not isinstance(item.content, list):
            self.refuse(item, "is not a list; write each item after a dash, in JSON in [ ]")
            return ()
        return item.content

    def mapping(self, name: str) -> Iterator[tuple[str, Value]]:
        """Yield the entries of a field that is a mapping of any names."""
        item = self.given(name)
        if item is None:
            return
        if not isinstance(item.content, dict):
            self.refuse(item, "is not an object; write it as name: value, in JSON in { }")
            return
        yield from item.content.items()

    def words(self, name: str) -> dict[str, str]:
        """Return a field that maps names to texts."""
        return {key: str(item.content) for key, item in self.mapping(name) if self.is_text(item)}

    def inner(self, name: str, known: Iterable[str], *, is_required: bool = False) -> Fields | None:
        """Return the fields of a field that is an object."""
        item = self.required(name, "an object") if is_required else self.given(name)
        return self.of(item, known) if item is not None else None

    def of(self, value: Value, known: Iterable[str]) -> Fields:
        """Return the fields of a value."""
        return Fields(value, self._problems, known)

    def parsed(self, name: str, parse: Callable[..., _Parsed], absent: _Parsed) -> _Parsed:
        """Return what a parser makes of a field of text.

        :param parse: takes the text and, as `key`, the field's path.
        """
        item = self.given(name)
        if item is None or not self.is_text(item):
            return absent
        with self.noting(item):
            return parse(item.content, key=item.path)
        return absent

    @contextlib.contextmanager
    def noting(self, value: Value) -> Iterator[None]:
        """Note an error of the block at a value's place, with its path."""
        try:
            yield
        except ChaosKernelError as error:
            text = str(error)
            with_path = text if text.startswith(value.path) else f"{value.path}.{text}"
            self._problems.add(value.mark, with_path)

    def is_text(self, item: Value) -> bool:
        """Tell whether a value is text, and note when it is not."""
        if isinstance(item.content, str):
            return True
        hint = "put it in quotes" if item.text else "write it as text"
        # What stands there as null, or as nothing at all, needs no other word for it.
        kind = "" if item.content is None else f" but {_kind(item.content)}"
        self.refuse(item, f"is not text{kind}; {hint}")
        return False


def _shown(value: Value) -> str:
    if not isinstance(value.content, dict | list):
        shown = repr(value.content) if isinstance(value.content, str) else value.text or "null"
        return shown if len(shown) <= 60 else shown[:57] + "..."
    return f"it has {_kind(value.content)}, which"


def _kind(content: Any) -> str:
    kinds = {bool: "a truth value", dict: "an object", list: "a list", type(None): "null"}
    return kinds.get(type(content), "a number")
