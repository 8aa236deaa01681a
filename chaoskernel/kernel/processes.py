"""Processes of the host, from /proc: who descends from whom, and who must not be hit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from chaoskernel.errors import InvalidFault, NotPermitted, UnsupportedKernel
from chaoskernel.fault.scope import Scope
from chaoskernel.kernel import pidfile

_PROC = Path("/proc")
_LOOKS = 5
_PF_KTHREAD = 0x00200000
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the first pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h)."""
_STAT_BYTES = 4096
"""Of one read: more than `stat` has, which is 52 numbers and a command."""

_FIELDS = 20
"""Fields of `stat` behind the command, up to the start time."""


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
    for name in os.listdir(proc):  # noqa: PTH208 - see _read
        if name.isdigit() and (process := _read(f"{proc}/{name}/stat", int(name))):
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


def own_line(processes: dict[int, Process], proc: Path = _PROC) -> set[int]:
    """Return this process and its ancestors: they are never in scope.

    :raises NotPermitted: /proc hides one of them (hidepid), so that nobody knows the others.
    """
    line = _line(processes.get)
    for _ in range(_LOOKS):  # an ancestor may have ended since, and its child have another
        if line is not None:
            return line
        line = _line(lambda pid: _read(f"{proc}/{pid}/stat", pid))
    if line is not None:
        return line
    raise NotPermitted(
        "/proc hides processes that started this one, and they must not be hit",
        hint="run it as root with CAP_SYS_PTRACE, or mount -o remount,hidepid=0 /proc",
    )


def _line(look: Callable[[int], Process | None]) -> set[int] | None:
    """Return this process and its ancestors; None when one that there has to be is not found."""
    line: set[int] = set()
    pid = os.getpid()
    while pid and pid not in line:  # the first one's parent is 0, as is one out of this namespace
        process = look(pid)
        if process is None:
            return None
        line.add(pid)
        pid = process.parent
    return line


def roots_of(scope: Scope, processes: dict[int, Process]) -> list[Process]:
    """Return the processes that a scope names, in its order.

    :raises InvalidFault: one does not run, is a kernel thread, or is the agent
        or an ancestor of it.
    """
    named: list[tuple[str, int | str, int]] = [("pids", pid, pid) for pid in scope.pids]
    named += [("pid_files", path, pidfile.read(path)) for path in scope.pid_files]
    exempt = own_line(processes)
    return [_root(key, given, pid, processes, exempt) for key, given, pid in named]


def _root(
    key: str, given: int | str, pid: int, processes: dict[int, Process], exempt: set[int]
) -> Process:
    """Return a process that a scope names.

    :param given: what the user wrote: of a file its path, for its content may be secret.
    """
    process = processes.get(pid)
    if process is None:
        raise InvalidFault(key, given, "a running process", hint="ps -e shows those that run")
    if process.kernel_thread:
        raise InvalidFault(
            key,
            given,
            problem=f"the kernel thread {process.command}",
            hint="name a process",
        )
    if pid in exempt:
        raise InvalidFault(
            key,
            given,
            f"allowed: {process.command} started the experiment",
            hint="name the process under test itself",
        )
    return process


def parsed(pid: int, stat: str) -> Process | None:
    """Return the process that the text of its `stat` describes; None when that is cut off."""
    # The command stands in parentheses and may hold any character: see proc(5).
    command, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    if len(fields) < _FIELDS:
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        started=int(fields[19]),
        command=command,
        kernel_thread=bool(int(fields[6]) & _PF_KTHREAD),
    )


def _read(stat: str, pid: int) -> Process | None:
    # Of each process of the host, and several times: pathlib takes thrice as long.
    try:
        descriptor = os.open(stat, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = [os.read(descriptor, _STAT_BYTES)]
            while len(parts[-1]) == _STAT_BYTES:
                parts.append(os.read(descriptor, _STAT_BYTES))
        finally:
            os.close(descriptor)
    except OSError:
        return None  # it ended in the meantime
    return parsed(pid, b"".join(parts).decode(errors="replace"))
