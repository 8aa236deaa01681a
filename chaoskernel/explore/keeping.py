"""The explorer's end of the keeper: programs started, let go, waited for and ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chaoskernel import process, scratch
from chaoskernel.errors import ChaosKernelError, MissingTool
from chaoskernel.explore import keeper
from chaoskernel.explore.observation import Ending

_ANSWER_SECONDS = 60.0
_READ_BYTES = 1 << 16
_MOST_OUTPUT = 1 << 20
"""How much of a program's output is looked at: its beginning and its end, half each."""


class Program(NamedTuple):
    """A program that was started.

    :param output: the file that has what it writes, both streams.
    """

    number: int
    pid: int
    output: Path


class Ended(NamedTuple):
    """How a program ended.

    :param descriptors: how many files it had open then; None where it was not traced.
    """

    ending: Ending
    descriptors: int | None


class Keeping:
    """A keeper, as the one who has started it sees it."""

    def __init__(self, child: process.Child, root: Path) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        self._to, self._from = child.stdin.fileno(), child.stdout.fileno()
        self._root = root
        self._kept = b""
        self._last = 0
        self._ended: dict[int, Ended] = {}
        self._stuck: list[str] = []
        self._has_started = False  # something, since all was ended

    def fresh(self) -> Path:
        """Return an empty directory for the next run; what the last one left is removed.

        :raises ChaosKernelError: it cannot be made.
        """
        answer = self._ask("fresh", do="fresh")
        if answer["error"]:
            raise ChaosKernelError(
                f"{answer['path']} cannot be made: {answer['error']}",
                hint="free some space, or set TMPDIR to a file system that has some",
            )
        return Path(answer["path"])

    def start(
        self,
        argv: Sequence[str],
        directory: Path,
        env: Mapping[str, str],
        *,
        hold: bool = False,
        trace: bool = False,
    ) -> Program:
        """Start a program.

        :param hold: it waits before its exec, until it is let go.
        :param trace: look at what it has open when it exits; nobody else can trace it.
        :raises MissingTool: there is no such program.
        """
        self._last += 1
        self._has_started = True
        output = self._root / f"output.{self._last % 8}"
        output.unlink(missing_ok=True)
        answer = self._ask(
            "started",
            do="start",
            number=self._last,
            program=found(argv[0], env),
            argv=list(argv),
            directory=str(directory),
            env=dict(env),
            output=str(output),
            hold=hold,
            trace=trace,
        )
        return Program(self._last, answer["pid"], output)

    def release(self, program: Program) -> None:
        """Let a program go that is held."""
        self._tell(do="release", number=program.number)

    def signal(self, program: Program, number: int) -> None:
        """Send a signal to a program; one that has ended gets none."""
        self._tell(do="signal", number=program.number, signal=int(number))

    def wait(self, program: Program, seconds: float) -> Ended | None:
        """Return how a program ended; None where it has not within this time."""
        end = time.monotonic() + seconds
        while program.number not in self._ended:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._hear(left)
        return self._ended[program.number]

    def look(self, program: Program) -> tuple[int, int]:
        """Return how many files a program and its descendants have open, and their memory."""
        answer = self._ask("seen", do="look", number=program.number)
        return answer["descriptors"], answer["memory"]

    def end(self) -> int:
        """Kill everything that was started, with all that it has left; return how many."""
        if not self._has_started:
            return 0
        answer = self._ask("ended", do="end")
        self._has_started = False
        self._stuck += answer["stuck"]
        return int(answer["killed"])

    def stuck(self) -> tuple[str, ...]:
        """Return what was killed and does not end, a line for each; each is told of once."""
        found, self._stuck = tuple(self._stuck), []
        return found

    def _ask(self, what: str, **request: Any) -> dict[str, Any]:
        self._tell(**request)
        end = time.monotonic() + _ANSWER_SECONDS
        while (left := end - time.monotonic()) > 0:
            for message in self._hear(left):
                if message["what"] == what:
                    return message
        raise ChaosKernelError(f"the keeper did not answer within {_ANSWER_SECONDS:g} s")

    def _tell(self, **request: Any) -> None:
        line = json.dumps(request).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._to, line) :]
        except BrokenPipeError:
            raise _gone() from None

    def _hear(self, seconds: float) -> list[dict[str, Any]]:
        """Return the messages that came within this time; exits are noted."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._from, selectors.EVENT_READ)
            if not waiting.select(seconds):
                return []
        chunk = os.read(self._from, _READ_BYTES)
        if not chunk:
            raise _gone()
        *lines, self._kept = (self._kept + chunk).split(b"\n")
        messages = [json.loads(line) for line in lines]
        for each in messages:
            if each["what"] == "exited":
                self._ended[each["number"]] = _ended(each)
        return messages


@contextlib.contextmanager
def keeping() -> Iterator[Keeping]:
    """Have a keeper for a while; whatever it has started ends with the block, or with us."""
    with scratch.directory() as root:
        command = [sys.executable, "-I", "-S", keeper.__file__, str(root)]
        child = process.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            yield Keeping(child, root)
        finally:
            assert child.stdin is not None
            with contextlib.suppress(OSError):
                child.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=_ANSWER_SECONDS)
            process.end_group(child)


def found(program: str, env: Mapping[str, str]) -> str:
    """Return the file of a program.

    :raises MissingTool: there is none.
    """
    path = shutil.which(program, path=env.get("PATH"))
    if not path:
        raise MissingTool(
            f"{program}: there is no such command", hint="install it, or write its path"
        )
    return str(Path(path).absolute())


def text_of(program: Program) -> bytes:
    """Return what a program has written so far; of a long text its beginning and its end."""
    half = _MOST_OUTPUT // 2
    try:
        with program.output.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _MOST_OUTPUT:
                return file.read(_MOST_OUTPUT)
            begin = file.read(half)
            file.seek(size - half)
            return begin + b"\n[...]\n" + file.read(half)
    except FileNotFoundError:
        return b""


def _ended(message: Mapping[str, Any]) -> Ended:
    error = int(message["error"])
    ending = Ending(
        status=message["status"],
        signal=message["signal"],
        seconds=message["seconds"],
        memory=message["memory"],
        not_started=error,
    )
    return Ended(ending, message.get("descriptors"))


def _gone() -> ChaosKernelError:
    return ChaosKernelError(
        "the keeper of the programs has ended", hint="what was found is kept; use --resume"
    )
