"""The one wrapper for child processes.

A child that is started here is the leader of a process group, and the group is
ended with the call that started it: on return, on an error, and on the time
limit.  Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from chaoskernel.errors import ChaosKernelError, MissingTool, TimeLimit

_GRACE_SECONDS = 3.0


class CommandFailed(ChaosKernelError):
    """A command exited with a status that its caller did not expect."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        last = output.strip().splitlines()[-1:] or ["it printed nothing"]
        super().__init__(f"{shlex.join(command)} exited with status {status}: {last[0]}")
        self.status = status
        self.output = output


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
            out, err = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeLimit(
                f"{shlex.join(command)} took longer than {seconds:g} s and was ended"
            ) from None
    if check and child.returncode != 0:
        raise CommandFailed(command, child.returncode, err or out)
    return subprocess.CompletedProcess(list(command), child.returncode, out, err)


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
) -> Iterator[subprocess.Popen[str]]:
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
) -> subprocess.Popen[str]:
    """Start a command whose end is the caller's to see to.

    :param own_group: false leaves the child in the caller's process group, so
        that the terminal's signals reach it too.
    :raises MissingTool: the program is not installed.
    :raises ChaosKernelError: it cannot be started.
    """
    try:
        return subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            encoding="utf-8",
            errors="replace",
            process_group=0 if own_group else None,
        )
    except FileNotFoundError as absent:
        raise MissingTool(
            f"{command[0]} is not installed", hint=f"install the package that has {command[0]}"
        ) from absent
    except OSError as error:
        raise ChaosKernelError(f"{command[0]} cannot be started: {error.strerror}") from error


def end_group(child: subprocess.Popen[str], *, grace: float = _GRACE_SECONDS) -> None:
    """End a child and everything in its process group, and reap the child."""
    if grace > 0 and child.poll() is None:
        _signal_group(child, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=grace)
    _signal_group(child, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _signal_group(child: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
