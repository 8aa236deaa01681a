"""A process of its own that makes kernel requests on command and says how they ended.

Run as a program it reads commands, one a line, and answers each with a line of
error numbers (0: it worked).  `child` starts a descendant that does the same;
`exec` becomes another program first.  No import is heavy: it starts in an
emulated machine.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

_LIBC = ctypes.CDLL(None, use_errno=True)
_SECTOR = 4096


class Victim:
    """The controlling side: starts the process, sends commands, ends it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Victim:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def does(self, *command: object) -> list[int]:
        """Send a command and return the error numbers it ended with."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(" ".join(map(str, command)) + "\n")
        self._process.stdin.flush()
        return [int(number) for number in self._process.stdout.readline().split()]


def mount(target: Path) -> int:
    """mount(2) a tmpfs, and take it away again when that worked."""
    if _LIBC.mount(b"none", bytes(target), b"tmpfs", 0, None) == 0:
        _LIBC.umount(bytes(target))
        return 0
    return ctypes.get_errno()


def mounts(target: Path, times: int) -> list[int]:
    return [mount(target) for _ in range(times)]


def mounts_in_threads(target: Path, threads: int, times: int) -> list[int]:
    """Mount from several threads at once, each on a directory of its own."""
    ended: list[int] = []

    def hammer(place: Path) -> None:
        place.mkdir(exist_ok=True)
        ended.extend(mounts(place, times))

    running = [
        threading.Thread(target=hammer, args=(target / str(number),)) for number in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return ended


def pipe_writes(times: int) -> list[int]:
    """write(2) to a pipe: it allocates a page for the data."""
    ended = []
    for _ in range(times):
        reader, writer = os.pipe()
        ended.append(_errno_of(lambda end=writer: os.write(end, b"x")))
        os.close(reader)
        os.close(writer)
    return ended


def direct_reads(device: Path, times: int) -> list[int]:
    """read(2) around the page cache: each is a bio."""
    buffer = mmap.mmap(-1, _SECTOR)
    disk = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        return [_errno_of(lambda: os.preadv(disk, [buffer], 0)) for _ in range(times)]
    finally:
        os.close(disk)


def _errno_of(request: object) -> int:
    assert callable(request)
    try:
        request()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _serve(target: Path) -> None:
    child: Victim | None = None
    for line in sys.stdin:
        command, *words = line.split()
        if command == "child":
            child = Victim(target).__enter__()
            answer = [child.pid]
        elif command == "childs":
            assert child is not None
            answer = child.does(*words)
        elif command == "forked":
            answer = _in_fork(target, int(words[0]))
        elif command == "mount":
            answer = mounts(target, int(words[0]))
        elif command == "threads":
            answer = mounts_in_threads(target, int(words[0]), int(words[1]))
        elif command == "pipe":
            answer = pipe_writes(int(words[0]))
        else:
            answer = direct_reads(Path(words[0]), int(words[1]))
        print(*answer, flush=True)
    if child is not None:
        child.__exit__(None, None, None)


def _in_fork(target: Path, times: int) -> list[int]:
    """Mount in a child that was forked just now, and in its child too."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.write(writer, " ".join(map(str, mounts(target, times))).encode())
        else:
            os.wait()
        os._exit(0)
    os.wait()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return [int(number) for number in pipe.read().split()]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
