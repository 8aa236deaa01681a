"""Processes that hold what looks like an agent's notice, and is wrong in one way or another.

Run as a program; its argument is a JSON object of deviations from a notice that is believed:

`content`   the text in place of the notice's
`message`   what an agent would say, in place of a short message
`parts`     parts of the document in place of the right ones: `pid`, `started`
`size`      bytes of a file that holds nothing
`owner`     the user that the memfd belongs to
`sealed`    false leaves it open to changes
`command`   what the process calls itself
`users`     real, effective and saved user id
`file`      `fifo` or `regular`: a file of that name in place of the memfd
`memfds`    how many of them there are
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MESSAGE = {"type": "armed", "name": "spoof", "hook": "should_failslab", "programs": []}
_SELF = Path("/proc/self")
_ALL_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


@contextlib.contextmanager
def spoof(*before: str, **deviations: Any) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a process with such a notice; yield it, and the holder's pid on this host.

    :param before: the words of a command that runs it, such as unshare(1).
    """
    words: Sequence[str] = [*before, sys.executable, "-S", __file__, json.dumps(deviations)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            yield child, int(child.stdout.readline() or 0)
        finally:
            child.kill()


def _content(how: dict[str, Any]) -> bytes:
    if "content" in how:
        return str(how["content"]).encode()
    stat = Path("/proc/self/stat").read_text()
    document = {
        "pid": int(_SELF.readlink().name),  # also where this process has another number
        "started": int(stat.rpartition(")")[2].split()[19]),
        "message": how.get("message", MESSAGE),
        **how.get("parts", {}),
    }
    return json.dumps(document).encode()


def _file(how: dict[str, Any]) -> int:
    if "file" not in how:
        return os.memfd_create("chaoskernel-fault", os.MFD_ALLOW_SEALING)
    path = "/memfd:chaoskernel-fault"
    if how["file"] == "fifo":
        os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    Path(path).unlink()
    return descriptor


def _hold(how: dict[str, Any]) -> None:
    descriptor = _file(how)
    if "size" in how:
        os.ftruncate(descriptor, how["size"])
    else:
        os.write(descriptor, _content(how))
    if "owner" in how:
        os.fchown(descriptor, how["owner"], how["owner"])
    if how.get("sealed", True) and "file" not in how:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _ALL_SEALS)
    copies = how.get("memfds", 1) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (copies + 1024,) * 2) if copies else None
    for _ in range(copies):
        os.dup(descriptor)
    Path("/proc/self/comm").write_text(how.get("command", "chaoskernel-agt"))
    pid = _SELF.readlink().name
    if "users" in how:
        os.setresuid(*how["users"])
    print(pid, flush=True)
    sys.stdin.read()
    time.sleep(60)


if __name__ == "__main__":
    _hold(json.loads(sys.argv[1]))
