"""A process that makes kernel requests on command: the side that controls kernel_requests.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests import kernel_requests
from tests.commanded import Commanded


class Victim(Commanded):
    """Has a process of its own make requests."""

    def __init__(
        self,
        directory: Path,
        program: str = sys.executable,
        script: str = kernel_requests.__file__,
    ) -> None:
        self.python = program
        self._script = script
        self._directory = directory

    def _program(self) -> Sequence[str]:
        return [self._script, str(self._directory)]

    def does(self, *command: object) -> list[int]:
        """Send a command and return the error numbers it ended with."""
        return [int(number) for number in self._tell(" ".join(map(str, command))).split()]
