"""The target's half of the table of hooks: how this process has each of them called.

Each provocation is harmless: it makes and drops objects of its own, or asks for what cannot
be.  The other half is fault/hooks.py; a test sees to it that both have the same hooks.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from chaoskernel.fault.hook_types import Hook

_PAGES = 64

_IPC_PRIVATE, _IPC_RMID = 0, 0
_CAPABILITY_VERSION_3 = 0x20080522  # include/uapi/linux/capability.h
_MS_REMOUNT_BIND = 32 | 4096
_AT_FDCWD = -100
_FSCONFIG_CMD_CREATE = 6

_CALLS = {
    "x86_64": {
        "poll": 7,
        "select": 23,
        "epoll_wait": 232,
        "pselect6": 270,
        "ppoll": 271,
        "epoll_pwait": 281,
    },
    "aarch64": {"epoll_pwait": 22, "pselect6": 72, "ppoll": 73},
}
"""Numbers of system calls by architecture (arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h)."""

_NEWER_CALLS = {
    "io_uring_enter": 426,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "epoll_pwait2": 441,
}
"""Those since Linux 5.1 have the same number on every architecture."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    """Make a system call whatever it says; return what it returned."""
    number = {**_CALLS.get(os.uname().machine, {}), **_NEWER_CALLS}[name]
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


@contextlib.contextmanager
def _memory_file() -> Iterator[int]:
    descriptor = os.memfd_create("chaoskernel")
    try:
        os.write(descriptor, b"\0")
        yield descriptor
    finally:
        os.close(descriptor)


def _pipe() -> None:
    for end in os.pipe():
        os.close(end)


def _allocate() -> None:
    """Have the kernel allocate slab objects: those of a pipe."""
    _pipe()


def _touch_pages() -> None:
    """Have the kernel allocate pages: those of a mapping that is written to."""
    with mmap.mmap(-1, _PAGES * mmap.PAGESIZE) as pages:
        for page in range(_PAGES):
            pages[page * mmap.PAGESIZE] = 1


def _map() -> None:
    with mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        pass


def _thread() -> None:
    """Have a task made; a thread is one too."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def _credentials() -> None:
    """Set this thread's capabilities to what they are."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if not _libc.capget(header, sets):
        _libc.capset(header, sets)


def _with_sockets(name: str) -> Callable[[], None]:
    """Return a provocation of sockets.py."""

    def provoke() -> None:
        from chaoskernel.engine import sockets  # noqa: PLC0415 - few faults are about sockets

        getattr(sockets, name)()

    return provoke


def _super_block() -> None:
    """Have a tmpfs made that is mounted nowhere."""
    context = _call("fsopen", b"tmpfs", 0)
    if context < 0:
        raise OSError(ctypes.get_errno(), "fsopen")
    try:
        _call("fsconfig", context, _FSCONFIG_CMD_CREATE, None, None, 0)
    finally:
        os.close(context)


def _shared_memory() -> None:
    _libc.shmctl(_libc.shmget(_IPC_PRIVATE, mmap.PAGESIZE, 0o600), _IPC_RMID, None)


def _semaphores() -> None:
    _libc.semctl(_libc.semget(_IPC_PRIVATE, 1, 0o600), 0, _IPC_RMID)


def _message_queue() -> None:
    """Have a queue made, and a message."""
    queue = _libc.msgget(_IPC_PRIVATE, 0o600)
    message = (ctypes.c_long * 2)(1, 0)
    _libc.msgsnd(queue, message, ctypes.sizeof(ctypes.c_long), 0)
    _libc.msgctl(queue, _IPC_RMID, None)


def _read_file() -> None:
    with _memory_file() as file:
        os.pread(file, 1, 0)


def _write_file() -> None:
    with _memory_file() as file:
        os.pwrite(file, b"\0", 0)


def _open() -> None:
    os.close(os.open("/proc/self/stat", os.O_RDONLY))


def _empty_directory() -> contextlib.AbstractContextManager[Path]:
    from chaoskernel import scratch  # noqa: PLC0415 - its imports take longer than most provocations

    return scratch.directory()


def _directory() -> None:
    """Make, rename, truncate and remove entries of a directory of this process's own."""
    with _empty_directory() as root:
        file, other = root / "file", root / "other"
        file.write_bytes(b"\0")
        os.link(file, root / "link")
        (root / "symbolic").symlink_to("file")
        os.mkfifo(root / "fifo")
        (root / "directory").mkdir()
        file.rename(other)
        os.truncate(other, 0)
        with other.open("r+b") as opened:
            opened.truncate(0)
        for entry in ("other", "link", "symbolic", "fifo"):
            (root / entry).unlink()
        (root / "directory").rmdir()


def _stat() -> None:
    with _memory_file() as file:
        os.fstat(file)


def _lock() -> None:
    with _memory_file() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _exec() -> None:
    """Ask for a program that is none: it is refused once the hook has been called."""
    with _memory_file() as file, contextlib.suppress(OSError):
        os.execve(f"/proc/self/fd/{file}", ["chaoskernel"], {})


def _mount() -> None:
    """Ask for another bind mount of what is none: it is refused once the hook was called."""
    with _empty_directory() as place:
        _libc.mount(b"none", bytes(place), b"none", _MS_REMOUNT_BIND, None)


def _move_mount() -> None:
    """Ask for a move of what is no mount."""
    with _empty_directory() as place:
        _call("move_mount", _AT_FDCWD, bytes(place), _AT_FDCWD, bytes(place), 0)


def _signal() -> None:
    os.kill(os.getpid(), 0)


def _sync() -> None:
    with _memory_file() as file:
        os.fsync(file)
        os.fdatasync(file)
        _libc.sync_file_range(file, ctypes.c_int64(0), ctypes.c_int64(1), 0)
        with mmap.mmap(file, 1) as mapped:
            mapped.flush()


def _polled(name: str) -> Callable[[], None]:
    """Wait for nothing, for no time."""

    def wait() -> None:
        zero = (ctypes.c_long * 2)(0, 0)
        if name in ("poll", "ppoll"):
            _call(name, None, 0, zero if name == "ppoll" else 0, None, 0)
        elif name in ("select", "pselect6"):
            _call(name, 0, None, None, None, zero, None)
        else:
            with contextlib.closing(select.epoll()) as epoll:
                event = ctypes.create_string_buffer(16)
                until: object = zero if name == "epoll_pwait2" else 0
                _call(name, epoll.fileno(), event, 1, until, None, 0)

    return wait


def _io_uring() -> None:
    _call("io_uring_enter", -1, 0, 0, 0, None, 0)


PROVOCATIONS: dict[str, Callable[[], None]] = {
    "should_failslab": _allocate,
    "should_fail_alloc_page": _touch_pages,
    "security_vm_enough_memory_mm": _map,
    "security_file_alloc": _pipe,
    "security_inode_alloc": _pipe,
    "security_task_alloc": _thread,
    "security_prepare_creds": _credentials,
    "security_sk_alloc": _with_sockets("sockets"),
    "security_sb_alloc": _super_block,
    "security_shm_alloc": _shared_memory,
    "security_sem_alloc": _semaphores,
    "security_msg_queue_alloc": _message_queue,
    "security_msg_msg_alloc": _message_queue,
    "security_file_open": _open,
    **{
        f"security_inode_{call}": _directory
        for call in ("create", "mkdir", "mknod", "symlink", "link", "unlink", "rmdir", "rename")
    },
    "security_path_truncate": _directory,
    "security_file_truncate": _directory,
    "security_inode_getattr": _stat,
    "security_file_lock": _lock,
    "security_mmap_file": _map,
    "security_bprm_creds_for_exec": _exec,
    "security_socket_create": _with_sockets("sockets"),
    "security_socket_connect": _with_sockets("connect"),
    "security_unix_stream_connect": _with_sockets("connect"),
    "security_socket_bind": _with_sockets("bind"),
    "security_socket_accept": _with_sockets("accept"),
    "security_socket_sendmsg": _with_sockets("send_and_receive"),
    "security_socket_recvmsg": _with_sockets("send_and_receive"),
    "security_sb_mount": _mount,
    "security_move_mount": _move_mount,
    "security_task_kill": _signal,
    **{f"sys_{call}": _sync for call in ("fsync", "fdatasync", "sync_file_range", "msync")},
    "sys_close": _pipe,
    **{
        f"sys_{call}": _polled(call)
        for call in (
            *("poll", "ppoll", "select", "pselect6"),
            *("epoll_wait", "epoll_pwait", "epoll_pwait2"),
        )
    },
    "sys_io_uring_enter": _io_uring,
}
"""What has each hook called, by its portable name."""


def _read_disks(
    witness: Callable[[int], contextlib.AbstractContextManager[None]], is_seen: Callable[[], bool]
) -> bool:
    from chaoskernel.engine import disks  # noqa: PLC0415 - few faults are about disks

    return disks.provoke(witness, is_seen)


BY_ANOTHER_PROCESS = {"should_fail_bio": _read_disks}
"""What has a hook called by a process that may hang in this one's place."""

BY_MASK: dict[tuple[str, int], Callable[[], None]] = {
    ("security_file_permission", 2): _write_file,
    ("security_file_permission", 4): _read_file,
}
"""The same for hooks that are called with a mask: by the bits that are asked for."""

_NO_FILE = 2**31 - 1
_NOWHERE = Path("/proc/self/nothing")

HARMLESS_CALLS: dict[str, Callable[[], object]] = {
    "close": lambda: os.close(_NO_FILE),
    "fdatasync": lambda: os.fdatasync(_NO_FILE),
    "fsync": lambda: os.fsync(_NO_FILE),
    "ftruncate": lambda: os.ftruncate(_NO_FILE, 0),
    "lseek": lambda: os.lseek(_NO_FILE, 0, os.SEEK_SET),
    "mkdir": _NOWHERE.mkdir,
    "openat": lambda: os.open("", os.O_RDONLY),
    "pread64": lambda: os.pread(_NO_FILE, 1, 0),
    "pwrite64": lambda: os.pwrite(_NO_FILE, b"", 0),
    "read": lambda: os.read(_NO_FILE, 1),
    "rename": lambda: _NOWHERE.rename(_NOWHERE),
    "rmdir": _NOWHERE.rmdir,
    "unlink": _NOWHERE.unlink,
    "write": lambda: os.write(_NO_FILE, b""),
}
"""System calls that fail for want of a file before they do anything, for a user who names one.
A C library may use another one for the same; then it is looked for, as any function is."""


def provocation(hook: Hook) -> Callable[[], None]:
    """Return what has a hook called.

    :raises KeyError: this table has none for it.
    """
    by_mask = BY_MASK.get((hook.symbol, hook.bits))
    return by_mask or PROVOCATIONS[hook.symbol]
