"""The one table of what can be made to fail: kinds of fault, their hooks, and their errors.

A kind is what a user names.  Its hooks are the kernel functions that its program is attached
to: the allocators' and the block layer's own hooks (error injection), the security hooks that
every kernel with CONFIG_SECURITY calls (`security_*`, which BPF may modify since 5.7:
check_attach_modify_return() in kernel/bpf/verifier.c), and the entries of system calls.
How a hook is provoked, and what its arguments say, is the target's half: engine/hooks.py.

Standard library only.
"""

from __future__ import annotations

import enum
import errno

from chaoskernel.fault.hook_types import Hook, Row, Subject


class Kind(enum.StrEnum):
    """What is made to fail, in the user's words; the first three are those of KernelChaos."""

    SLAB = "slab"
    PAGE = "page"
    BIO = "bio"
    FUNCTION = "function"
    ALLOCATION = "allocation"
    MEMORY = "memory"
    READ = "read"
    WRITE = "write"
    OPEN = "open"
    CREATE = "create"
    REMOVE = "remove"
    RENAME = "rename"
    TRUNCATE = "truncate"
    STAT = "stat"
    LOCK = "lock"
    MMAP = "mmap"
    FORK = "fork"
    EXEC = "exec"
    SOCKET = "socket"
    CONNECT = "connect"
    BIND = "bind"
    ACCEPT = "accept"
    SEND = "send"
    RECV = "recv"
    MOUNT = "mount"
    IPC = "ipc"
    SIGNAL = "signal"
    FSYNC = "fsync"
    CLOSE = "close"
    POLL = "poll"
    IO_URING_ENTER = "io_uring_enter"


_MAY_WRITE, _MAY_READ = 2, 4  # include/linux/fs.h


def _security(name: str, subject: Subject = Subject.NONE, **more: object) -> Hook:
    return Hook(f"security_{name}", subject=subject, **more)  # type: ignore[arg-type]


def _socket(name: str, subject: Subject = Subject.NONE, **more: object) -> Hook:
    return _security(name, subject, option="CONFIG_SECURITY_NETWORK", **more)


def _call(name: str, *, optional: bool = False) -> Hook:
    return Hook(f"sys_{name}", option="CONFIG_FUNCTION_ERROR_INJECTION", optional=optional)


_ENOUGH_MEMORY = _security("vm_enough_memory_mm")
_TASK_ALLOC = _security("task_alloc")
_IPC = tuple(_security(name) for name in ("shm_alloc", "sem_alloc", "msg_queue_alloc"))

_WRITING = (
    "ENOSPC",
    *("EAGAIN", "EBADF", "EDESTADDRREQ", "EDQUOT", "EFAULT", "EFBIG", "EINTR", "EINVAL"),
    *("EIO", "EPERM", "EPIPE"),
)
_LOOKING_UP = ("EACCES", "EFAULT", "ELOOP", "ENAMETOOLONG", "ENOENT", "ENOMEM", "ENOTDIR")

TABLE: dict[Kind, Row] = {
    Kind.SLAB: Row(
        "slab allocations: kmalloc returns NULL",
        (
            Hook(
                "should_failslab",
                "struct kmem_cache *s, gfp_t gfpflags",
                "-ENOMEM",
                option="CONFIG_FAILSLAB",
            ),
        ),
        own_error=errno.ENOMEM,
        failtype=0,
        inject_py="kmalloc",
    ),
    Kind.PAGE: Row(
        "page allocations: alloc_pages returns NULL",
        (
            Hook(
                "should_fail_alloc_page",
                "gfp_t gfp_mask, unsigned int order",
                "true",
                option="CONFIG_FAIL_PAGE_ALLOC",
            ),
        ),
        own_error=errno.ENOMEM,
        failtype=1,
        inject_py="alloc_page",
    ),
    Kind.BIO: Row(
        "block I/O: a bio ends with an I/O error",
        (
            Hook(
                "should_fail_bio",
                "struct bio *bio",
                "-EIO",
                option="CONFIG_FAIL_MAKE_REQUEST",
            ),
        ),
        own_error=errno.EIO,
        failtype=2,
    ),
    Kind.FUNCTION: Row(
        "a kernel function of the error-injection list, system calls among them", ()
    ),
    Kind.ALLOCATION: Row(
        "whatever the kernel allocates for a program: memory, files, inodes, tasks, credentials, "
        "sockets, super blocks, IPC objects",
        (
            _ENOUGH_MEMORY,
            _security("file_alloc"),
            _security("inode_alloc"),
            _TASK_ALLOC,
            _security("prepare_creds"),
            _security("sk_alloc", option="CONFIG_SECURITY_NETWORK"),
            _security("sb_alloc"),
            *_IPC,
            _security("msg_msg_alloc"),
        ),
        ("ENOMEM",),
        note="where an inode is refused, socket, pipe and accept report ENFILE, and files on tmpfs "
        "ENOSPC, whatever the error is",
    ),
    Kind.MEMORY: Row(
        "mmap, brk, mprotect, mremap, and the memory of fork",
        (_ENOUGH_MEMORY,),
        ("ENOMEM",),
        note="fallocate on tmpfs reports ENOSPC, whatever the error is",
    ),
    Kind.READ: Row(
        "read, pread64, readv, preadv, getdents, and read(2) on pipes and sockets",
        (
            _security(
                "file_permission",
                Subject.FILE,
                parameters="struct file *file, int mask",
                argument=1,
                bits=_MAY_READ,
            ),
        ),
        ("EIO", "EAGAIN", "EBADF", "EFAULT", "EINTR", "EINVAL", "EISDIR"),
        needs_place=True,
    ),
    Kind.WRITE: Row(
        "write, pwrite64, writev, pwritev, fallocate, and write(2) on pipes and sockets",
        (
            _security(
                "file_permission",
                Subject.FILE,
                parameters="struct file *file, int mask",
                argument=1,
                bits=_MAY_WRITE,
            ),
        ),
        _WRITING,
        needs_place=True,
    ),
    Kind.OPEN: Row(
        "open, openat, openat2, creat, and the opening of a program by exec",
        (_security("file_open", Subject.FILE, parameters="struct file *file"),),
        (
            "EMFILE",
            *("EACCES", "EBUSY", "EDQUOT", "EEXIST", "EFAULT", "EFBIG", "EINTR", "EINVAL"),
            *("EISDIR", "ELOOP", "ENAMETOOLONG", "ENFILE", "ENODEV", "ENOENT", "ENOMEM"),
            *("ENOSPC", "ENOTDIR", "ENXIO", "EOPNOTSUPP", "EOVERFLOW", "EPERM", "EROFS"),
            *("ETXTBSY", "EWOULDBLOCK"),
        ),
    ),
    Kind.CREATE: Row(
        "open with O_CREAT, mkdir, mknod, symlink, link",
        tuple(
            _security(f"inode_{call}", Subject.DENTRY, last=True)
            for call in ("create", "mkdir", "mknod", "symlink", "link")
        ),
        ("ENOSPC", "EDQUOT", "EEXIST", "EIO", "EMLINK", "EPERM", "EROFS", *_LOOKING_UP),
    ),
    Kind.REMOVE: Row(
        "unlink, unlinkat, rmdir",
        tuple(_security(f"inode_{call}", Subject.DENTRY) for call in ("unlink", "rmdir")),
        ("EROFS", "EBUSY", "EIO", "EISDIR", "ENOTEMPTY", "EPERM", *_LOOKING_UP),
    ),
    Kind.RENAME: Row(
        "rename, renameat, renameat2",
        (_security("inode_rename", Subject.DENTRY),),
        (
            "ENOSPC",
            *("EBUSY", "EDQUOT", "EEXIST", "EINVAL", "EISDIR", "EMLINK", "ENOTEMPTY", "EPERM"),
            *("EROFS", "EXDEV", *_LOOKING_UP),
        ),
    ),
    Kind.TRUNCATE: Row(
        "truncate, ftruncate, open with O_TRUNC",
        (
            _security("path_truncate", Subject.PATH, option="CONFIG_SECURITY_PATH"),
            _security("file_truncate", Subject.FILE, optional=True),
        ),
        (
            "EIO",
            *("EBADF", "EFBIG", "EINTR", "EINVAL", "EISDIR", "EPERM", "EROFS", "ETXTBSY"),
            *_LOOKING_UP,
        ),
    ),
    Kind.STAT: Row(
        "stat, fstat, lstat, statx",
        (_security("inode_getattr", Subject.PATH, parameters="const struct path *path"),),
        ("EACCES", "EBADF", "EOVERFLOW", *(each for each in _LOOKING_UP if each != "EACCES")),
    ),
    Kind.LOCK: Row(
        "flock, and fcntl with F_SETLK or F_SETLKW",
        (_security("file_lock", Subject.FILE, parameters="struct file *file, unsigned int cmd"),),
        ("ENOLCK", "EACCES", "EAGAIN", "EBADF", "EDEADLK", "EINTR", "EINVAL", "EWOULDBLOCK"),
    ),
    Kind.MMAP: Row(
        "mmap; exec dies of it once the old program is gone",
        (_security("mmap_file", Subject.FILE),),
        (
            "ENOMEM",
            *("EACCES", "EAGAIN", "EBADF", "EEXIST", "EINVAL", "ENFILE", "ENODEV", "EOVERFLOW"),
            *("EPERM", "ETXTBSY"),
        ),
        note="brk reports nothing but the old end of the heap, which the C library makes ENOMEM; "
        "exec ends with SIGSEGV",
    ),
    Kind.FORK: Row(
        "fork, vfork, clone, clone3, and with them new threads",
        (_TASK_ALLOC,),
        ("ENOMEM", "EAGAIN", "EPERM"),
    ),
    Kind.EXEC: Row(
        "execve, execveat, before the old program is gone",
        (_security("bprm_creds_for_exec", Subject.PROGRAM),),
        (
            "ENOMEM",
            *("E2BIG", "EACCES", "EAGAIN", "EFAULT", "EINVAL", "EIO", "EISDIR", "ELIBBAD"),
            *("ELOOP", "EMFILE", "ENAMETOOLONG", "ENFILE", "ENOENT", "ENOEXEC", "ENOTDIR"),
            *("EPERM", "ETXTBSY"),
        ),
    ),
    Kind.SOCKET: Row(
        "socket, socketpair",
        # The kernel makes sockets for itself: its last argument says so.
        (_socket("socket_create", argument=3, bits=1, unless=True),),
        (
            "EMFILE",
            *("EACCES", "EAFNOSUPPORT", "EINVAL", "ENFILE", "ENOBUFS", "ENOMEM"),
            "EPROTONOSUPPORT",
        ),
    ),
    Kind.CONNECT: Row(
        "connect",
        (
            _socket("socket_connect", Subject.DESTINATION),
            _socket("unix_stream_connect", Subject.SERVER, of_unix_peers=True),
        ),
        (
            "ECONNREFUSED",
            *("EACCES", "EADDRINUSE", "EADDRNOTAVAIL", "EAFNOSUPPORT", "EAGAIN", "EALREADY"),
            *("EBADF", "EFAULT", "EINPROGRESS", "EINTR", "EISCONN", "ENETUNREACH", "ENOTSOCK"),
            *("EPERM", "EPROTOTYPE", "ETIMEDOUT"),
        ),
    ),
    Kind.BIND: Row(
        "bind",
        (_socket("socket_bind", Subject.OWN_NAME),),
        (
            "EADDRINUSE",
            *("EADDRNOTAVAIL", "EBADF", "EINVAL", "ENOTSOCK", "EROFS", *_LOOKING_UP),
        ),
    ),
    Kind.ACCEPT: Row(
        "accept, accept4",
        (_socket("socket_accept", Subject.LISTENER),),
        (
            "EMFILE",
            *("EAGAIN", "EBADF", "ECONNABORTED", "EFAULT", "EINTR", "EINVAL", "ENFILE"),
            *("ENOBUFS", "ENOMEM", "ENOTSOCK", "EOPNOTSUPP", "EPERM", "EPROTO"),
        ),
    ),
    Kind.SEND: Row(
        "send, sendto, sendmsg, sendmmsg, and write(2) on sockets",
        (_socket("socket_sendmsg", Subject.MESSAGE),),
        (
            "ECONNRESET",
            *("EACCES", "EAGAIN", "EALREADY", "EBADF", "EDESTADDRREQ", "EFAULT", "EINTR"),
            *("EINVAL", "EISCONN", "EMSGSIZE", "ENOBUFS", "ENOMEM", "ENOTCONN", "ENOTSOCK"),
            *("EOPNOTSUPP", "EPIPE"),
        ),
    ),
    Kind.RECV: Row(
        "recv, recvfrom, recvmsg, recvmmsg, and read(2) on sockets",
        (_socket("socket_recvmsg", Subject.SOCKET),),
        (
            "ECONNRESET",
            *("EAGAIN", "EBADF", "ECONNREFUSED", "EFAULT", "EINTR", "EINVAL", "ENOMEM"),
            *("ENOTCONN", "ENOTSOCK", "ETIMEDOUT"),
        ),
    ),
    Kind.MOUNT: Row(
        "mount, move_mount",
        (
            _security("sb_mount"),
            _security("move_mount"),
        ),
        (
            "ENOMEM",
            *("EACCES", "EBUSY", "EFAULT", "EINVAL", "ELOOP", "EMFILE", "ENAMETOOLONG"),
            *("ENODEV", "ENOENT", "ENOTBLK", "ENOTDIR", "ENXIO", "EPERM", "EROFS"),
        ),
    ),
    Kind.IPC: Row(
        "shmget, semget, msgget of System V, when they make an object",
        _IPC,
        ("ENOSPC", "EACCES", "EEXIST", "EINVAL", "ENFILE", "ENOENT", "ENOMEM", "EPERM"),
    ),
    Kind.SIGNAL: Row(
        "kill, tkill, tgkill, sigqueue",
        (_security("task_kill"),),
        ("EPERM", "EAGAIN", "EINVAL", "ESRCH"),
    ),
    Kind.FSYNC: Row(
        "fsync, fdatasync, sync_file_range, msync",
        tuple(map(_call, ("fsync", "fdatasync", "sync_file_range", "msync"))),
        ("EIO", "EBADF", "EBUSY", "EDQUOT", "EINTR", "EINVAL", "ENOMEM", "ENOSPC", "EROFS"),
    ),
    Kind.CLOSE: Row(
        "close; the descriptor stays open",
        (_call("close"),),
        ("EIO", "EBADF", "EDQUOT", "EINTR", "ENOSPC"),
    ),
    Kind.POLL: Row(
        "poll, ppoll, select, pselect6, epoll_wait, epoll_pwait, epoll_pwait2",
        (
            *map(_call, ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait")),
            _call("epoll_pwait2", optional=True),
        ),
        ("EINTR", "EBADF", "EFAULT", "EINVAL", "ENOMEM"),
    ),
    Kind.IO_URING_ENTER: Row(
        "io_uring_enter",
        (_call("io_uring_enter"),),
        (
            "EAGAIN",
            *("EBADF", "EBADFD", "EBADR", "EBUSY", "EEXIST", "EFAULT", "EINTR", "EINVAL"),
            *("ENXIO", "EOPNOTSUPP"),
        ),
    ),
}
"""Every kind has a row (checked by a test)."""

MAX_HOOKS = max(len(row.hooks) for row in TABLE.values())
"""Most hooks of one fault; the program has room for them (checked by a test)."""

RETRIED = {hook.symbol for kind in (Kind.SLAB, Kind.PAGE) for hook in TABLE[kind].hooks}
"""Hooks whose failure the kernel answers by trying again, where a page fault came to them."""

STAND_INS = {Kind.SLAB: Kind.ALLOCATION, Kind.PAGE: Kind.MEMORY}
"""What is nearest where a kernel lacks a hook: proposed, and never taken unasked."""
