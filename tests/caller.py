"""A process that makes one system call on command: the side that controls calls.py.

What a call needs, or makes, is prepared and taken away here, where no fault is meant to hit.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests import calls
from tests.calls import name_of
from tests.commanded import Commanded


class Caller(Commanded):
    """Has a process of its own make calls.

    :param directory: where its own file is; made when it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "file"

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(b"x" * 4096)
        self._connected: list[socket.socket] = []
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        for each in self._connected:
            each.close()
        super().__exit__(*error)

    def _program(self) -> Sequence[str]:
        return [calls.__file__, str(self.file)]

    def calls(self, name: str, file: Path | None = None, other: Path | None = None) -> int:
        """Have it make a call; return the error number that it got.

        :param file: that it acts on, or beside which; its own when None.
        :param other: where `rename` and `link` lead; beside the file when None.
        """
        file = file or self.file
        other = other or file.with_name("other")
        self._prepare(name, file, other)
        answer = self._ask(name, file, other)
        self._clear(file, other)
        return answer

    def _ask(self, name: str, file: Path, other: Path) -> int:
        return int(self._tell(json.dumps([name, str(file), str(other)])))

    def _prepare(self, name: str, file: Path, other: Path) -> None:
        """Make what a call takes or takes away."""
        self._clear(file, other)
        if name in ("unlink", "rename"):
            file.with_name("gone").write_bytes(b"x")
        if name == "rmdir":
            file.with_name("tree").mkdir()
        if name == "exec_here" and not (program := file.with_name("program")).exists():
            shutil.copy("/bin/true", program)
        if name == "mount":
            file.with_name("target").mkdir(exist_ok=True)
        if name == "accept":
            self._connected.append(socket.socket(socket.AF_UNIX))
            self._connected[-1].connect(name_of(self.pid, "listening"))
        if name == "recv":
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", name_of(self.pid, "inbox"))

    @staticmethod
    def _clear(file: Path, other: Path) -> None:
        for entry in (file.with_name("gone"), other):
            if entry != file:
                entry.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            file.with_name("tree").rmdir()
