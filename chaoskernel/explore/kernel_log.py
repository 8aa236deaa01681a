"""The kernel's log, as it grows: what accuses the kernel, and what tells of crashed programs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_KMSG = Path("/dev/kmsg")
_RECORD_BYTES = 8192
_LONGEST = 300

_ACCUSING = re.compile(
    r"\bBUG:|\bOops\b|\bWARNING: |\bkernel BUG at|general protection fault, (?!ip:)"
    r"|blocked for more than \d+ seconds|soft lockup|hard LOCKUP|rcu: INFO: |possible recursive"
    r"|new suspected memory leaks|Kernel panic|refcount_t: |list_(add|del) corruption"
    r"|(Objects remaining|Freepointer corrupt|Poison overwritten)"
)
_CRASHED = re.compile(r"(\S+)\[(\d+)\]: segfault at |^traps: (\S+)\[(\d+)\] ")


class Read(NamedTuple):
    """What was new in the log.

    :param accusing: lines that say that the kernel itself went wrong.
    :param crashes: lines about programs that made an invalid access.
    """

    accusing: tuple[str, ...] = ()
    crashes: tuple[str, ...] = ()


class KernelLog:
    """Reads what the kernel has said since it was last asked; nothing where that is forbidden."""

    def __init__(self, path: Path = _KMSG) -> None:
        self._descriptor = -1
        with contextlib.suppress(OSError):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)

    def read(self) -> Read:
        """Return what is new."""
        return sorted_out(self._lines())

    def close(self) -> None:
        """Stop reading."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lines(self) -> list[str]:
        lines: list[str] = []
        while self._descriptor >= 0:
            try:
                record = os.read(self._descriptor, _RECORD_BYTES)
            except BlockingIOError:
                break
            except BrokenPipeError:  # records were overwritten before they were read
                continue
            except OSError:
                break
            lines.append(record.decode(errors="replace").partition(";")[2].splitlines()[0])
        return lines


def sorted_out(lines: Iterable[str]) -> Read:
    """Return those lines of the kernel's log that say something about a run."""
    kept = [line[:_LONGEST] for line in lines]
    accusing = tuple(line for line in kept if _ACCUSING.search(line))
    return Read(accusing, tuple(line for line in kept if _CRASHED.search(line)))
