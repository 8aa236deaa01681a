"""Namespaces of its own for a cluster: everything in them ends with their first process.

The kernel does the clearing up.  The first process of a PID namespace takes all others with it;
mounts, bridges and interfaces go with the namespaces that they are in, and what the cluster keeps
is on a file system in memory that is mounted there.  `unshare` is killed with the process that
started it, and the first process with `unshare`, even by SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import AgentError, NotPermitted
from chaoskernel.lab import cache
from tools.cluster import groups

ADDRESS = "10.64.0.1"
"""Of the bridge, which all nodes are on, and of the control plane."""

BRIDGE = "cluster0"
STATE = Path("/run/cluster")
"""Where a cluster keeps what need not outlive it."""

CONTROL = "control"
"""The control group of all that is no node, below the cluster's."""

_VARIABLE = "CHAOSKERNEL_CLUSTER"
_LOCK_SECONDS = 60
_JOIN_SECONDS = 10.0
_STEP_SECONDS = 30


def group() -> str:
    """Return the control group of the cluster that this process is in; empty outside of one."""
    return os.environ.get(_VARIABLE, "")


def address(number: int) -> str:
    """Return an address of the bridge's network: nodes have those from 11 on."""
    return f"{ADDRESS.rpartition('.')[0]}.{number}"


def enter(command: Sequence[str]) -> int:
    """Run a command as the first process of new namespaces, and return its exit status.

    :raises NotPermitted: this user may not.
    """
    if os.geteuid() != 0:
        raise NotPermitted("a test cluster needs root: it makes namespaces and control groups")
    name = f"{groups.PREFIX}{os.getpid()}-{secrets.token_hex(2)}"
    try:
        # What another start takes for dead, because nothing is in it yet, is not.
        with cache.lock(cache.root() / "cluster.lock", seconds=_LOCK_SECONDS, on_wait=lambda: None):
            groups.sweep()
            groups.make(f"{name}/{CONTROL}")
            places = groups.places(f"{name}/{CONTROL}")
            child = process.start(
                _first(places, command),
                env={**os.environ, _VARIABLE: name},
                stdin=None,
                own_group=False,
            )
            _await_joined(places[-1], child)
        with _interrupts_are_the_childs():
            status = child.wait()
    finally:
        groups.remove(name)
    return status if status >= 0 else 128 - status


def settle() -> None:
    """Make new namespaces a place to live in: called once, by their first process."""
    run("mount", "-t", "tmpfs", "-o", "mode=755", "cluster", "/run")
    for directory in (STATE, Path("/run/lock"), Path("/run/netns")):
        directory.mkdir()
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{ADDRESS}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n", encoding="ascii")


def run(*command: str) -> str:
    """Run a command of the system, and return what it printed."""
    return process.run(command, seconds=_STEP_SECONDS).stdout


def _first(places: Sequence[Path], command: Sequence[str]) -> list[str]:
    return [
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *groups.joining(places),
        *("unshare", "--net", "--mount", "--uts", "--ipc", "--pid"),
        *("--fork", "--kill-child", "--mount-proc", "--"),
        *command,
    ]


def _await_joined(place: Path, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _JOIN_SECONDS
    while not (place / "cgroup.procs").read_text(encoding="ascii"):
        if child.poll() is not None or time.monotonic() > deadline:
            raise AgentError(f"no process of the cluster came into {place}")
        time.sleep(0.01)


@contextlib.contextmanager
def _interrupts_are_the_childs() -> Iterator[None]:
    """Leave the terminal's signals to the child, which has them too and says when it is over."""
    numbers = (signal.SIGINT, signal.SIGQUIT)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
