"""Numbers of system calls, and what tells the file or peer that each is about."""

from __future__ import annotations

import enum
import os
from collections.abc import Iterator
from typing import NamedTuple


class About(enum.IntEnum):
    """What tells the file or peer of a call: `enum chaos_about` of bpf/logic/watch.h."""

    UNWATCHED = 0
    NOTHING = 1
    DESCRIPTOR = 2
    MAPPED = 3
    LOCKED = 4
    PATH_1 = 5
    PATH_2 = 6
    PATH_3 = 7
    PATH_4 = 8
    ADDRESS = 9


class Call(NamedTuple):
    """A system call that a fault may fail.

    :param x86_64: its number there (arch/x86/entry/syscalls/syscall_64.tbl).
    :param aarch64: there (include/uapi/asm-generic/unistd.h); -1 where it has none.
    """

    name: str
    x86_64: int
    aarch64: int
    about: About


_NOTHING, _FD = About.NOTHING, About.DESCRIPTOR
_1, _2, _3, _4 = About.PATH_1, About.PATH_2, About.PATH_3, About.PATH_4

CALLS = (
    Call("read", 0, 63, _FD),
    Call("write", 1, 64, _FD),
    Call("open", 2, -1, _1),
    Call("close", 3, 57, _FD),
    Call("stat", 4, -1, _1),
    Call("fstat", 5, 80, _FD),
    Call("lstat", 6, -1, _1),
    Call("poll", 7, -1, _NOTHING),
    Call("mmap", 9, 222, About.MAPPED),
    Call("mprotect", 10, 226, _NOTHING),
    Call("brk", 12, 214, _NOTHING),
    Call("pread64", 17, 67, _FD),
    Call("pwrite64", 18, 68, _FD),
    Call("readv", 19, 65, _FD),
    Call("writev", 20, 66, _FD),
    Call("select", 23, -1, _NOTHING),
    Call("mremap", 25, 216, _NOTHING),
    Call("msync", 26, 227, _NOTHING),
    Call("shmget", 29, 194, _NOTHING),
    Call("socket", 41, 198, _NOTHING),
    Call("connect", 42, 203, About.ADDRESS),
    Call("accept", 43, 202, _FD),
    Call("sendto", 44, 206, _FD),
    Call("recvfrom", 45, 207, _FD),
    Call("sendmsg", 46, 211, _FD),
    Call("recvmsg", 47, 212, _FD),
    Call("bind", 49, 200, About.ADDRESS),
    Call("socketpair", 53, 199, _NOTHING),
    Call("clone", 56, 220, _NOTHING),
    Call("fork", 57, -1, _NOTHING),
    Call("vfork", 58, -1, _NOTHING),
    Call("execve", 59, 221, _1),
    Call("kill", 62, 129, _NOTHING),
    Call("semget", 64, 190, _NOTHING),
    Call("msgget", 68, 186, _NOTHING),
    Call("fcntl", 72, 25, About.LOCKED),
    Call("flock", 73, 32, _FD),
    Call("fsync", 74, 82, _FD),
    Call("fdatasync", 75, 83, _FD),
    Call("truncate", 76, 45, _1),
    Call("ftruncate", 77, 46, _FD),
    Call("getdents", 78, -1, _FD),
    Call("rename", 82, -1, _1),
    Call("mkdir", 83, -1, _1),
    Call("rmdir", 84, -1, _1),
    Call("creat", 85, -1, _1),
    Call("link", 86, -1, _2),
    Call("unlink", 87, -1, _1),
    Call("symlink", 88, -1, _2),
    Call("mknod", 133, -1, _1),
    Call("mount", 165, 40, _2),
    Call("tkill", 200, 130, _NOTHING),
    Call("getdents64", 217, 61, _FD),
    Call("epoll_wait", 232, -1, _NOTHING),
    Call("tgkill", 234, 131, _NOTHING),
    Call("openat", 257, 56, _2),
    Call("mkdirat", 258, 34, _2),
    Call("mknodat", 259, 33, _2),
    Call("newfstatat", 262, 79, _2),
    Call("unlinkat", 263, 35, _2),
    Call("renameat", 264, 38, _2),
    Call("linkat", 265, 37, _4),
    Call("symlinkat", 266, 36, _3),
    Call("pselect6", 270, 72, _NOTHING),
    Call("ppoll", 271, 73, _NOTHING),
    Call("sync_file_range", 277, 84, _FD),
    Call("epoll_pwait", 281, 22, _NOTHING),
    Call("fallocate", 285, 47, _FD),
    Call("accept4", 288, 242, _FD),
    Call("preadv", 295, 69, _FD),
    Call("pwritev", 296, 70, _FD),
    Call("recvmmsg", 299, 243, _FD),
    Call("sendmmsg", 307, 269, _FD),
    Call("rt_sigqueueinfo", 129, 138, _NOTHING),
    Call("renameat2", 316, 276, _2),
    Call("execveat", 322, 281, _2),
    Call("preadv2", 327, 286, _FD),
    Call("pwritev2", 328, 287, _FD),
    Call("statx", 332, 291, _2),
    Call("io_uring_enter", 426, 426, _NOTHING),
    Call("move_mount", 429, 429, _NOTHING),
    Call("clone3", 435, 435, _NOTHING),
    Call("openat2", 437, 437, _2),
    Call("epoll_pwait2", 441, 441, _NOTHING),
)
"""Those of fault/families.py (checked by a test)."""


INSTEAD = {
    **{"open": "openat", "creat": "openat", "stat": "newfstatat", "lstat": "newfstatat"},
    **{"poll": "ppoll", "select": "pselect6", "epoll_wait": "epoll_pwait"},
    **{"fork": "clone", "vfork": "clone", "getdents": "getdents64"},
    **{"mkdir": "mkdirat", "mknod": "mknodat", "symlink": "symlinkat", "link": "linkat"},
    **{"unlink": "unlinkat", "rmdir": "unlinkat", "rename": "renameat"},
}
"""What a C library calls for a call that a machine lacks."""


def numbered(machine: str = os.uname().machine) -> Iterator[tuple[int, Call]]:
    """Yield the calls that a machine has, with their numbers."""
    for call in CALLS:
        number = call.aarch64 if machine == "aarch64" else call.x86_64
        if number >= 0:
            yield number, call


def lacks(machine: str, name: str) -> bool:
    """Tell whether a machine's own programs have no such call: on arm64 poll(2), for one.

    :param name: of one of CALLS; no other is lacking.
    """
    known = {call.name for call in CALLS}
    return name in known - {call.name for _, call in numbered(machine)}
