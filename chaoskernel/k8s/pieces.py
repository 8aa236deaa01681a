"""The types of a node's kernel, put together from the pieces that its agent says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import AgentError
from chaoskernel.fault.checks import unpacked_types

_MOST = 4096
_LONGEST = 16_384


class Pieces:
    """Takes in pieces in any order, the same one again too: a log that broke off is read anew."""

    def __init__(self) -> None:
        self._of = 0
        self._texts: dict[int, str] = {}

    def take(self, message: Mapping[str, Any]) -> None:
        """Take in a piece; one that cannot be of the others is left out, and so missing at the end.

        :param message: a checked one of the type `types`.
        """
        number, of, text = message["number"], message["of"], message["text"]
        self._of = self._of or of
        if number < of == self._of <= _MOST and len(text) <= _LONGEST:
            self._texts[number] = text

    def whole(self) -> bytes:
        """Return the types (BTF).

        :raises AgentError: a piece is missing, or they are something else.
        """
        if not self._of or len(self._texts) < self._of:
            raise AgentError(
                f"of {self._of} pieces of its kernel's types {len(self._texts)} were heard",
                hint="its image may be of another version",
            )
        try:
            return unpacked_types("".join(self._texts[number] for number in range(self._of)))
        except ValueError as error:
            raise AgentError("what it says of its kernel's types is something else") from error
