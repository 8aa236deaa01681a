"""Files of the host by what they are: opened without being read."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.where import Where

_OPENAT2 = 437  # the same on every architecture (since Linux 5.6)
_OPEN_TREE = 428  # likewise (since Linux 5.2)
_OPEN_TREE_CLONE = 1  # include/uapi/linux/mount.h
_RESOLVE_IN_ROOT = 0x10  # include/uapi/linux/openat2.h
_MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_EMPTY_PATH, _DONT_SYNC = 0x1000, 0x4000  # AT_…, include/uapi/linux/fcntl.h
_STATX_BYTES = 256
_STATX_IDENTITY = struct.Struct("=32xQ96xII")  # stx_ino, stx_dev_major, stx_dev_minor

_libc = ctypes.CDLL(None, use_errno=True)


class Place(NamedTuple):
    """A file or directory that a fault is about.

    :param descriptor: of it, opened with O_PATH: it cannot become another one meanwhile.
    :param whole: all of its file system is meant, and not only what lies below it.
    """

    descriptor: int
    whole: bool


class Mount(NamedTuple):
    """One line of mountinfo (proc(5)).

    :param device: major and minor number.
    :param propagates: it is unmounted, or unmounts others, together with other mounts.
    :param root: the directory of the file system that is mounted there.
    """

    device: tuple[int, int]
    point: str
    source: str
    propagates: bool = False
    root: str = "/"


@contextlib.contextmanager
def opened(where: Where) -> Iterator[list[Place]]:
    """Open what is named.

    :raises InvalidFault: a path is not there, or a device is not mounted.
    """
    with contextlib.ExitStack() as undo:
        places: list[Place] = []

        def open_place(key: str, path: str, *, whole: bool) -> None:
            descriptor = _open(key, path)
            undo.callback(os.close, descriptor)
            places.append(Place(descriptor, whole))

        for path in where.paths:
            open_place("paths", path, whole=False)
        for path in where.sockets:
            open_place("peers", path, whole=False)
        if where.devices:
            mounts = list(mounts_of(_MOUNTINFO.read_bytes()))
            for device in where.devices:
                open_place("devices", _mount_point(device, mounts), whole=True)
        yield places


def open_in(root: int, path: str) -> int:
    """Open a path as a process sees it whose root directory is given; links stay in it.

    :param root: a descriptor of that directory.
    :raises OSError: there is no such file.
    """
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT)
    descriptor = _libc.syscall(
        ctypes.c_long(_OPENAT2), root, path.encode(errors="surrogateescape"), how, len(how)
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(descriptor)


def without_its_mount(descriptor: int) -> int:
    """Return an open file's like by a mount of its own, which can be unmounted where it was.

    The descriptor is closed, or returned where the kernel makes no such mount: of one that
    is unbindable, or is in another namespace.
    """
    clone = _libc.syscall(
        ctypes.c_long(_OPEN_TREE), descriptor, b"", _OPEN_TREE_CLONE | _EMPTY_PATH | os.O_CLOEXEC
    )
    if clone < 0:
        return descriptor
    os.close(descriptor)
    return int(clone)


def identity(descriptor: int) -> tuple[int, int, int]:
    """Return a file's inode number, and its file system's major and minor number.

    The kernel answers from what it knows: a file system whose server hangs, as one of FUSE or
    NFS may, is not asked.
    """
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if _libc.statx(descriptor, b"", _EMPTY_PATH | _DONT_SYNC, 0, found):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    inode, major, minor = _STATX_IDENTITY.unpack_from(found.raw)
    return inode, major, minor


def _open(key: str, path: str) -> int:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as absent:
        if absent.errno == errno.EMFILE:
            raise InvalidFault(
                key,
                path,
                "possible beside the others: this process may not open as many files",
                hint="raise its limit (`ulimit -n`), or name fewer",
            ) from absent
        raise InvalidFault(
            key,
            path,
            f"there: {absent.strerror}",
            hint="name a file or directory that exists; new files below a directory are hit too",
        ) from absent


def _mount_point(device: str, mounts: Sequence[Mount]) -> str:
    """Return where a device's file system is mounted; a mount point is itself one."""
    points = [mount.point for mount in mounts]
    real = os.path.realpath(device)
    if real in points:
        return real
    with contextlib.suppress(OSError):
        number = Path(real).stat().st_rdev
        wanted = (os.major(number), os.minor(number))
        for mount in mounts:
            if number and (mount.device == wanted or mount.source == real):
                return mount.point
    raise InvalidFault(
        "devices",
        device,
        "mounted",
        hint="name a block device that is mounted, or the directory where it is",
    )


def mounts_of(text: bytes) -> Iterator[Mount]:
    """Yield the mounts that a mountinfo lists."""
    for line in text.split(b"\n"):  # a name may have other ends of a line in it
        fields, _, rest = line.partition(b" - ")
        words, more = fields.split(b" "), rest.split(b" ")
        if len(words) < 5 or len(more) < 2:
            continue
        major, _, minor = words[2].partition(b":")
        propagates = any(word.startswith((b"shared:", b"master:")) for word in words[6:])
        point, source, root = _decoded(words[4]), _decoded(more[1]), _decoded(words[3])
        yield Mount((int(major), int(minor)), point, source, propagates, root)


def _decoded(word: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), word))
