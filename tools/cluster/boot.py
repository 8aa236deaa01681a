"""`python -m tools.cluster.boot`: the first process of a node.

It makes the node's namespaces a place to live in, starts containerd and the kubelet, and reaps what
containers leave behind.  When one of the two ends, so does the node with all that is in it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from chaoskernel import process
from tools.cluster import groups, settings
from tools.cluster.spaces import run

SYSTEM = "system"
"""The control group of what is no pod, below the node's own."""

_SOCKET_SECONDS = 60.0
_POLL_SECONDS = 0.05

# What programs of a node keep at fixed places.
_OWN = ("/run/containerd", "/run/netns", "/var/lib/containerd", "/var/lib/kubelet")
_OVERLAID = ("/var/lib", "/var/log")


def main(name: str, state: Path, logs: str, kubelet: Sequence[str]) -> int:
    """Run a node until it ends.

    :param state: the node's directory, with containerd's settings in it.
    :param logs: what the names of its logs begin with.
    :param kubelet: its command line.
    :returns: the exit status of the program that ended first.
    """
    socket.sethostname(name)
    hierarchies = groups.hierarchies()
    _mount(state)
    _enter_own_groups(hierarchies)
    containerd = _start(["containerd", "--config", str(state / "containerd.toml")], logs)
    deadline = time.monotonic() + _SOCKET_SECONDS
    while not Path(settings.SOCKET).exists() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    pids = (containerd, _start(kubelet, logs))
    while True:
        pid, status = os.wait()
        if pid in pids:
            return os.waitstatus_to_exitcode(status)


def _start(command: Sequence[str], logs: str) -> int:
    with Path(f"{logs}-{Path(command[0]).name}.log").open("a", encoding="utf-8") as log:
        return process.start(command, stdout=log, stderr=subprocess.STDOUT).pid


def _mount(state: Path) -> None:
    """Give the node directories of its own where its programs write."""
    for place in _OVERLAID:
        upper, work = state / f"upper{place}", state / f"work{place}"
        for directory in (upper, work):
            directory.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={place},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "-o", layers, "overlay", place)
    for place in _OWN:
        own = state / place.lstrip("/")
        for directory in (own, Path(place)):
            directory.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(own), place)
    for name, value in settings.TUNABLES.items():
        file = state / "tunables" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n", encoding="ascii")
        run("mount", "--bind", str(file), f"/proc/sys/{name}")


def _enter_own_groups(hierarchies: Sequence[groups.Hierarchy]) -> None:
    """Show the node its own control groups as the whole: this is a namespace of them."""
    run("umount", "--recursive", "--lazy", str(groups.TOP))
    if all(hierarchy.place != groups.TOP for hierarchy in hierarchies):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", str(groups.TOP))
    for hierarchy in hierarchies:
        hierarchy.place.mkdir(exist_ok=True)
        options = ["-o", hierarchy.options] if hierarchy.options else []
        run("mount", "-t", hierarchy.kind, *options, "cgroup", str(hierarchy.place))
    # Nothing is in the node's group itself any more: one of v2 has processes or lends controllers.
    groups.make(SYSTEM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
