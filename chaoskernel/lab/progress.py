"""Shows how far a build is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

_LINE_SECONDS = 20.0


class Progress(Protocol):
    """What a build tells about itself."""

    def phase(self, text: str) -> None:
        """Say what begins."""

    def advance(self, done: int, expected: int, unit: str = "objects") -> None:
        """Say how much of the phase is done.

        :param expected: an estimate of the whole, never less than `done`.
        :param unit: what is counted.
        """


class Bar:
    """A live bar; the caller enters it as a context."""

    def __init__(self, console: Console) -> None:
        self._bar = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, count="", start=False)
        self._started = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def phase(self, text: str) -> None:
        """Say what begins."""
        if not self._started:
            self._bar.start()
            self._bar.start_task(self._task)
            self._started = True
        self._bar.update(self._task, description=text, total=None, count="")

    def advance(self, done: int, expected: int, unit: str = "objects") -> None:
        """Move the bar."""
        count = f"{done} of about {expected} {unit}"
        self._bar.update(self._task, completed=done, total=expected, count=count)


class Lines:
    """Plain lines, for logs."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        name: str = "lab",
    ) -> None:
        self._write = write
        self._name = name
        self._clock = clock
        self._last = clock()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def phase(self, text: str) -> None:
        """Write what begins."""
        self._write(f"{self._name}: {text}")
        self._last = self._clock()

    def advance(self, done: int, expected: int, unit: str = "objects") -> None:
        """Write the count, at most every twenty seconds."""
        now = self._clock()
        if now - self._last >= _LINE_SECONDS:
            self._write(f"{self._name}: {done} of about {expected} {unit}")
            self._last = now
