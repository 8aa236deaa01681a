"""A program that makes one system call on command and says how it ended.

Each call is named for what a user would say: `write`, `mkdir`, `fork`.  Those about files act
on one that is told, and on entries beside it.  What a call needs, or makes, is prepared and
taken away by the controlling side (caller.py), which no fault is meant to hit.  It reads calls,
one a line, and answers each with an error number (0: it worked).
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import fcntl
import json
import mmap
import os
import select
import signal
import socket
import sys
import threading
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.sbrk.restype = ctypes.c_ssize_t
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, *[ctypes.c_size_t] * 5]
_LIBC.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_IO_URING_ENTER = 426
ENDED_BY_SIGNAL = 1000
"""Added to the number of a signal that has ended a child."""

_IPC_NOWAIT = 0o4000
_SPARE = 400
_EACH_BRK = 1 << 20
_THREAD_SECONDS = 10.0


def name_of(pid: int, of: str) -> str:
    """Return an address of a process's, which no file system has."""
    return f"\0caller-{pid}-{of}"


class Calls:
    """What the process can do; every public method but `make` is a call by its name."""

    def __init__(self, file: Path) -> None:
        self._descriptors: dict[Path, int] = {}
        self._set(file, file.with_name("other"))
        self._opened()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(name_of(os.getpid(), "listening"))
        self._listening.listen(_SPARE)
        self._listening.setblocking(False)
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inbox.bind(name_of(os.getpid(), "inbox"))
        self._one, self._read_by_nobody = socket.socketpair()
        self._spare = [socket.socket(socket.AF_UNIX) for _ in range(_SPARE)]
        self._queue = _LIBC.msgget(0, 0o600)
        self._page = _checked(
            _LIBC.mmap(
                None,
                _SPARE * mmap.PAGESIZE,
                mmap.PROT_READ,
                mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                2**64 - 1,
                0,
            )
        )

    def make(self, name: str, file: Path, other: Path) -> int:
        """Make a call; return its error number."""
        self._set(file, other)
        try:
            getattr(self, name)()
        except MemoryError:  # Python's word for what malloc returns
            return errno.ENOMEM
        except OSError as error:
            return error.errno or -1
        return 0

    def _set(self, file: Path, other: Path) -> None:
        self._file, self._other = file, other
        self._gone, self._tree = file.with_name("gone"), file.with_name("tree")

    def _opened(self) -> int:
        if self._file not in self._descriptors:
            self._descriptors[self._file] = os.open(self._file, os.O_RDWR)
        return self._descriptors[self._file]

    def mmap(self) -> None:
        mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()

    def brk(self) -> None:
        _checked(_LIBC.sbrk(_EACH_BRK))

    def mprotect(self) -> None:
        """Make one more page writable: memory is set aside for it then."""
        _checked(_LIBC.mprotect(self._page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE))
        self._page += mmap.PAGESIZE

    def mmap_file(self) -> None:
        mmap.mmap(self._opened(), 4096).close()

    def pipe(self) -> None:
        for end in os.pipe():
            os.close(end)

    def memfd(self) -> None:
        os.close(os.memfd_create("x"))

    def eventfd(self) -> None:
        os.close(os.eventfd(0))

    def inotify(self) -> None:
        os.close(_checked(_LIBC.inotify_init()))

    def read(self) -> None:
        os.pread(self._opened(), 1, 0)

    def readdir(self) -> None:
        """Open a directory and read it."""
        list(self._file.parent.iterdir())

    def write(self) -> None:
        os.pwrite(self._opened(), b"x", 0)

    def writev(self) -> None:
        """Write at the file's own offset, by another system call."""
        os.lseek(self._opened(), 0, os.SEEK_SET)
        os.writev(self._opened(), [b"x"])

    def fallocate(self) -> None:
        os.posix_fallocate(self._opened(), 0, 4096)

    def open(self) -> None:
        os.close(os.open(self._file, os.O_RDONLY))

    def create(self) -> None:
        os.close(os.open(self._gone, os.O_CREAT | os.O_WRONLY, 0o600))

    def mkdir(self) -> None:
        self._tree.mkdir()

    def mknod(self) -> None:
        os.mkfifo(self._gone)

    def symlink(self) -> None:
        self._gone.symlink_to("file")

    def link(self) -> None:
        os.link(self._file, self._other)

    def unlink(self) -> None:
        self._gone.unlink()

    def rmdir(self) -> None:
        self._tree.rmdir()

    def rename(self) -> None:
        self._gone.rename(self._other)

    def truncate(self) -> None:
        os.truncate(self._file, 4096)

    def ftruncate(self) -> None:
        os.ftruncate(self._opened(), 4096)

    def stat(self) -> None:
        self._file.stat()

    def fstat(self) -> None:
        os.fstat(self._opened())

    def flock(self) -> None:
        fcntl.flock(self._opened(), fcntl.LOCK_SH)

    def setlk(self) -> None:
        """fcntl(2) with F_SETLK."""
        fcntl.lockf(self._opened(), fcntl.LOCK_SH | fcntl.LOCK_NB)

    def fork(self) -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

    def thread(self) -> None:
        """Start one, and wait until it has run: it may die for want of memory before."""
        running = threading.Lock()
        running.acquire()
        try:
            _thread.start_new_thread(running.release, ())
        except RuntimeError:  # Python's word for what pthread_create returns
            raise BlockingIOError(errno.EAGAIN, "no thread") from None
        if not running.acquire(timeout=_THREAD_SECONDS):
            raise MemoryError

    def exec(self) -> None:
        """Fork, and execve(2) there."""
        _execute(Path("/bin/true"))

    def exec_here(self) -> None:
        """The same of a program that lies beside the file."""
        _execute(self._file.with_name("program"))

    def socket(self) -> None:
        socket.socket().close()

    def socketpair(self) -> None:
        for end in socket.socketpair():
            end.close()

    def connect(self) -> None:
        with self._spare.pop() as one:
            one.connect(name_of(os.getpid(), "listening"))

    def bind(self) -> None:
        with self._spare.pop() as one:
            one.bind("")

    def accept(self) -> None:
        self._listening.accept()[0].close()

    def send(self) -> None:
        self._one.send(b"x")

    def recv(self) -> None:
        self._inbox.recv(1, socket.MSG_DONTWAIT)

    def mount(self) -> None:
        target = bytes(self._file.with_name("target"))
        _checked(_LIBC.mount(b"none", target, b"tmpfs", 0, None))
        _LIBC.umount(target)

    def shmget(self) -> None:
        _LIBC.shmctl(_checked(_LIBC.shmget(0, 4096, 0o600)), 0, None)

    def semget(self) -> None:
        _LIBC.semctl(_checked(_LIBC.semget(0, 1, 0o600)), 0, 0)

    def msgget(self) -> None:
        _LIBC.msgctl(_checked(_LIBC.msgget(0, 0o600)), 0, None)

    def msgsnd(self) -> None:
        message = (ctypes.c_long * 2)(1, 0)
        _checked(_LIBC.msgsnd(self._queue, message, 1, _IPC_NOWAIT))
        _LIBC.msgrcv(self._queue, message, 1, 0, _IPC_NOWAIT)

    def kill(self) -> None:
        os.kill(os.getpid(), 0)

    def fsync(self) -> None:
        os.fsync(self._opened())

    def fdatasync(self) -> None:
        os.fdatasync(self._opened())

    def msync(self) -> None:
        with mmap.mmap(self._opened(), 4096) as mapped:
            mapped.flush()

    def close(self) -> None:
        os.close(os.dup(self._opened()))

    def poll(self) -> None:
        select.poll().poll(0)

    def epoll_wait(self) -> None:
        with select.epoll() as waiting:
            waiting.poll(0)

    def io_uring_enter(self) -> None:
        """Enter a ring that is none: EBADF is how it ends where nothing fails."""
        if _LIBC.syscall(_IO_URING_ENTER, -1, 0, 0, 0, None, 0) and (
            ctypes.get_errno() != errno.EBADF
        ):
            _checked(-1)

    def setgroups(self) -> None:
        os.setgroups(os.getgroups())

    def setgid(self) -> None:
        os.setgid(os.getgid())


NAMES = tuple(name for name in vars(Calls) if name != "make" and not name.startswith("_"))
"""Every call that a caller can make."""


def _execute(program: Path) -> None:
    """Execute a program in a child that tells the error by its exit status."""
    child = os.fork()
    if not child:
        try:
            os.execv(program, ["true"])
        except OSError as error:
            os._exit(error.errno or 255)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        raise OSError(ENDED_BY_SIGNAL + os.WTERMSIG(status), "ended by a signal")
    if code := os.waitstatus_to_exitcode(status):
        raise OSError(code, os.strerror(code))


def _checked(result: int) -> int:
    if result in (-1, 2**64 - 1):  # MAP_FAILED is the latter
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def serve(file: Path) -> None:
    """Make the calls that standard input names; a file is where this process sees it."""
    calls = Calls(file)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        name, at, other = json.loads(line)
        print(calls.make(name, Path(at), Path(other)), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
