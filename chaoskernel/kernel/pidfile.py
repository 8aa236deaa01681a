"""Pid files, by the rules that systemd has for PIDFile=.

Who may write the file chooses what is hit, and the one who reads it is root.  So the path
is walked one name at a time: the last one may be no symbolic link, and those on the way (such
as /var/run) have to be root's or the caller's own.  What is found is held by a descriptor that
opens nothing (O_PATH), and looked at before it is opened: a FIFO, a device or a file of the
kernel's own, such as trace_pipe, may block or give something away by being read.

The file is believed when it belongs to root or the caller, or to the very user whose process it
names, and not everybody may write to it.  Nothing of its content is ever shown: it may be no pid
file at all.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from chaoskernel.errors import InvalidFault
from chaoskernel.kernel import procdir

_READ_BYTES = 64
"""A process id has up to seven digits; what follows the first line is not looked at."""
_MAX_LINKS = 40
"""As many as the kernel follows (MAXSYMLINKS)."""

_KERNELS_OWN = frozenset(
    (
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "efivarfs",
        "fusectl",
        "mqueue",
        "nfsd",
        "nsfs",
        "proc",
        "pstore",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "sysfs",
        "tracefs",
    )
)
"""File systems whose files are made up when they are read."""


def read(path: str) -> int:
    """Return the process id in the first line of a file.

    :param path: absolute.
    :raises InvalidFault: there is no such file, it is not to be believed, or its first line holds
        something else.
    """
    try:
        with _reached(path) as file:
            owner = _checked(path, file)
            # The very file that was looked at, whatever the path leads to by now.
            opened = os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                text = os.read(opened, _READ_BYTES)
            finally:
                os.close(opened)
    except OSError as error:
        raise InvalidFault(
            "pid_files", path, f"a readable file ({error.strerror})", hint="is the process running?"
        ) from error
    line = text.lstrip().partition(b"\n")[0].strip()
    if not re.fullmatch(rb"[0-9]{1,10}", line):
        raise InvalidFault(
            "pid_files",
            path,
            "a file whose first line holds a process id",
            hint="name the process by pids or commands",
        )
    _check_owner(path, owner, int(line))
    return int(line)


@contextlib.contextmanager
def _reached(path: str) -> Iterator[int]:
    """Hold what a path leads to, by a descriptor that opens nothing.

    :raises InvalidFault: a symbolic link stands where none may.
    :raises OSError: it leads nowhere.
    """
    held = os.open("/", os.O_PATH)
    left = _names(path)
    links = 0
    try:
        while left:
            name = left.pop(0)
            found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=held)
            about = os.fstat(found)
            if not stat.S_ISLNK(about.st_mode):
                os.close(held)
                held = found
                continue
            try:
                links += 1
                _check_link(path, name, about.st_uid, last=not left, links=links)
                target = os.readlink("", dir_fd=found)
            finally:
                os.close(found)
            left = _names(target) + left
            if target.startswith("/"):
                os.close(held)
                held = os.open("/", os.O_PATH)
        yield held
    finally:
        os.close(held)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _check_link(path: str, name: str, owner: int, *, last: bool, links: int) -> None:
    hint = "name the file by a path without links"
    if last:
        raise InvalidFault("pid_files", path, "allowed: it is a symbolic link", hint=hint)
    if owner not in (0, os.geteuid()):
        why = f"allowed: {name} in it is a symbolic link of user {owner}"
        raise InvalidFault("pid_files", path, why, hint=hint)
    if links > _MAX_LINKS:
        raise InvalidFault("pid_files", path, "allowed: its links lead to each other", hint=hint)


def _checked(path: str, file: int) -> int:
    """Return the owner of what may be read as a pid file.

    :raises InvalidFault: it may not.
    """
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode) or _file_system(file) in _KERNELS_OWN:
        raise InvalidFault("pid_files", path, "a regular file", hint="name one with a process id")
    if about.st_mode & stat.S_IWOTH:
        raise InvalidFault(
            "pid_files",
            path,
            "believed: everybody may write to it",
            hint=f"chmod o-w {path}, or name the process by pids",
        )
    return about.st_uid


def _file_system(file: int) -> str:
    """Return the kind of file system that a file lies on; empty where the kernel does not say."""
    info = Path(f"/proc/self/fdinfo/{file}").read_text(encoding="ascii")
    mount = re.search(r"(?m)^mnt_id:\s*(\d+)$", info)
    with Path("/proc/self/mountinfo").open(
        encoding="utf-8", errors="replace", newline="\n"
    ) as mounts:
        for line in mounts:
            if mount and line.startswith(f"{mount[1]} "):
                return line.rpartition(" - ")[2].split()[0]
    return ""


def _check_owner(path: str, owner: int, pid: int) -> None:
    """Check that a file's owner may name a process.

    :raises InvalidFault: the process is somebody else's.
    """
    if owner in (0, os.geteuid()):
        return
    try:
        with procdir.opened(pid) as directory:
            users = directory.users()
    except OSError:
        return  # it does not run, which is for the caller to say
    if users != {owner}:
        raise InvalidFault(
            "pid_files",
            path,
            f"believed: it belongs to user {owner}, and the process in it does not",
            hint="chown the file to root, or name the process by pids",
        )
