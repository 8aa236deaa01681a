"""What an armed agent posts about its fault, for other processes of the host to read.

The notice is a memfd that the agent keeps open: it is found through /proc/PID/fd, and goes
with the process however that ends.  There is no file that could be stale or left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from chaoskernel.kernel import processes

_NAME = "chaoskernel-fault"
_LINK = f"/memfd:{_NAME} (deleted)"
_PROC = Path("/proc")


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


@contextlib.contextmanager
def posted(message: Mapping[str, Any]) -> Iterator[None]:
    """Post a message for as long as the context lasts."""
    descriptor = os.memfd_create(_NAME)
    try:
        os.write(descriptor, json.dumps(message).encode())
        yield
    finally:
        os.close(descriptor)


def notices(proc: Path = _PROC) -> list[Notice]:
    """Return the notices of all agents, the oldest fault first.

    Processes of other users stay closed to an ordinary user.
    """
    running = processes.snapshot(proc)
    found = []
    for pid, process in running.items():
        if message := _posted_by(proc / str(pid)):
            owner = running.get(process.parent)
            found.append(
                Notice(
                    pid,
                    process.started,
                    {"pid": process.parent, "command": owner.command if owner else ""},
                    message,
                )
            )
    return sorted(found, key=lambda notice: str(notice.message.get("armed_at", "")))


def _posted_by(process: Path) -> Mapping[str, Any] | None:
    # It may end at any moment, and may be somebody else's.
    with contextlib.suppress(OSError):
        # Anybody can make a memfd of that name; only root's and the caller's own are believed.
        if process.stat().st_uid not in (0, os.geteuid()):
            return None
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if str(link.readlink()) == _LINK:
                    message = json.loads(link.read_bytes())
                    return message if isinstance(message, dict) else None
    return None
