"""Disks of a guest: files of the host that last as long as the guest does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chaoskernel import process
from chaoskernel.errors import LabError
from chaoskernel.lab import tools

FILE_SYSTEMS = {"ext4": "e2fsprogs", "xfs": "xfsprogs", "btrfs": "btrfs-progs"}
"""What a disk may have on it, and the Debian package that makes it."""

MOUNTED_AT = "/srv/disk"
"""Where the guest has its first disk; the others are /srv/disk2 and so on."""

_SECONDS = 60.0
_UNITS = {"M": 2**20, "G": 2**30}


class Disk(NamedTuple):
    """An empty disk.

    :param size: in bytes.
    :param file_system: one of FILE_SYSTEMS.
    """

    size: int
    file_system: str


def disk_of(text: str) -> Disk:
    """Return the disk that SIZE or SIZE:FILE_SYSTEM describes, such as 256M:ext4.

    :raises ValueError: it describes none; the message says how to write one.
    """
    found = re.fullmatch(r"([1-9]\d{0,5})([MG])(?::(\w+))?", text)
    kind = found and (found[3] or next(iter(FILE_SYSTEMS)))
    if not found or kind not in FILE_SYSTEMS:
        raise ValueError(f"{text!r} is not a disk; write it as 256M or 1G:{'|'.join(FILE_SYSTEMS)}")
    return Disk(int(found[1]) * _UNITS[found[2]], str(kind))


def needs(disks: Sequence[Disk]) -> tuple[tools.Need, ...]:
    """Return what this machine has to have to make the disks."""
    kinds = dict.fromkeys(disk.file_system for disk in disks)
    names = {kind: f"mkfs.{kind}" for kind in kinds}
    return tuple(tools.Need(name, FILE_SYSTEMS[kind], (name,)) for kind, name in names.items())


def place(number: int) -> str:
    """Return where a guest has its disk of that number, from 0 on."""
    return MOUNTED_AT + (str(number + 1) if number else "")


def device(number: int) -> str:
    """Return the device of that disk."""
    return f"/dev/vd{chr(ord('a') + number)}"


def make(disks: Sequence[Disk], directory: Path) -> None:
    """Make the files of the disks, which take no room until they are written to.

    :raises LabError: there cannot be such a file system.
    """
    for number, disk in enumerate(disks):
        file = file_of(number, directory)
        with file.open("wb") as image:
            image.truncate(disk.size)
        name = f"mkfs.{disk.file_system}"
        command = [tools.find(name) or name, "-q", str(file)]
        done = process.run(command, seconds=_SECONDS, check=False)
        if done.returncode:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise LabError(
                f"--disk: no {disk.file_system} of {disk.size // 2**20}M: {(lines or [name])[0]}",
                hint="take a larger disk, or another file system",
            )


def file_of(number: int, directory: Path) -> Path:
    """Return the file that a disk is, in a guest's work directory."""
    return directory / f"disk{number}"


def words(disks: Sequence[Disk], directory: Path) -> list[str]:
    """Return the arguments of QEMU that give a guest the disks."""
    arguments = []
    for number in range(len(disks)):
        file = file_of(number, directory)
        # Nobody reads it after the guest, so nothing has to reach the host's disk.
        drive = f"file={file},format=raw,if=none,cache=unsafe,id=lab{number}"
        arguments += ["-drive", drive, "-device", f"virtio-blk-pci,drive=lab{number}"]
    return arguments
