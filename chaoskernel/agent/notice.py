"""What an armed agent posts about its fault, for other processes of the host to read.

The notice is a memfd that the agent keeps open: it is found through /proc/PID/fd, and goes
with the process however that ends.  There is no file that could be stale or left behind.

Anybody can make such a memfd, and can hand it to others: a setuid program inherits it, a daemon
takes it from a socket.  Who reads it is root, and signals whom it finds.  So a notice counts only
as far as its holder could not have come by it without being an agent: see `_read`.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from chaoskernel.agent.message import NotAMessage, read_message
from chaoskernel.kernel import procdir, processes
from chaoskernel.kernel.procdir import ProcessDirectory
from chaoskernel.kernel.processes import Process

COMMAND = "chaoskernel-agt"
"""What an agent calls itself while its fault is in force: no other process can do that to it."""

_NAME = "chaoskernel-fault"
_LINK = f"/memfd:{_NAME} (deleted)"
_OWN_COMMAND = Path("/proc/self/comm")
_MAX_BYTES = 2**20
"""Of a notice: targets that it has no room for are left out."""
_MAX_EACH = 8
"""Notices that are looked at of one process: an agent has one."""
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Notice(NamedTuple):
    """One fault that is in force.

    :param pid: the agent.
    :param started: clock ticks after boot; with the pid it names one process for good.
    :param owner: who started the agent, and its command.
    :param message: the agent's `armed` message.
    """

    pid: int
    started: int
    owner: Mapping[str, Any]
    message: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The fault's name."""
        return str(self.message.get("name", ""))


class Doubt(NamedTuple):
    """A notice that is not believed.

    :param pid: the process that holds it.
    :param command: its name, which is text of others.
    :param why: in one clause.
    """

    pid: int
    command: str
    why: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command}) has a notice that is not believed: {self.why}"


class _Doubtful(Exception):
    """A notice is not believed; its text says why."""


@contextlib.contextmanager
def posted(message: Mapping[str, Any]) -> Iterator[None]:
    """Post a message for as long as the context lasts."""
    content = _content(message)
    with _called(COMMAND):
        descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            yield
        finally:
            os.close(descriptor)


def survey() -> tuple[list[Notice], list[Doubt]]:
    """Return the notices of all agents, the oldest fault first, and those that are not believed.

    Processes of other users stay closed to an ordinary user.
    """
    running = processes.snapshot()
    found, doubted = [], []
    for pid in running:
        looked = _look(pid, running)
        if isinstance(looked, Notice):
            found.append(looked)
        elif looked:
            doubted.append(looked)
    return sorted(found, key=lambda notice: str(notice.message.get("armed_at", ""))), doubted


def notices() -> list[Notice]:
    """Return the notices of all agents, the oldest fault first."""
    return survey()[0]


def is_posted(notice: Notice) -> bool:
    """Tell whether an agent has its notice posted still, by looking at that process anew."""
    looked = _look(notice.pid, {})
    return isinstance(looked, Notice) and (looked.started, looked.message) == (
        notice.started,
        notice.message,
    )


def _content(message: Mapping[str, Any]) -> bytes:
    own = processes.parsed(os.getpid(), Path("/proc/self/stat").read_text(encoding="utf-8"))
    assert own, "this process runs"
    while True:
        said = {"pid": own.pid, "started": own.started, "message": message}
        content = json.dumps(said).encode()
        targets = message.get("targets", ())
        if len(content) <= _MAX_BYTES or not targets:
            return content
        message = {**message, "targets": targets[: len(targets) // 2]}


@contextlib.contextmanager
def _called(command: str) -> Iterator[None]:
    """Have this process go by another name, as ps(1) shows it."""
    before = _OWN_COMMAND.read_bytes()
    _OWN_COMMAND.write_bytes(command.encode())
    try:
        yield
    finally:
        _OWN_COMMAND.write_bytes(before.removesuffix(b"\n"))


def _look(pid: int, running: Mapping[int, Process]) -> Notice | Doubt | None:
    """Return the notice of a process, why its is not believed, or nothing where it has none."""
    doubt = None
    # It may end at any moment, and may be somebody else's.
    with contextlib.suppress(OSError), procdir.opened(pid) as directory:
        if directory.owner() not in (0, os.geteuid()):
            return None
        held = [each.number for each in directory.descriptors() if each.link == _LINK]
        # A thread of the kernel's has no open files; who has some, has a command.
        process = processes.parsed(pid, directory.stat()) if held else None
        for number in held[:_MAX_EACH] if process else ():
            assert process
            try:
                message = _read(directory, process, number)
            except (FileNotFoundError, ProcessLookupError):
                continue  # it was taken down
            except _Doubtful as why:
                doubt = doubt or Doubt(pid, process.command, str(why))
                continue
            except OSError as error:
                doubt = doubt or Doubt(pid, process.command, f"{error.strerror}")
                continue
            owner = running.get(process.parent)
            by = {"pid": process.parent, "command": owner.command if owner else ""}
            return Notice(pid, process.started, by, message)
    return doubt


def _read(directory: ProcessDirectory, process: Process, number: int) -> dict[str, Any]:
    """Return the message of an agent's notice.

    The process is looked at first, then the file, and only then the content: it is root's or the
    caller's own in every respect, is not in a container, calls itself an agent, and has made
    this notice of itself; the file is a sealed memfd of the same user; and the BPF programs in it
    are the process's own, of which nobody can get hold who may not load any.

    :raises _Doubtful: it is no agent's.
    :raises OSError: it was taken down, or may not be read.
    """
    users = directory.users()
    if len(users) != 1 or not users <= {0, os.geteuid()}:
        raise _Doubtful("its process does not run as root, or as you, alone")
    for kind in ("pid", "user"):
        if not directory.shares_namespace(kind):
            raise _Doubtful(f"its process is in another {kind} namespace")
    if process.command != COMMAND:
        raise _Doubtful("its process is no agent")
    if directory.info(number, "mnt_id") != _mount_of_memfds():
        raise _Doubtful("it is no memfd")
    content = _content_of(directory.refer(number), *users)
    try:
        pid, started, message = read_message(content)
    except NotAMessage as why:
        raise _Doubtful(str(why)) from None
    if (pid, started) != (process.pid, process.started):
        raise _Doubtful("it is another process's")
    if not set(message.get("programs", ())) <= directory.programs():
        raise _Doubtful("its process does not hold the programs that it names")
    return message


def _content_of(reference: int, owner: int) -> bytes:
    """Return the content of a notice, and close the descriptor that refers to it (O_PATH).

    :raises _Doubtful: it is not a user's, not sealed, or too long.
    """
    try:
        about = os.fstat(reference)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != owner:
            raise _Doubtful(f"it belongs to user {about.st_uid}")
        file = os.open(f"/proc/self/fd/{reference}", os.O_RDONLY | os.O_NONBLOCK)
    finally:
        os.close(reference)
    try:
        if fcntl.fcntl(file, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise _Doubtful("it is not sealed; an agent of version 0.1.0 does not seal its own")
        size = os.fstat(file).st_size
        if size > _MAX_BYTES:
            raise _Doubtful(f"it has {size} bytes, and {_MAX_BYTES} is the most")
        return os.pread(file, size, 0)
    finally:
        os.close(file)


@functools.cache
def _mount_of_memfds() -> int:
    """Return the id of the mount that memfds lie on: the kernel's own, which no path leads to."""
    own = os.memfd_create("look")
    try:
        with procdir.opened(os.getpid()) as directory:
            return directory.info(own, "mnt_id")
    finally:
        os.close(own)
