"""Text in YAML or JSON -> values that know where they stand.

What YAML does behind a user's back is refused here: a key that is there twice or is no
text, a merge key, a tag, aliases that make much of little.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from chaoskernel.errors import InvalidManifest

MAX_BYTES = 2**20
"""Longest text; etcd keeps no object that is much longer."""

_MAX_DEPTH = 32
_MAX_VALUES = 20_000
MAX_PROBLEMS = 100
"""As many are told; whoever has more of them has another kind of document."""

_TOO_DEEP = f"more than {_MAX_DEPTH} levels in each other"
_TOO_MANY = f"more than {_MAX_VALUES} values; do its aliases multiply?"

_TAG = "tag:yaml.org,2002:"
_KINDS = ("map", "seq", "null", "bool", "int", "float", "str", "timestamp", "value", "merge")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"-?[0-9]{1,20}\.[0-9]{1,20}")


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text; lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """One value of a document, where it stands, and how it is reached.

    :param content: text, a number, a truth value, None, a list of values, or a
        mapping from text to values.
    :param text: a scalar as it is written.
    """

    content: Any
    path: str
    mark: Mark
    text: str = ""

    def below(self, key: str) -> str:
        """Return the path of a field of this mapping."""
        plain = re.fullmatch(r"[\w-]+", key)
        step = f".{key}" if plain else f"[{json.dumps(key)}]"
        return f"{self.path}{step}".removeprefix(".")


class Problems:
    """What is wrong with a text, in the order in which it stands there."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._found: set[tuple[int, int, str]] = set()

    def add(self, mark: Mark, text: str) -> None:
        """Note that something is wrong.

        :raises InvalidManifest: it is one too many.
        """
        self._found.add((mark.line, mark.column, " ".join(text.split())))
        if len(self._found) > MAX_PROBLEMS:
            raise InvalidManifest(
                self.source, [*self._lines()[:MAX_PROBLEMS], "there is more; nothing was read on"]
            )

    def settle(self) -> None:
        """Do nothing when nothing is wrong.

        :raises InvalidManifest: something is.
        """
        if self._found:
            raise InvalidManifest(self.source, self._lines())

    def _lines(self) -> list[str]:
        return [f"{line}:{column}: {text}" for line, column, text in sorted(self._found)]


def read(path: Path) -> str:
    """Return the text of a file.

    :raises InvalidManifest: it cannot be read, is not UTF-8, or is too long.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # the latter: no path has a NUL in it
        why = getattr(error, "strerror", error)
        raise InvalidManifest(str(path), [f"it cannot be read: {why}"]) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) > MAX_BYTES:
            raise _too_long(str(path)) from None
        mark = _mark_at(data[: error.start].decode("utf-8-sig"), None)
        raise InvalidManifest(
            str(path), [f"{mark}: byte {data[error.start]:#x} is not UTF-8; save it as UTF-8"]
        ) from None


def documents(text: str, problems: Problems) -> list[Value]:
    """Return the documents of a text; empty ones are left out.

    What is wrong is noted; what comes after an error of syntax is not read.

    :raises InvalidManifest: the text is too long.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _too_long(problems.source)
    return [
        found for found in _composed(_without_tabs(text), problems) if found.content is not None
    ]


def _composed(text: str, problems: Problems) -> Iterator[Value]:
    builder = _Builder(problems)
    try:
        count_quickly(text)
        for node in yaml.compose_all(text, Loader=_BoundedLoader):
            yield builder.value(node, "", 0)
            if builder.is_full:
                return
    except _TooMuch as error:
        problems.add(_mark_of(error.problem_mark), str(error.problem))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(_mark_of(mark), f"{error.problem or error.context}; this is not YAML")
    except yaml.reader.ReaderError as error:
        problems.add(
            _mark_at(text, error.position), f"character #x{_code(error):04x} is not allowed in YAML"
        )
    except RecursionError:
        problems.add(Mark(1, 1), _TOO_DEEP)


class _TooMuch(yaml.MarkedYAMLError):
    """A text has too many values, or too many levels of them."""


class _Bounds:
    """Counts the values of a text while it is read."""

    def __init__(self) -> None:
        self._values = 0
        self._depth = 0

    def begin(self, mark: Any) -> None:
        """Note that a value begins.

        :raises _TooMuch: it is one too many, or too deep.
        """
        self._values += 1
        self._depth += 1
        # A key is a node, too, and no value.
        if self._values > 2 * _MAX_VALUES:
            raise _TooMuch(problem=_TOO_MANY, problem_mark=mark)
        if self._depth > _MAX_DEPTH + 1:
            raise _TooMuch(problem=_TOO_DEEP, problem_mark=mark)

    def end(self) -> None:
        """Note that the value that began last ends."""
        self._depth -= 1


def count_quickly(text: str) -> None:
    """Refuse a text that is too much before it is read for good, which takes long.

    libyaml reads 350 000 values a second, and PyYAML itself, whose errors are better, 20 000.

    :raises yaml.YAMLError: it has too many values, or levels.
    """
    if not yaml.__with_libyaml__:
        return
    bounds = _Bounds()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.NodeEvent):
                bounds.begin(event.start_mark)
            if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent | yaml.CollectionEndEvent):
                bounds.end()
    except _TooMuch:
        raise
    except (yaml.YAMLError, UnicodeEncodeError):  # the latter: half of a surrogate pair
        return  # which PyYAML itself reports


class _BoundedLoader(yaml.SafeLoader):
    """Reads no more of a text than its bounds allow."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._bounds = _Bounds()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._bounds.begin(event.start_mark)
        node = super().compose_node(parent, index)
        self._bounds.end()
        return node


class _Builder:
    """Builds values from the nodes of one text."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._built = 0

    @property
    def is_full(self) -> bool:
        """Tell whether there were so many values that the rest is left out."""
        return self._built >= _MAX_VALUES

    def value(self, node: yaml.Node, path: str, depth: int) -> Value:
        mark = _mark_of(node.start_mark)
        self._built += 1
        if depth > _MAX_DEPTH:
            self._problems.add(mark, _TOO_DEEP)
        elif self._built == _MAX_VALUES:
            self._problems.add(mark, _TOO_MANY)
        elif self._built < _MAX_VALUES:
            return self._built_of(node, Value(None, path, mark), depth)
        return Value(None, path, mark)

    def _built_of(self, node: yaml.Node, place: Value, depth: int) -> Value:
        if node.tag.removeprefix(_TAG) not in _KINDS:
            self._problems.add(place.mark, f"the tag {node.tag} is not known here; leave it out")
        if isinstance(node, yaml.MappingNode):
            return dataclasses.replace(place, content=self._mapping(node, place, depth))
        if isinstance(node, yaml.SequenceNode):
            items = [
                self.value(item, f"{place.path}[{index}]", depth + 1)
                for index, item in enumerate(node.value)
            ]
            return dataclasses.replace(place, content=items)
        return dataclasses.replace(place, content=_scalar(node), text=node.value)

    def _mapping(self, node: yaml.MappingNode, place: Value, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key, item in node.value:
            mark = _mark_of(key.start_mark)
            if key.tag == f"{_TAG}merge":
                self._problems.add(mark, "a merge key is not known here; write its fields out")
            elif key.tag != f"{_TAG}str":
                self._problems.add(mark, f"the key {_shown(key)} is not text; {_remedy(key)}")
            elif key.value in found:
                where = place.below(key.value)
                self._problems.add(mark, f"{where}: it is there twice; keep one of them")
            else:
                found[key.value] = self.value(item, place.below(key.value), depth + 1)
        return found


def _scalar(node: yaml.Node) -> Any:
    """Return what a scalar says: YAML's notations for numbers that JSON has not stay text."""
    text = str(node.value)
    kind = node.tag.removeprefix(_TAG)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _without_tabs(text: str) -> str:
    """Put a space for each tab between the tokens of JSON: PyYAML knows no tabs there.

    A tab within a string is not JSON, so that nothing else is changed.
    """
    if "\t" not in text or not text.lstrip().startswith(("{", "[")):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


def _mark_of(mark: yaml.Mark | None) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _mark_at(text: str, position: int | None) -> Mark:
    before = text[:position]
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _code(error: yaml.reader.ReaderError) -> int:
    character = error.character
    return character if isinstance(character, int) else ord(character)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "an object"


def _remedy(node: yaml.Node) -> str:
    return "put it in quotes" if isinstance(node, yaml.ScalarNode) else "write a name"


def _too_long(source: str) -> InvalidManifest:
    return InvalidManifest(source, [f"it is longer than {MAX_BYTES} bytes; split it"])
