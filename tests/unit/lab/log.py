"""Keeps what a step says of itself."""

from __future__ import annotations


class Log:
    """See `chaoskernel.lab.progress.Progress`.

    :param unit: what is counted; empty where nothing is.
    """

    def __init__(self, unit: str = "") -> None:
        self.phases: list[str] = []
        self._unit = unit

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def advance(self, done: int, expected: int, unit: str = "objects") -> None:
        assert 0 <= done <= expected
        assert unit == self._unit
