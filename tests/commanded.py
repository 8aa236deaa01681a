"""A process of its own that does what it is told, a line at a time, and answers with a line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

READY = "ready\n"
"""What it says first: a fault that hits it before would end it, and not what it is told to do."""


class Commanded:
    """The controlling side: starts the process, and ends it."""

    python = sys.executable
    where: Path | None = None
    """The directory that it runs in; that of this process when None."""

    def _program(self) -> Sequence[str]:
        """Return the words that follow Python and its options."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self.python, "-S", "-E", *self._program()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.where,
        )
        assert self._process.stdout and self._process.stdout.readline() == READY
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _tell(self, line: str) -> str:
        """Send a line, and return the one that answers it."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()
