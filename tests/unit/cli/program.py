"""The command line as a program, run in this process: what it writes, and how it ends."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from chaoskernel import cli

PROGRAM = Path(sys.executable).with_name("chaoskernel")


@dataclass(frozen=True)
class Ended:
    """What a process would have left."""

    returncode: int
    stdout: str
    stderr: str


def program(*words: str | Path) -> Ended:
    """Run `chaoskernel` with arguments; a start of Python for each would take half a second."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with (
        mock.patch.object(sys, "argv", [str(PROGRAM), *map(str, words)]),
        mock.patch.object(cli.logger.handlers[0], "stream", err),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            assert isinstance(ended.code, int)
            return Ended(ended.code, _written(out), _written(err))
    raise AssertionError("the command line did not exit")


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
