"""Processes of the host, from /proc: who descends from whom, and who must not be hit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.scope import Scope

_PROC = Path("/proc")
_PF_KTHREAD = 0x00200000
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the first pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h)."""
_PID_FILE_LENGTH = 64
"""Characters of a file that are read: a process id has up to seven."""


class Process(NamedTuple):
    """One process at one moment.

    :param started: clock ticks after boot; with the pid it names one process for good.
    """

    pid: int
    parent: int
    started: int
    command: str
    kernel_thread: bool


def snapshot(proc: Path = _PROC) -> dict[int, Process]:
    """Return the processes that run now, by pid."""
    found: dict[int, Process] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit() and (process := _read(entry)):
            found[process.pid] = process
    return found


def require_kernels_ids(namespace: Path = _PROC / "self/ns/pid") -> None:
    """Check that process ids here are those that the kernel's programs see.

    :raises UnsupportedKernel: this process lives in a pid namespace of its own, where
        the same numbers name other processes.
    """
    if namespace.stat().st_ino != _INITIAL_PID_NAMESPACE:
        raise UnsupportedKernel(
            "process ids of this pid namespace are not the kernel's",
            needs="run it in the host's (docker run --pid=host, or hostPID: true)",
        )


def with_descendants(roots: Iterable[int], processes: dict[int, Process]) -> set[int]:
    """Return those of the roots that run, and every process that descends from one."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in processes]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def own_line(processes: dict[int, Process]) -> set[int]:
    """Return this process and its ancestors: they are never in scope."""
    line: set[int] = set()
    pid = os.getpid()
    while pid in processes and pid not in line:
        line.add(pid)
        pid = processes[pid].parent
    return line


def roots_of(scope: Scope, processes: dict[int, Process]) -> list[Process]:
    """Return the processes that a scope names, in its order.

    :raises InvalidFault: one does not run, is a kernel thread, or is the agent
        or an ancestor of it.
    """
    named = [("pids", pid) for pid in scope.pids]
    named += [("pid_files", read_pid_file(path)) for path in scope.pid_files]
    exempt = own_line(processes)
    return [_root(key, pid, processes, exempt) for key, pid in named]


def read_pid_file(path: str) -> int:
    """Return the process id that a file holds.

    :raises InvalidFault: the file cannot be read or holds something else.
    """
    place = Path(path)
    try:
        if place.exists() and not place.is_file():  # a device may never end, a fifo never begin
            raise InvalidFault(
                "pid_files", path, "a regular file", hint="name one with a process id"
            )
        with place.open(encoding="ascii", errors="replace") as file:
            text = file.read(_PID_FILE_LENGTH).strip()
    except OSError as error:
        raise InvalidFault(
            "pid_files", path, f"a readable file ({error.strerror})", hint="is the process running?"
        ) from error
    if not re.fullmatch("[0-9]+", text):
        raise InvalidFault("pid_files", path, f"a file that holds a process id but {text[:20]!r}")
    return int(text)


def _root(key: str, pid: int, processes: dict[int, Process], exempt: set[int]) -> Process:
    process = processes.get(pid)
    if process is None:
        raise InvalidFault(key, pid, "a running process", hint="ps -e shows those that run")
    if process.kernel_thread:
        raise InvalidFault(
            key, pid, f"a process but the kernel thread {process.command}", hint="name a process"
        )
    if pid in exempt:
        raise InvalidFault(
            key,
            pid,
            f"allowed: {process.command} started the experiment",
            hint="name the process under test itself",
        )
    return process


def _read(entry: Path) -> Process | None:
    try:
        text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None  # it ended in the meantime
    # The command stands in parentheses and may hold any character: see proc(5).
    command, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(
        pid=int(entry.name),
        parent=int(fields[1]),
        started=int(fields[19]),
        command=command,
        kernel_thread=bool(int(fields[6]) & _PF_KTHREAD),
    )
