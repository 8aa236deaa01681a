"""A process that touches pages on command, and makes no system call that takes memory meanwhile.

What is said to it and by it is in memory that both share.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import tempfile
import time

PAGES = 256
"""How many it touches; fewer than make a huge one."""

_COMMAND, _STATE, _ERROR = range(3)
_READY, _TOUCHED = 1, 2
_SECONDS = 60


class Toucher:
    """The controlling side."""

    def __enter__(self) -> Toucher:
        self._file = tempfile.NamedTemporaryFile()
        self._file.truncate(mmap.PAGESIZE)
        self._shared = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)
        self._process = subprocess.Popen([sys.executable, "-S", "-E", __file__, self._file.name])
        self._wait(_READY)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._file.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def error_of_read(self) -> int:
        """The error number of a read(2) into a page that had not been touched."""
        return self._shared[_ERROR]

    def touch(self) -> None:
        """Have it touch the pages, and wait until it has."""
        self._shared[_COMMAND] = 1
        self._wait(_TOUCHED)

    def _wait(self, state: int) -> None:
        until = time.monotonic() + _SECONDS
        while self._shared[_STATE] != state:
            assert self._process.poll() is None, "the process that touches pages has ended"
            assert time.monotonic() < until, "the pages have not been touched"
            time.sleep(0.05)


def _serve(path: str) -> None:
    with open(path, "r+b") as file:  # noqa: PTH123 - before anything else is imported
        shared = mmap.mmap(file.fileno(), mmap.PAGESIZE)
    shared[_ERROR] = 0
    library = ctypes.CDLL(None, use_errno=True)
    fresh = mmap.mmap(-1, (PAGES + 1) * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(fresh))
    zeros = os.open("/dev/zero", os.O_RDONLY)
    size, last = PAGES * mmap.PAGESIZE, ctypes.c_void_p(begin + PAGES * mmap.PAGESIZE)
    shared[_STATE] = _READY
    while not shared[_COMMAND]:
        time.sleep(0.01)
    ctypes.memset(begin, 1, size)
    failed = library.read(zeros, last, mmap.PAGESIZE) < 0
    shared[_ERROR] = ctypes.get_errno() if failed else 0
    shared[_STATE] = _TOUCHED
    time.sleep(_SECONDS)


if __name__ == "__main__":
    _serve(sys.argv[1])
