"""A process whose threads are moved between control groups while they make kernel requests.

Run as a program it reads commands, one a line, and answers each with a line of numbers: see
`_COMMANDS`.  `Victim` is its controlling side.  Its request is mount(2) of what is not there,
which allocates slab memory and changes nothing.
"""

from __future__ import annotations

import collections
import ctypes
import mmap
import os
import queue
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path

OUTSIDE, MOVING, INSIDE = 0, 1, 2
"""Where a process is, by its phase modulo 4; one on the way back is moving too."""

ENDED = 2**63
"""The last phase; until then it is counted up before each move, and after it."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_FORKING = ctypes.PyDLL(None, use_errno=True)  # which keeps the interpreter's lock: so has a child
_CLONE3, _CLONE_INTO_CGROUP, _SIGCHLD = 435, 0x200000000, 17
_CLONE_ARGS = 11 * 8


class Phase:
    """Where a process is, in a file that the one who moves it and the process itself share."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(mmap.PAGESIZE))
        with file.open("r+b") as opened:
            memory = mmap.mmap(opened.fileno(), mmap.PAGESIZE)
        self._number = ctypes.c_uint64.from_buffer(memory)  # which is read and stored in one piece

    @property
    def now(self) -> int:
        return self._number.value

    @now.setter
    def now(self, phase: int) -> None:
        self._number.value = phase


def request() -> int:
    """Return the error number of one request."""
    _LIBC.mount(b"none", b"/there/is/no/such/place", b"tmpfs", 0, None)
    return ctypes.get_errno()


def requests(times: int) -> list[int]:
    return [request() for _ in range(times)]


def hammer(phase: Phase) -> list[int]:
    """Make requests until the last phase.

    Returned are triples: where the process was, an error number, and how many requests made
    there ended so.
    """
    ended: collections.Counter[tuple[int, int]] = collections.Counter()
    while (before := phase.now) != ENDED:
        number = request()
        stayed = phase.now == before and before % 2 == 0
        ended[before % 4 if stayed else MOVING, number] += 1
    return [number for key, times in ended.items() for number in (*key, times)]


def makes(directory: Path) -> list[int]:
    """Make one request of another kind: a directory."""
    _LIBC.mkdir(bytes(directory), 0o700)
    return [ctypes.get_errno()]


def cloned_into(cgroup: Path, work: Callable[[], list[int]]) -> list[int]:
    """Do work in a child that clone3(2) makes in a control group."""
    reader, writer = os.pipe()
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    given = [_CLONE_INTO_CGROUP, 0, 0, 0, _SIGCHLD, 0, 0, 0, 0, 0, directory]
    arguments = ctypes.create_string_buffer(struct.pack("11Q", *given), _CLONE_ARGS)
    child = _FORKING.syscall(_CLONE3, arguments, _CLONE_ARGS)
    if child == 0:
        os.write(writer, " ".join(map(str, work())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    os.close(directory)
    with os.fdopen(reader) as pipe:
        return [int(number) for number in pipe.read().split()]


class Second:
    """Another thread, which works on command."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        self.id = thread.native_id or 0

    def _work(self) -> None:
        while True:
            self._ended.put(requests(self._asked.get()))

    def does(self, times: int) -> list[int]:
        self._asked.put(times)
        return self._ended.get()


_SECOND: list[Second] = []


def start_second() -> list[int]:
    _SECOND.append(Second())
    return [_SECOND[0].id]


_COMMANDS: dict[str, Callable[..., list[int]]] = {
    "hammer": lambda file: hammer(Phase(Path(file))),
    "first": lambda times: requests(int(times)),
    "start": start_second,
    "second": lambda times: _SECOND[0].does(int(times)),
    "cloned": lambda cgroup, times: cloned_into(Path(cgroup), lambda: requests(int(times))),
    "makes": lambda cgroup, name: cloned_into(Path(cgroup), lambda: makes(Path(name))),
}

if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        print(*_COMMANDS[command](*words), flush=True)
