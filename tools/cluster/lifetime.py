"""What lasts from entering a context to leaving it: begun in steps, and undone in reverse."""

from __future__ import annotations

import abc
import contextlib
from typing import Self


class Lifetime(abc.ABC):
    """A part of a cluster that takes several steps to begin; when one fails, those before it go."""

    @abc.abstractmethod
    def _begin(self, undo: contextlib.ExitStack) -> None:
        """Begin it.

        :param undo: takes in how each step is undone, before that step is done where it can be.
        """

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._begin(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()
