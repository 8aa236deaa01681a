"""The keeper: a small process that starts programs, holds them before exec, and ends them all.

It outlives no explorer: when its standard input ends, it kills whatever it has started, removes
its directory and ends.  Programs that leave their parent become its children, because it is a
subreaper.  It is small, so that a fork is cheap, and it runs by its path alone: standard library
only.  Requests and answers are lines of JSON; `keeping.py` is the other end.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import selectors
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = b"chaos-keeper"
"""What the kernel calls it, and a program that is held."""

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36  # include/uapi/linux/prctl.h
# include/uapi/linux/ptrace.h
_PTRACE_CONT, _PTRACE_GETEVENTMSG, _PTRACE_SEIZE, _PTRACE_LISTEN = 7, 0x4201, 0x4206, 0x4208
_PTRACE_O_TRACEEXIT, _PTRACE_EVENT_EXIT, _PTRACE_EVENT_STOP = 0x40, 6, 128
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOT_STARTED = 127  # as a shell's status
_KILLED_SECONDS = 20.0
"""How long a killed process may take to end; one that waits in the kernel may never do so."""

_HELD = b"h"
_READ_BYTES = 1 << 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class Started:
    """A program that was started.

    :param hold: what lets it go, a descriptor; -1 once it was.
    :param report: the error number of an exec that failed comes from here.
    """

    def __init__(self, number: int, pid: int, hold: int, report: int) -> None:
        self.number = number
        self.pid = pid
        self.hold = hold
        self.report = report
        self.begun = time.monotonic()
        self.kept: dict[str, int] = {}  # what it had when it exited

    def release(self) -> None:
        """Let it go."""
        if self.hold >= 0:
            self.begun = time.monotonic()
            with contextlib.suppress(BrokenPipeError):
                os.write(self.hold, b"g")
            os.close(self.hold)
            self.hold = -1

    def error(self) -> int:
        """Return the error number of its exec; 0 where it succeeded."""
        said = os.read(self.report, 16)
        os.close(self.report)
        return int(said or b"0")


class Keeper:
    """Starts programs, waits for them, and ends them.

    :param root: a directory of its own, which is removed in the end.
    """

    def __init__(self, root: Path, output: int) -> None:
        self._root = root
        self._output = output
        self._running: dict[int, Started] = {}  # by process id
        self._place = root / "work"
        self._stuck: dict[int, str] = {}  # killed processes that do not end

    def run(self) -> None:
        """Do what standard input asks for, until it ends; then end everything."""
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        gc.freeze()  # what nobody collects stays shared with what is forked
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            self._serve(woken)
        finally:
            self.end()
            shutil.rmtree(self._root, ignore_errors=True)

    def _serve(self, woken: int) -> None:
        kept = b""
        with selectors.DefaultSelector() as waiting:
            for each in (0, woken):
                waiting.register(each, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in waiting.select()}
                if woken in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(woken, _READ_BYTES)
                    self._reap()
                if 0 in ready:
                    chunk = os.read(0, _READ_BYTES)
                    if not chunk:
                        return
                    *lines, kept = (kept + chunk).split(b"\n")
                    for line in lines:
                        self._do(json.loads(line))

    def _do(self, request: dict[str, Any]) -> None:
        kind = request.pop("do")
        number = request.pop("number", 0)
        mine = next((each for each in self._running.values() if each.number == number), None)
        if kind == "start":
            self._start(number, **request)
        elif kind == "release" and mine:
            mine.release()
        elif kind == "signal" and mine:
            with contextlib.suppress(ProcessLookupError):
                os.kill(mine.pid, request["signal"])
        elif kind == "look":
            pid = mine.pid if mine else 0
            self._say(what="seen", number=number, **look([pid, *descendants(pid)] if pid else []))
        elif kind == "end":
            before = set(self._stuck)
            killed = self.end()
            stuck = [said for pid, said in self._stuck.items() if pid not in before]
            self._say(what="ended", killed=killed, stuck=stuck)
        elif kind == "fresh":
            self._fresh()

    def _say(self, **message: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # of an explorer that is gone input ends, too
            os.write(self._output, json.dumps(message).encode() + b"\n")

    def _fresh(self) -> None:
        """Make an empty directory for the next run."""
        shutil.rmtree(self._place, ignore_errors=True)
        error = ""
        try:
            self._place.mkdir()
        except OSError as wrong:
            error = wrong.strerror or str(wrong)
        self._say(what="fresh", path=str(self._place), error=error)

    def _start(self, number: int, **how: Any) -> None:
        held, hold = os.pipe2(os.O_CLOEXEC)
        report, told = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if not pid:
            _become(held, told, **how)
        os.close(held)
        os.close(told)
        started = self._running[pid] = Started(number, pid, hold, report)
        os.read(report, len(_HELD))
        if how.get("trace"):
            _libc.ptrace(_PTRACE_SEIZE, pid, None, _PTRACE_O_TRACEEXIT)
        if not how.get("hold"):
            started.release()
        self._say(what="started", number=number, pid=pid)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if os.WIFSTOPPED(status):
                self._go_on(pid, status)
                continue
            if started := self._running.pop(pid, None):
                started.release()
                self._say(
                    what="exited",
                    number=started.number,
                    status=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                    signal=_signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else "",
                    seconds=time.monotonic() - started.begun,
                    error=started.error(),
                    **{"memory": used.ru_maxrss << 10, **started.kept},
                )

    def _go_on(self, pid: int, status: int) -> None:
        """Let a traced program go on: look at one that exits, pass on the signals of others."""
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == _PTRACE_EVENT_EXIT:
            if started := self._running.get(pid):
                started.kept = look([pid])
            number = 0
        elif event == _PTRACE_EVENT_STOP:
            stopped = number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
            if stopped:
                _libc.ptrace(_PTRACE_LISTEN, pid, None, None)
                return
            number = 0
        _libc.ptrace(_PTRACE_CONT, pid, None, number)

    def end(self) -> int:
        """Kill everything that was started, with all that it has left; return how many.

        What does not end is given up, and its process ids are kept.
        """
        killed: set[int] = set()
        nap, until = 0.002, time.monotonic() + _KILLED_SECONDS
        for started in self._running.values():
            if started.hold >= 0:
                os.close(started.hold)
                started.hold = -1
        while True:
            self._reap()
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return len(killed)
            left = [pid for pid in descendants(os.getpid()) if pid not in self._stuck]
            if not left and self._stuck:
                return len(killed)
            if time.monotonic() > until:
                self._stuck.update({pid: described(pid) for pid in left})
                return len(killed)
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            time.sleep(nap)
            nap = min(0.1, nap * 1.5)


def _become(held: int, told: int, **how: Any) -> None:
    """Turn this child into a program: prepare all, wait to be let go, and exec.

    The exec is rehearsed first, with a file that is missing: what Python touches on its way to
    execve(2) is its own copy by then, so that little but the exec itself happens in scope.
    """
    status = _NOT_STARTED
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        signal.set_wakeup_fd(-1)
        for number in (*_IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        out = os.open(how["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for one, other in ((nothing, 0), (out, 1), (out, 2)):
            os.dup2(one, other, inheritable=True)
        os.chdir(how["directory"])
        # Beyond what programs use, so that theirs are the numbers that they would be elsewhere.
        held, told = (fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 100) for each in (held, told))
        os.closerange(3, 100)
        practice, go = os.pipe2(os.O_CLOEXEC)
        os.write(go, b"g")
        program, argv, env = how["program"], how["argv"], how["env"]
        for last, source, file in ((False, practice, program + "\x01"), (True, held, program)):
            if last:
                os.close(practice)
                os.close(go)
                os.write(told, _HELD)
            if not os.read(source, 1):
                os._exit(status)
            try:
                os.execve(file, argv, env)
            except OSError as error:
                if last:
                    os.write(told, b"%d" % (error.errno or 0))
    finally:
        os._exit(status)


def descendants(pid: int) -> list[int]:
    """Return the processes below one, as /proc has them at this moment."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _parents() -> Iterator[tuple[int, int]]:
    with os.scandir("/proc") as entries:
        names = [entry.name for entry in entries if entry.name.isdigit()]
    for name in names:
        with contextlib.suppress(OSError, ValueError, IndexError):
            facts = Path("/proc", name, "stat").read_bytes()
            yield int(name), int(facts.rpartition(b")")[2].split()[1])


def described(pid: int) -> str:
    """Return who a process is, and where in the kernel it waits."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
        where = Path(f"/proc/{pid}/wchan").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return f"process {pid} was killed and does not end"
    waits = f": it waits in {where}" if where not in ("", "0") else ""
    return f"process {pid} ({name}) was killed and does not end{waits}"


def look(pids: list[int]) -> dict[str, int]:
    """Return how many files processes have open, and how much memory they have, in bytes."""
    descriptors = memory = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            descriptors += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            memory += pages * os.sysconf("SC_PAGESIZE")
    return {"descriptors": descriptors, "memory": memory}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


def main() -> None:
    """Keep programs below the directory that the command line names."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)  # the end of standard input ends it
    _libc.prctl(_PR_SET_NAME, NAME, 0, 0, 0)
    output = os.dup(1)
    os.set_inheritable(output, False)
    Keeper(Path(sys.argv[1]), output).run()


if __name__ == "__main__":
    main()
