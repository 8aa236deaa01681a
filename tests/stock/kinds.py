"""What a program calls to meet each kind of fault: the table of the tests beside it."""

from __future__ import annotations

from chaoskernel.fault.hooks import Kind

ANYWHERE: dict[Kind, tuple[str, ...]] = {
    Kind.ALLOCATION: ("mmap", "pipe", "fork", "socket", "setgroups", "setgid", "eventfd"),
    Kind.MEMORY: ("mmap", "fork", "brk", "mprotect"),
    Kind.FORK: ("fork", "thread"),
    Kind.EXEC: ("exec",),
    Kind.SOCKET: ("socket", "socketpair"),
    Kind.CONNECT: ("connect",),
    Kind.BIND: ("bind",),
    Kind.ACCEPT: ("accept",),
    Kind.SEND: ("send",),
    Kind.RECV: ("recv",),
    Kind.MOUNT: ("mount",),
    Kind.IPC: ("shmget", "semget", "msgget"),
    Kind.SIGNAL: ("kill",),
}
"""What a program calls, for each kind that asks for no place and no error injection."""

BELOW_A_PATH: dict[Kind, tuple[str, ...]] = {
    Kind.READ: ("read", "readdir"),
    Kind.WRITE: ("write", "writev", "fallocate"),
    Kind.OPEN: ("open", "create", "readdir"),
    Kind.CREATE: ("create", "mkdir", "mknod", "symlink", "link"),
    Kind.REMOVE: ("unlink", "rmdir"),
    Kind.RENAME: ("rename",),
    Kind.TRUNCATE: ("truncate", "ftruncate"),
    Kind.STAT: ("stat", "fstat"),
    Kind.LOCK: ("flock", "setlk"),
    Kind.MMAP: ("mmap_file",),
    Kind.EXEC: ("exec_here",),
}
"""What a program calls below a path, for each kind that is about files."""

CALLS = BELOW_A_PATH | ANYWHERE

WITH_LIST = (Kind.SLAB, Kind.PAGE, Kind.BIO, Kind.FSYNC, Kind.CLOSE, Kind.POLL, Kind.IO_URING_ENTER)
"""Those that a kernel takes by error injection alone."""
