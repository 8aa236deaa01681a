"""The one wrapper for child processes.

A child that is started here is the leader of a process group, and the group is
ended with the call that started it: on return, on an error, and on the time
limit.  It is ended before the child is reaped: afterwards the group's id may be
another's.  Standard library only.
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from chaoskernel.errors import ChaosKernelError, MissingTool, TimeLimit

_GRACE_SECONDS = 3.0
_LOOK_SECONDS = 0.02
_READ_BYTES = 1 << 16


class CommandFailed(ChaosKernelError):
    """A command exited with a status that its caller did not expect."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        last = output.strip().splitlines()[-1:] or ["it printed nothing"]
        super().__init__(f"{shlex.join(command)} exited with status {status}: {last[0]}")
        self.status = status
        self.output = output


class Child(subprocess.Popen[str]):
    """A child that leads a process group, or one that is in its parent's.

    Whatever reaps a leader ends its group first: as long as it is a zombie, nobody else can have
    its id.
    """

    def __init__(self, command: Sequence[str], *, leads: bool, **more: Any) -> None:
        self._leads = leads
        self._reaping = threading.RLock()
        super().__init__(list(command), process_group=0 if leads else None, **more)

    def poll(self) -> int | None:
        """See `Popen.poll`."""
        with self._reaping:
            if self.returncode is None and self._leads and self._has_ended():
                self._signal_group(signal.SIGKILL)
            return super().poll()

    def wait(self, timeout: float | None = None) -> int:
        """See `Popen.wait`."""
        if not self._leads:
            return super().wait(timeout)
        end = math.inf if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            left = end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(min(_LOOK_SECONDS, left))
        return status

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the group, if the child has not been reaped."""
        with self._reaping:
            if self.returncode is None:
                self._signal_group(number)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _has_ended(self) -> bool:
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:  # reaped by somebody else
            self._leads = False
            return False


def run(
    command: Sequence[str],
    *,
    seconds: float,
    check: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it printed.

    :param seconds: the time limit; the command's process group is killed then.
    :raises MissingTool: the program is not installed.
    :raises TimeLimit: the limit was reached.
    :raises CommandFailed: the status is not 0 and `check` is true.
    """
    with spawn(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            out, err = _output(child, seconds)
        except subprocess.TimeoutExpired:
            raise TimeLimit(
                f"{shlex.join(command)} took longer than {seconds:g} s and was ended"
            ) from None
    if check and child.returncode != 0:
        raise CommandFailed(command, child.returncode, err or out)
    return subprocess.CompletedProcess(list(command), child.returncode, out, err)


def _output(child: Child, seconds: float) -> tuple[str, str]:
    """Return what a child prints until its end.

    Popen.communicate reaps the child by itself when Ctrl-C comes, and its group would be left.

    :raises subprocess.TimeoutExpired: it takes longer.
    """
    end = time.monotonic() + seconds
    found = {pipe: bytearray() for pipe in (child.stdout, child.stderr) if pipe}
    with selectors.DefaultSelector() as waiting:
        for pipe in found:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map():
            left = end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(child.args, seconds)
            for key, _ in waiting.select(left):
                chunk = os.read(key.fd, _READ_BYTES)
                found[cast(IO[str], key.fileobj)] += chunk
                if not chunk:
                    waiting.unregister(key.fileobj)
    child.wait(max(0.0, end - time.monotonic()))
    out, err = (_text(text) for text in found.values())
    return out, err


def _text(output: bytearray) -> str:
    """Return output as a text stream has it."""
    return output.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


@contextlib.contextmanager
def spawn(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[str] | None = subprocess.DEVNULL,
    stdout: int | IO[str] | None = None,
    stderr: int | IO[str] | None = None,
    grace: float = 0.0,
) -> Iterator[Child]:
    """Start a command in a process group of its own; end the group on leaving.

    :param grace: seconds between SIGTERM and SIGKILL; 0 kills at once.
    :raises MissingTool: the program is not installed.
    """
    child = start(command, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
    try:
        yield child
    finally:
        end_group(child, grace=grace)


def start(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[str] | None = subprocess.DEVNULL,
    stdout: int | IO[str] | None = None,
    stderr: int | IO[str] | None = None,
    own_group: bool = True,
) -> Child:
    """Start a command whose end is the caller's to see to.

    :param own_group: false leaves the child in the caller's process group, so
        that the terminal's signals reach it too.
    :raises MissingTool: the program is not installed.
    :raises ChaosKernelError: it cannot be started.
    """
    try:
        return Child(
            command,
            leads=own_group,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as absent:
        raise MissingTool(
            f"{command[0]} is not installed", hint=f"install the package that has {command[0]}"
        ) from absent
    except OSError as error:
        raise ChaosKernelError(f"{command[0]} cannot be started: {error.strerror}") from error


def end_group(child: Child, *, grace: float = _GRACE_SECONDS) -> None:
    """End a child and everything in its process group, and reap the child."""
    if grace > 0 and child.poll() is None:
        child.signal_group(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=grace)
    child.signal_group(signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
