"""A program that makes kernel requests on command and says how they ended.

victim.py is the side that controls it.  It reads commands, one a line, and answers each with a
line of error numbers (0: it worked).  `child` starts a descendant that does the same, and
`childs` passes a command on to it.  No import is heavy: it starts in an
emulated machine.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_SECTOR = 4096
_CLONE_NEWPID = 0x20000000
_DATAGRAMS, _MMSGHDR = 1024, 64
"""UIO_MAXIOV, and sizeof(struct mmsghdr) in bytes."""
_READY = "ready\n"
_SET_TID_ADDRESS = {"x86_64": 218, "aarch64": 96}[platform.machine()]
_MAP_32BIT, _MKDIR_OF_32_BIT = 0x40, 39


def mount(target: Path, device: str = "none", kind: str = "tmpfs") -> int:
    """mount(2) a file system, and take it away again when that worked."""
    if _LIBC.mount(device.encode(), bytes(target), kind.encode(), 0, None) == 0:
        _LIBC.umount(bytes(target))
        return 0
    return ctypes.get_errno()


def mounts(target: Path, times: int, *what: str) -> list[int]:
    """Mount a tmpfs, or what is named by device and type."""
    return [mount(target, *what) for _ in range(times)]


def mounts_in_threads(target: Path, threads: int, times: int) -> list[int]:
    """Mount from several threads at once, each on a directory of its own."""
    ended: list[int] = []

    def hammer(place: Path) -> None:
        place.mkdir(exist_ok=True)
        ended.extend(mounts(place, times))

    running = [
        threading.Thread(target=hammer, args=(target / str(number),)) for number in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return ended


def mounts_beside_pipes(target: Path, times: int) -> list[int]:
    """Mount in one thread while another one writes to pipes; the mounts' answers come first."""
    ended: dict[str, list[int]] = {}
    threads = [
        threading.Thread(target=lambda: ended.update(mounts=mounts(target, times))),
        threading.Thread(target=lambda: ended.update(pipes=pipe_writes(times))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended["mounts"] + ended["pipes"]


def pipe_writes(times: int) -> list[int]:
    """write(2) to a pipe: it allocates a page for the data."""
    ended = []
    for _ in range(times):
        reader, writer = os.pipe()
        ended.append(_errno_of(lambda end=writer: os.write(end, b"x")))
        os.close(reader)
        os.close(writer)
    return ended


def opens(path: Path, times: int) -> list[int]:
    """openat(2)."""
    return [_errno_of(lambda: os.close(os.open(path, os.O_RDONLY))) for _ in range(times)]


def looks(directory: Path, name: str, times: int) -> list[int]:
    """stat(2) of names that the kernel has not seen yet: `name` and something behind it."""
    return [_errno_of((directory / f"{name}{n}").lstat) for n in range(times)]


def sends(size: int, times: int) -> list[int]:
    """write(2) to a Unix socket: a long one has its data in pages, in as few blocks as can be."""
    ours, theirs = socket.socketpair()
    ended = []
    for _ in range(times):
        ended.append(_errno_of(lambda: ours.sendall(bytes(size))))
        left = size
        while left:
            left -= len(theirs.recv(left))
    ours.close()
    theirs.close()
    return ended


def buffered_writes(device: Path, times: int) -> list[int]:
    """write(2) by way of the page cache: each takes a page that is not there yet."""
    disk = os.open(device, os.O_WRONLY)
    try:
        os.posix_fadvise(disk, 0, 0, os.POSIX_FADV_DONTNEED)
        return [
            _errno_of(lambda place=n * _SECTOR: os.pwrite(disk, bytes(_SECTOR), place))
            for n in range(times)
        ]
    finally:
        os.close(disk)


def datagrams(times: int) -> list[int]:
    """send(2) to a port of this host where nobody listens: the kernel answers with ICMP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(5)
        ours.connect(("127.0.0.1", 9))
        ended = []
        for _ in range(times):
            ours.send(b"x")
            ended.append(_errno_of(lambda: ours.recv(1)))
        return ended


def exits(times: int) -> list[int]:
    """exit(2) of threads, for which the kernel clears a word in a page that is not there yet."""
    untouched = mmap.mmap(-1, times * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(untouched))
    for n in range(times):
        word = ctypes.c_void_p(start + n * mmap.PAGESIZE)
        threading.Thread(target=_LIBC.syscall, args=(_SET_TID_ADDRESS, word)).start()
    while sum(1 for _ in Path("/proc/self/task").iterdir()) > 1:
        time.sleep(0.01)
    return [0] * times


def reads_in_a_crowd(threads: int) -> list[int]:
    """pipe(2) by each of many threads that had all been in read(2) at the same time."""
    reader, writer = os.pipe()
    ended: list[int] = []
    waiting: list[int] = []

    def wait_and_make() -> None:
        waiting.append(0)
        os.read(reader, 1)
        ended.append(_errno_of(_make_pipe))

    crowd = [threading.Thread(target=wait_and_make) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    while len(waiting) < threads:
        time.sleep(0.05)
    time.sleep(0.5)  # from the list it is a few steps to the pipe
    os.write(writer, bytes(threads))
    for thread in crowd:
        thread.join()
    os.close(reader)
    os.close(writer)
    return ended


def _make_pipe() -> None:
    for end in os.pipe():
        os.close(end)


def writes_to_nowhere(threads: int, times: int, every: int) -> list[int]:
    """write(2) to /dev/null, and now and then to a pipe; the answers are the pipes'."""
    ended: list[int] = []
    nowhere = os.open("/dev/null", os.O_WRONLY)

    def hammer() -> None:
        for number in range(1, times + 1):
            os.write(nowhere, b"x")
            if number % every == 0:
                ended.extend(pipe_writes(1))

    running = [threading.Thread(target=hammer) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    os.close(nowhere)
    return ended


def lives(times: int) -> list[int]:
    """pipe(2) at the beginning of a process, and exit_group(2) at its end."""
    ended = []
    for _ in range(times):
        child = os.fork()
        if child == 0:
            os._exit(_errno_of(_make_pipe))
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ended


def calls_without_memory(times: int) -> list[int]:
    """getppid(2), for which the kernel allocates nothing."""
    return [0 for _ in range(times) if os.getppid()]


def execs_beside_the_leader(times: int) -> list[int]:
    """execve(2) by a thread that is not its process's leader; a process each."""
    ended = []
    for _ in range(times):
        child = os.fork()
        if child == 0:
            threading.Thread(target=os.execv, args=("/bin/true", ["true"])).start()
            signal.pause()
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return ended


def directories_by_int_0x80(target: Path, times: int) -> list[int]:
    """mkdir(2) as 32-bit programs make it, of x86-64."""
    # push rbx; mov eax, NUMBER; mov ebx, edi; mov ecx, 0700; int 0x80; pop rbx; ret
    code = b"\x53\xb8%b\x89\xfb\xb9\xc0\x01\x00\x00\xcd\x80\x5b\xc3" % (
        _MKDIR_OF_32_BIT.to_bytes(4, "little")
    )
    low = mmap.mmap(
        -1,
        mmap.PAGESIZE,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_32BIT,
        prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
    )
    place = ctypes.addressof(ctypes.c_char.from_buffer(low))
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32)(place)
    ended = []
    for number in range(times):
        directory = target / f"by-32-bit-{number}"
        low[: len(code)] = code
        low[64 : 64 + len(bytes(directory)) + 1] = bytes(directory) + b"\0"
        ended.append(-call(place + 64))
        if directory.is_dir():
            directory.rmdir()
    return ended


def directories(target: Path, times: int) -> list[int]:
    """mkdir(2)."""

    def make_and_remove(directory: Path) -> None:
        directory.mkdir()
        directory.rmdir()

    return [
        _errno_of(lambda name=f"by-64-bit-{n}": make_and_remove(target / name))
        for n in range(times)
    ]


def out_of_memory() -> list[int]:
    """Be killed for want of memory in the middle of a sendmmsg(2) that has a lot to do yet."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        Path("/proc/self/oom_score_adj").write_text("1000")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", 0))
            ours.connect(ours.getsockname())
            os.write(writer, b"x")
            empty = bytes(_DATAGRAMS * _MMSGHDR)
            while True:
                _LIBC.sendmmsg(ours.fileno(), empty, _DATAGRAMS, 0)
    os.read(reader, 1)
    time.sleep(0.5)
    Path("/proc/sysrq-trigger").write_text("f")
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reader)
    os.close(writer)
    return [-ended]


def process_namespaces(depth: int) -> list[int]:
    """unshare(2): the first pid namespace of each depth has a slab cache made for it."""
    child = os.fork()
    if child == 0:
        if _LIBC.unshare(_CLONE_NEWPID):
            os._exit(ctypes.get_errno())
        os._exit(process_namespaces(depth - 1)[0] if depth > 1 else 0)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def direct_reads(device: Path, times: int, offset: int = 0) -> list[int]:
    """read(2) around the page cache: each is a bio."""
    buffer = mmap.mmap(-1, _SECTOR)
    disk = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        return [_errno_of(lambda: os.preadv(disk, [buffer], offset)) for _ in range(times)]
    finally:
        os.close(disk)


def _errno_of(request: object) -> int:
    assert callable(request)
    try:
        request()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


_REQUESTS: dict[str, Callable[..., list[int]]] = {
    "mount": lambda target, times: mounts(target, int(times)),
    "threads": lambda target, threads, times: mounts_in_threads(target, int(threads), int(times)),
    "beside": lambda target, times: mounts_beside_pipes(target, int(times)),
    "forked": lambda target, times: _in_fork(target, int(times)),
    "mountfs": lambda target, device, kind, times: mounts(target, int(times), device, kind),
    "pipe": lambda _, times: pipe_writes(int(times)),
    "open": lambda _, path, times: opens(Path(path), int(times)),
    "look": lambda _, directory, name, times: looks(Path(directory), name, int(times)),
    "send": lambda _, size, times: sends(int(size), int(times)),
    "write": lambda _, device, times: buffered_writes(Path(device), int(times)),
    "datagram": lambda _, times: datagrams(int(times)),
    "crowd": lambda _, threads: reads_in_a_crowd(int(threads)),
    "hot": lambda _, *numbers: writes_to_nowhere(*map(int, numbers)),
    "lives": lambda _, times: lives(int(times)),
    "getppid": lambda _, times: calls_without_memory(int(times)),
    "exec": lambda _, times: execs_beside_the_leader(int(times)),
    "mkdir": lambda target, times: directories(target, int(times)),
    "mkdir32": lambda target, times: directories_by_int_0x80(target, int(times)),
    "oom": lambda _: out_of_memory(),
    "nest": lambda _, depth: process_namespaces(int(depth)),
    "exit": lambda _, times: exits(int(times)),
    "read": lambda _, device, *numbers: direct_reads(Path(device), *map(int, numbers)),
}
"""What it does on command; the first argument is the directory that it may mount on."""


def _serve(target: Path) -> None:
    child: subprocess.Popen[str] | None = None
    print(_READY, end="", flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "child":
            child = _descendant(target)
            answer = [child.pid]
        elif command == "childs":
            assert child and child.stdin and child.stdout
            child.stdin.write(" ".join(words) + "\n")
            child.stdin.flush()
            answer = [int(number) for number in child.stdout.readline().split()]
        else:
            answer = _REQUESTS[command](target, *words)
        print(*answer, flush=True)
    if child is not None:
        child.communicate()


def _descendant(target: Path) -> subprocess.Popen[str]:
    """Start one that does the same."""
    child = subprocess.Popen(
        [sys.executable, "-S", "-E", __file__, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout and child.stdout.readline() == _READY
    return child


def _in_fork(target: Path, times: int) -> list[int]:
    """Mount in a child that was forked just now, and in its child too."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.write(writer, " ".join(map(str, mounts(target, times))).encode())
        else:
            os.wait()
        os._exit(0)
    os.wait()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return [int(number) for number in pipe.read().split()]


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
