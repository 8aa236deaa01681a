"""Which system calls a fault fails: the unit that a user means.

A program that flushes its files calls fsync, fdatasync or msync, and which one is its library's
affair.  Standard library only.
"""

from __future__ import annotations

import re

from chaoskernel.fault.hooks import Kind

_ENTRY_POINT = re.compile(r"(?:__\w+_)?(?:sys|SyS)_(\w+)")

FAMILIES: dict[Kind, tuple[str, ...]] = {
    Kind.READ: ("read", "pread64", "readv", "preadv", "preadv2", "getdents", "getdents64"),
    Kind.WRITE: ("write", "pwrite64", "writev", "pwritev", "pwritev2", "fallocate"),
    Kind.OPEN: ("open", "openat", "openat2", "creat"),
    Kind.CREATE: (
        *("creat", "mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat", "link"),
        "linkat",
    ),
    Kind.REMOVE: ("unlink", "unlinkat", "rmdir"),
    Kind.RENAME: ("rename", "renameat", "renameat2"),
    Kind.TRUNCATE: ("truncate", "ftruncate"),
    Kind.STAT: ("stat", "fstat", "lstat", "newfstatat", "statx"),
    Kind.LOCK: ("flock", "fcntl"),
    Kind.MMAP: ("mmap",),
    Kind.MEMORY: ("mmap", "brk", "mprotect", "mremap"),
    Kind.FORK: ("fork", "vfork", "clone", "clone3"),
    Kind.EXEC: ("execve", "execveat"),
    Kind.SOCKET: ("socket", "socketpair"),
    Kind.CONNECT: ("connect",),
    Kind.BIND: ("bind",),
    Kind.ACCEPT: ("accept", "accept4"),
    Kind.SEND: ("sendto", "sendmsg", "sendmmsg"),
    Kind.RECV: ("recvfrom", "recvmsg", "recvmmsg"),
    Kind.MOUNT: ("mount", "move_mount"),
    Kind.IPC: ("shmget", "semget", "msgget"),
    Kind.SIGNAL: ("kill", "tkill", "tgkill", "rt_sigqueueinfo"),
    Kind.FSYNC: ("fsync", "fdatasync", "sync_file_range", "msync"),
    Kind.CLOSE: ("close",),
    Kind.POLL: (
        *("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait"),
        "epoll_pwait2",
    ),
    Kind.IO_URING_ENTER: ("io_uring_enter",),
}
"""By fault; bio, slab, page and allocation fail what many calls ask for, and are in none."""

_NEAR: dict[Kind, tuple[str, ...]] = {
    Kind.BIO: (
        *("read", "pread64", "readv", "write", "pwrite64", "writev"),
        *("fsync", "fdatasync", "msync"),
    ),
    Kind.READ: ("recvfrom", "recvmsg", "mmap"),
    Kind.WRITE: ("sendto", "sendmsg", "mmap", "ftruncate"),
    Kind.OPEN: ("stat", "newfstatat", "statx"),
    Kind.CREATE: ("rename", "renameat", "renameat2"),
    Kind.REMOVE: ("rename", "renameat", "renameat2"),
    Kind.RENAME: ("link", "linkat", "unlink", "unlinkat"),
    Kind.TRUNCATE: ("pwrite64", "fallocate"),
    Kind.STAT: ("open", "openat"),
    Kind.MMAP: ("brk", "mremap", "mprotect"),
    Kind.FORK: ("execve",),
    Kind.EXEC: FAMILIES[Kind.FORK],
    Kind.SOCKET: ("connect", "accept", "accept4"),
    Kind.CONNECT: ("sendto", "sendmsg", "accept", "accept4"),
    Kind.BIND: ("connect", "accept", "accept4"),
    Kind.ACCEPT: ("connect", "bind"),
    Kind.IPC: ("mmap",),
    Kind.FSYNC: ("write", "pwrite64"),
}
"""What a user may have meant, or take for it.  But for bio, which the kernel does by itself too,
none of these calls comes to the hooks of the fault."""

_ON_SOCKETS = {Kind.READ: Kind.RECV, Kind.WRITE: Kind.SEND}
"""A read(2) of a socket is a receipt too."""


def kinds_of(call: str, *, on_socket: bool = False) -> tuple[Kind, ...]:
    """Return the faults that fail a system call.

    :param on_socket: it is called for a socket.
    """
    kinds = [kind for kind, calls in FAMILIES.items() if call in calls]
    if on_socket:
        kinds += [other for kind, other in _ON_SOCKETS.items() if kind in kinds]
    return tuple(kinds)


def call_of(function: str) -> str:
    """Return the system call that a function is the entry point of; empty where it is none."""
    found = _ENTRY_POINT.fullmatch(function)
    return found[1] if found else ""


def near_calls(kind: Kind, call: str = "") -> list[str]:
    """Return the system calls that are near those of a fault, and do not fail by it.

    :param call: which one fails, where the fault is a function.
    """
    if kind is not Kind.FUNCTION:
        return list(_NEAR.get(kind, ()))
    families = [calls for calls in FAMILIES.values() if call in calls]
    return list(dict.fromkeys(other for calls in families for other in calls if other != call))
