"""Reads of disks that provoke bios, by a process that may hang in the agent's place.

A read of a disk whose device does not answer waits for good, and cannot be killed.  In the agent it
would keep everything attached; the process that reads here has no descriptor of the agent's.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import EngineError

_BLOCK_DEVICES = Path("/sys/block")
_MODULES = Path("/lib/modules")
_MAX_FILES = 8
_MAX_HUNG = 2
_START_SECONDS = 60.0  # under emulation an interpreter takes seconds
_READ_SECONDS = 5.0

_AVOIDED = re.compile(r"(?:dm-|md|nbd|rbd|drbd|zd|bcache|fd|sr|mtdblock|ubiblock)\d+.*")
"""What lies on other disks, on a network or on media: these hang, and the others tell as much."""

_LAST = re.compile(r"(?:loop|zram)\d+")
_WORKING = ("running", "live", "")
"""States of SCSI and NVMe devices that answer; others have no state."""

_READER = """
import mmap, os, sys
buffer = mmap.mmap(-1, 4096)
print(flush=True)
for line in sys.stdin:
    read = 0
    try:
        place = os.open(line[:-1], os.O_RDONLY | os.O_DIRECT | os.O_NONBLOCK)
        try:
            read = os.preadv(place, [buffer], 0)
        finally:
            os.close(place)
    except OSError:
        pass
    print(int(read > 0), flush=True)
"""


class Reader:
    """A process that reads what it is told to, around the page cache.

    :param program: what it runs.
    :param seconds: how long a read may take.
    """

    def __init__(self, program: str = _READER, seconds: float = _READ_SECONDS) -> None:
        self._seconds = seconds
        self._child = process.start(
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        if self._answer(_START_SECONDS) is None:
            self.close()
            raise EngineError("the process that is to read a disk does not start")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def reads(self, place: str) -> bool | None:
        """Tell whether a file or device could be read; None: it hangs, and the process with it.

        One without a medium cannot, nor one that this process may not open.
        """
        assert self._child.stdin is not None
        with contextlib.suppress(OSError):
            self._child.stdin.write(f"{place}\n")
            self._child.stdin.flush()
        answer = self._answer(self._seconds)
        return None if answer is None else answer == "1\n"

    def close(self) -> None:
        """Kill it; do not wait, since it may hang."""
        self._child.signal_group(signal.SIGKILL)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._child.poll()

    def _answer(self, seconds: float) -> str | None:
        answers = self._child.stdout
        assert answers is not None
        if not select.select([answers], [], [], seconds)[0]:
            return None
        return answers.readline() or None


def provoke(
    witness: Callable[[int], contextlib.AbstractContextManager[None]],
    is_seen: Callable[[], bool],
    reader: Callable[[], Reader] = Reader,
) -> bool:
    """Have the kernel submit bios until one is seen; tell whether a disk could be read.

    A container without privilege may open no disk, but files: its own program, and those of the
    host's.  They are read first, and tell nothing when they lie on no disk.

    :param witness: has the program count the bios of a process for a while.
    :param is_seen: whether it has counted any.
    """
    waiting, hung = list(_places()), 0
    while waiting and hung < _MAX_HUNG:
        reading = reader()
        try:
            with witness(reading.pid):
                while waiting:
                    place, is_disk = waiting.pop(0)
                    answer = reading.reads(place)
                    if is_seen() or (answer and is_disk):
                        return True
                    if answer is None:
                        hung += 1
                        break
        finally:
            reading.close()
    return False


def _places() -> Iterator[tuple[str, bool]]:
    """Yield what may be read, and whether it is a disk for sure."""
    yield sys.executable, False
    for file in sorted(itertools.islice(_MODULES.glob("*/modules.*"), _MAX_FILES)):
        yield str(file), False
    disks = [disk for disk in _BLOCK_DEVICES.iterdir() if _answers(disk)]
    for disk in sorted(disks, key=lambda disk: (bool(_LAST.fullmatch(disk.name)), disk.name)):
        yield f"/dev/{disk.name.replace('!', '/')}", True


def _answers(disk: Path) -> bool:
    """Tell whether a disk is of a kind that answers, with a medium, as far as the kernel knows."""
    return (
        not _AVOIDED.fullmatch(disk.name)
        and _said(disk / "size") not in ("", "0")
        and _said(disk / "removable") != "1"
        and _said(disk / "device/state") in _WORKING
    )


def _said(place: Path) -> str:
    with contextlib.suppress(OSError):
        return place.read_text(encoding="ascii", errors="replace").strip()
    return ""
