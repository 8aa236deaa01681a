"""Which system calls a fault fails: the unit that a user means.

A program that flushes its files calls fsync, fdatasync or msync, and which one is its library's
affair.  Standard library only.
"""

from __future__ import annotations

from chaoskernel.fault.hooks import Kind

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
