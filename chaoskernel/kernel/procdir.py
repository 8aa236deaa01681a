"""One process's directory in /proc, held open.

A process id that is used again names another directory: what is read here is read of one
process, or raises ProcessLookupError.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_PROGRAM = "anon_inode:bpf-prog"
_MAX_DESCRIPTORS = 4096
"""Looked at of one process: an agent has some hundred, and a stranger may have a million."""
_FILE_BYTES = 2**16


class Descriptor(NamedTuple):
    """An open file of a process.

    :param link: what /proc/PID/fd shows.
    """

    number: int
    link: str


class ProcessDirectory:
    """What /proc tells of one process.  Every method may raise OSError: it may end, or be hidden.

    :param held: a descriptor of the directory; its opener closes it.
    """

    def __init__(self, held: int) -> None:
        self._held = held

    def owner(self) -> int:
        """Return the user whose process this appears to be."""
        return os.fstat(self._held).st_uid

    def stat(self) -> str:
        """Return the text of its `stat`; see processes.parsed."""
        return self._text("stat")

    def users(self) -> set[int]:
        """Return the real, effective, saved and file system user, which mostly are one."""
        found = re.search(r"(?m)^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", self._text("status"))
        return {int(each) for each in found.groups()} if found else set()

    def shares_namespace(self, kind: str) -> bool:
        """Tell whether the process is in this process's namespace of that kind (pid, user)."""
        own, its = (_PROC / "self/ns" / kind).stat(), self._stat(f"ns/{kind}")
        return (own.st_dev, own.st_ino) == (its.st_dev, its.st_ino)

    def descriptors(self) -> Iterator[Descriptor]:
        """Yield the first of its open files, by number."""
        listed = os.open("fd", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._held)
        try:
            with os.scandir(listed) as entries:
                for entry in itertools.islice(entries, _MAX_DESCRIPTORS):
                    with contextlib.suppress(FileNotFoundError):  # it was closed
                        link = os.readlink(entry.name, dir_fd=listed)
                        yield Descriptor(int(entry.name), link)
        finally:
            os.close(listed)

    def programs(self) -> set[int]:
        """Return the ids of the BPF programs that the process holds descriptors of."""
        held = [each.number for each in self.descriptors() if each.link == _PROGRAM]
        return {self.info(number, "prog_id") for number in held}

    def info(self, descriptor: int, key: str) -> int:
        """Return a number that /proc/PID/fdinfo has of an open file; -1 where it has none."""
        text = self._text(f"fdinfo/{descriptor}")
        found = re.search(rf"(?m)^{key}:\s*(\d+)$", text)
        return int(found[1]) if found else -1

    def refer(self, descriptor: int) -> int:
        """Return a descriptor (O_PATH) of the file that an open file of the process is.

        Nothing is opened by it: a device or a FIFO does not learn of it.
        """
        return os.open(f"fd/{descriptor}", os.O_PATH, dir_fd=self._held)

    def root(self) -> int:
        """Return a descriptor (O_PATH) of the process's root directory."""
        return os.open("root", os.O_PATH | os.O_DIRECTORY, dir_fd=self._held)

    def mounts(self) -> int:
        """Return a descriptor of its `mountinfo`: mount points as the process sees them."""
        return os.open("mountinfo", os.O_RDONLY, dir_fd=self._held)

    def _stat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._held)

    def _text(self, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=self._held)
        try:
            return os.read(descriptor, _FILE_BYTES).decode(errors="replace")
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def opened(pid: int, proc: Path = _PROC) -> Iterator[ProcessDirectory]:
    """Hold a process's directory open.

    :raises OSError: there is no such process, or it is hidden.
    """
    held = os.open(proc / str(pid), os.O_PATH | os.O_DIRECTORY)
    try:
        yield ProcessDirectory(held)
    finally:
        os.close(held)
