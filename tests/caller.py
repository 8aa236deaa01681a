"""A process of its own that makes one system call on command and says how it ended.

Each call is named for what a user would say: `write`, `mkdir`, `fork`.  They act on a
directory that holds one file, and on sockets of the process's own.  Run as a program it reads
names, one a line, and answers each with an error number (0: it worked).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_IO_URING_ENTER = 426
_ENDED_BY_SIGNAL = 1000
"""Added to the number of a signal that has ended a child."""


class Caller:
    """The controlling side: starts the process, has it call, ends it.

    :param directory: where its file is; made when it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __enter__(self) -> Caller:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout and self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def calls(self, name: str) -> int:
        """Have it make a call; return the error number that it got."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(name + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


class Calls:
    """What the process can do; every method is a call by its name."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "file"
        self._file.write_bytes(b"x" * 4096)
        self._descriptor = os.open(self._file, os.O_RDWR)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind("")
        self._listening.listen(64)
        self._listening.setblocking(False)
        self._one, self._other = socket.socketpair()
        self._gone = directory / "gone"
        self._tree = directory / "tree"
        self._target = directory / "target"
        self._target.mkdir(exist_ok=True)
        self._queue = _LIBC.msgget(0, 0o600)

    def prepare(self, name: str) -> None:
        """Make what a call takes away, and take away what it makes."""
        with contextlib.suppress(OSError):
            self._gone.unlink()
        with contextlib.suppress(OSError):
            self._tree.rmdir()
        if name in ("unlink", "rename"):
            self._gone.write_bytes(b"x")
        if name == "rmdir":
            self._tree.mkdir(exist_ok=True)
        if name == "accept":
            self.connect()

    def mmap(self) -> None:
        mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()

    def mmap_file(self) -> None:
        mmap.mmap(self._descriptor, 4096).close()

    def pipe(self) -> None:
        for end in os.pipe():
            os.close(end)

    def memfd(self) -> None:
        os.close(os.memfd_create("x"))

    def read(self) -> None:
        os.pread(self._descriptor, 1, 0)

    def write(self) -> None:
        os.pwrite(self._descriptor, b"x", 0)

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
        os.link(self._file, self._gone)

    def unlink(self) -> None:
        self._gone.unlink()

    def rmdir(self) -> None:
        self._tree.rmdir()

    def rename(self) -> None:
        self._gone.rename(self._directory / "renamed")

    def truncate(self) -> None:
        os.truncate(self._file, 4096)

    def ftruncate(self) -> None:
        os.ftruncate(self._descriptor, 4096)

    def stat(self) -> None:
        self._file.stat()

    def flock(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def fork(self) -> None:
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

    def thread(self) -> None:
        try:
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
        except RuntimeError:  # Python's word for what pthread_create returns
            raise BlockingIOError(11, "no thread") from None

    def exec(self) -> None:
        """execve(2), in a child that tells the error by its exit status."""
        child = os.fork()
        if not child:
            try:
                os.execv("/bin/true", ["true"])
            except OSError as error:
                os._exit(error.errno or 255)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            raise OSError(_ENDED_BY_SIGNAL + os.WTERMSIG(status), "ended by a signal")
        if code := os.waitstatus_to_exitcode(status):
            raise OSError(code, os.strerror(code))

    def socket(self) -> None:
        socket.socket().close()

    def socketpair(self) -> None:
        for end in socket.socketpair():
            end.close()

    def connect(self) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(self._listening.getsockname())

    def bind(self) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("")

    def accept(self) -> None:
        self._listening.accept()[0].close()

    def send(self) -> None:
        self._one.send(b"x")

    def recv(self) -> None:
        self._one.send(b"x")
        self._other.recv(1, socket.MSG_DONTWAIT)

    def mount(self) -> None:
        _checked(_LIBC.mount(b"none", bytes(self._target), b"tmpfs", 0, None))
        _LIBC.umount(bytes(self._target))

    def shmget(self) -> None:
        _LIBC.shmctl(_checked(_LIBC.shmget(0, 4096, 0o600)), 0, None)

    def semget(self) -> None:
        _LIBC.semctl(_checked(_LIBC.semget(0, 1, 0o600)), 0, 0)

    def msgget(self) -> None:
        _LIBC.msgctl(_checked(_LIBC.msgget(0, 0o600)), 0, None)

    def kill(self) -> None:
        os.kill(os.getpid(), 0)

    def fsync(self) -> None:
        os.fsync(self._descriptor)

    def fdatasync(self) -> None:
        os.fdatasync(self._descriptor)

    def msync(self) -> None:
        with mmap.mmap(self._descriptor, 4096) as mapped:
            mapped.flush()

    def close(self) -> None:
        os.close(os.dup(self._descriptor))

    def poll(self) -> None:
        select.poll().poll(0)

    def epoll_wait(self) -> None:
        with select.epoll() as waiting:
            waiting.poll(0)

    def io_uring_enter(self) -> None:
        _checked(_LIBC.syscall(_IO_URING_ENTER, -1, 0, 0, 0, None, 0))

    def setgroups(self) -> None:
        os.setgroups(os.getgroups())


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _ended(call: Callable[[], Any]) -> int:
    try:
        call()
    except OSError as error:
        return error.errno or -1
    return 0


def _serve(directory: Path) -> None:
    calls = Calls(directory)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    print("ready", flush=True)
    for line in sys.stdin:
        name = line.strip()
        calls.prepare(name)
        print(_ended(getattr(calls, name)), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
