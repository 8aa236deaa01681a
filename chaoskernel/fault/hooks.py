"""The one table of what can be made to fail: kinds of fault, their hooks, and their errors.

A kind is what a user names.  Its hooks are the kernel functions that its program is attached
to: the allocators' and the block layer's own hooks (error injection), the security hooks that
every kernel with CONFIG_SECURITY calls (`security_*`, which BPF may modify since 5.7:
check_attach_modify_return() in kernel/bpf/verifier.c), and the entries of system calls.
How a hook is provoked, and what its arguments say, is the target's half: engine/hooks.py.

Standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import re


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


class Subject(enum.StrEnum):
    """What of a hook's arguments says where it is called for, by its type in the kernel."""

    NONE = ""
    FILE = "struct file"
    PATH = "struct path"
    DENTRY = "struct dentry"
    PROGRAM = "struct linux_binprm"
    DESTINATION = "struct sockaddr"  # of connect
    MESSAGE = "struct msghdr"  # its destination, or that of its socket
    SOCKET = "struct socket"  # its other end
    SERVER = "struct sock"  # the second: who is connected to
    OWN_NAME = "struct sockaddr, own"
    LISTENER = "struct socket, own"

    @property
    def type(self) -> str:
        """The type in the kernel's words."""
        return self.value.partition(",")[0]

    @property
    def is_file(self) -> bool:
        """Tell whether `paths` are compared with it."""
        return self in (Subject.FILE, Subject.PATH, Subject.DENTRY, Subject.PROGRAM)

    @property
    def is_socket(self) -> bool:
        """Tell whether `peers` are compared with it."""
        return self is not Subject.NONE and not self.is_file


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """A function of the kernel that can be made to fail.

    :param symbol: its name, or a system call's portable one (sys_fsync).
    :param parameters: in C, where a predicate may be asked of them; empty where it may not:
        what an allocation hook is given is not initialised yet.
    :param value: what it returns to fail, in C; empty is the fault's error number.
    :param subject: what `paths` or `peers` are compared with.
    :param argument: the place of a mask among its arguments; with `bits`, calls whose mask has
        none of them are another request's.
    :param bits: of that mask.
    :param last: of several arguments of the subject's type the last one alone says where: a
        link is made there, whatever it leads to.
    :param unless: calls whose mask has one of `bits` are the other request's.
    :param option: of the kernel's configuration, without which it is not there or never called.
    :param optional: a kernel may lack it, and the kind is whole without it.
    :param of_unix_peers: taken where a peer is a Unix socket, and only then.
    """

    symbol: str
    parameters: str = ""
    value: str = ""
    subject: Subject = Subject.NONE
    argument: int = 0
    bits: int = 0
    last: bool = False
    option: str = "CONFIG_SECURITY"
    optional: bool = False
    unless: bool = False
    of_unix_peers: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One kind of fault.

    :param fails: what a program sees fail, in its words.
    :param hooks: all of them are armed, or none is.
    :param errors: those that the manual pages of its system calls document, the usual one first;
        empty where the fault has one error of its own.
    :param failtype: of KernelChaos.
    :param inject_py: its mode of BCC's inject.py.
    :param needs_place: it would hit standard streams and the like: where has to be said.
    :param note: what programs get where it is not the fault's error.
    """

    fails: str
    hooks: tuple[Hook, ...]
    errors: tuple[str, ...] = ()
    failtype: int | None = None
    inject_py: str = ""
    needs_place: bool = False
    note: str = ""

    @property
    def error(self) -> int:
        """The error number that is usual; 0 where the fault has one of its own."""
        return int(getattr(errno, self.errors[0])) if self.errors else 0

    @property
    def needs_core(self) -> bool:
        """Tell whether only the engine core knows how."""
        return bool(self.errors)

    @property
    def takes_predicate(self) -> bool:
        """Tell whether a predicate can be asked of its one hook's arguments."""
        return len(self.hooks) == 1 and bool(self.hooks[0].parameters)

    @property
    def takes_paths(self) -> bool:
        """Tell whether every hook knows which file it is called for."""
        return bool(self.hooks) and all(hook.subject.is_file for hook in self.hooks)

    @property
    def takes_peers(self) -> bool:
        """Tell whether every hook knows which peer it is called for."""
        return bool(self.hooks) and all(hook.subject.is_socket for hook in self.hooks)


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

STAND_INS = {Kind.SLAB: Kind.ALLOCATION, Kind.PAGE: Kind.MEMORY}
"""What is nearest where a kernel lacks a hook: proposed, and never taken unasked."""

_OF_THE_INJECTOR = "the injector itself lives by it"
_UNREAD = "nobody reads what it returns"
_TOO_LATE = "the call has taken effect by then, and its failure would leave something behind"
_OF_OTHERS = (
    "it runs on behalf of whoever is on the CPU, not of the task in scope (system_wide: true takes "
    "them all)"
)

_REFUSED = (
    (r"bpf(_\w+)?|capable|locked_down|perf_event_\w+|ptrace_\w+", _OF_THE_INJECTOR),
    (r"\w+_(free|release)(_\w+)?|release_secctx|free_mnt_opts", _UNREAD),
    (r"\w+_committ\w+", _UNREAD),
    (r"\w+_post_\w+|d_instantiate|sb_umount", _TOO_LATE),
)
"""Names after `security_` of functions that nobody fails."""

_IN_INTERRUPTS = (
    r"sock_rcv_skb|inet_(conn_request|conn_established|csk_clone)|sk_(clone|getsecid|classify_flow)|"
    r"sock_graft|req_classify_flow|skb_classify_flow|sctp_(assoc_\w+|sk_clone)|mptcp_add_subflow|"
    r"xfrm_(decode_session|policy_lookup|state_pol_flow_match)|file_send_sigiotask"
)


def why_refused(symbol: str, *, system_wide: bool = False) -> str:
    """Return why a function is never failed, whoever asks; empty where it may be.

    :param system_wide: whether the scope is the whole host, whoever is on the CPU.
    """
    prefix, _, name = symbol.partition("security_")
    if prefix or not name:
        return ""
    if re.fullmatch(_IN_INTERRUPTS, name) and not system_wide:
        return _OF_OTHERS
    return next((why for names, why in _REFUSED if re.fullmatch(names, name)), "")


def takes_uninitialised(symbol: str) -> bool:
    """Tell whether a function is given an object that the kernel has not filled in yet."""
    return bool(re.fullmatch(r"security_(\w+_alloc(_\w+)?|prepare_creds)", symbol))
