"""A process that uses sockets on command: the side that controls socket_calls.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests import socket_calls
from tests.commanded import Commanded


class Talker(Commanded):
    """Has a process of its own use sockets.

    :param directory: where it works; made when it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = self.where = directory

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        return super().__enter__()

    def _program(self) -> Sequence[str]:
        return [socket_calls.__file__]

    def calls(self, name: str, *arguments: object) -> int:
        """Have it make a call; return the error number that it got."""
        return int(self._tell(json.dumps([name, *arguments])))
