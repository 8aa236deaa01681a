"""A container made by hand: a process with a root and mounts of its own, in a control group.

Its root is a tmpfs, into which its process pivots as a runtime's would.  It makes the calls of
tests.caller in a directory there.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.caller import Caller
from tests.talker import Talker

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 0x1000, 0x4000, 1 << 18, 1 << 19
_MNT_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


class Container(Caller):
    """The controlling side; see Caller.

    :param directory: of the host, empty: where the root is made.
    :param group: its control group's directory.
    :param data: where it makes its calls.
    :param volumes: directories of the host, by where they are in the container.
    :param links: symbolic links in its root, with what they say.
    :param silent: where a file system of its own (FUSE) is mounted that never answers.
    :param slave: it sees what is mounted and unmounted in the host's shared mounts.
    """

    def __init__(
        self,
        directory: Path,
        group: Path,
        *,
        data: str = "/data",
        volumes: Mapping[str, Path] | None = None,
        links: Mapping[str, str] | None = None,
        silent: str = "",
        slave: bool = False,
    ) -> None:
        super().__init__(directory)
        self._group = group
        self._data = data
        self._given = [
            *(f"volume:{place}={source}" for place, source in (volumes or {}).items()),
            *(f"link:{place}={target}" for place, target in (links or {}).items()),
            *([f"silent:{silent}"] if silent else []),
            *(["slave"] if slave else []),
        ]

    def _program(self) -> Sequence[str]:
        self._group.mkdir(parents=True, exist_ok=True)
        places = [str(self.directory), str(self._group), self._data]
        return ["-m", "tests.container", *places, *self._given]

    def calls(self, name: str, file: Path | None = None, other: Path | None = None) -> int:
        """Have it make a call on files as it sees them; see Caller."""
        own = Path(self._data) / "file"
        return self._ask(name, file or own, other or own.with_name("other"))

    def mount(self, place: str) -> None:
        """Mount a tmpfs where it sees a directory, which is made."""
        child = os.fork()
        if not child:
            try:
                _checked(_LIBC.setns(os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY), 0))
                Path(place).mkdir()
                _mount("none", Path(place), "tmpfs")
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


class TalkingContainer(Talker):
    """The same of a process that uses sockets; see Talker.

    :param volumes: directories of the host, by where they are in the container.
    """

    def __init__(self, directory: Path, group: Path, volumes: Mapping[str, Path]) -> None:
        super().__init__(directory)
        self.where = None  # its program is a module of this directory's
        self._group = group
        self._given = [f"volume:{place}={source}" for place, source in volumes.items()]

    def _program(self) -> Sequence[str]:
        self._group.mkdir(parents=True, exist_ok=True)
        places = [str(self.directory), str(self._group), "/data"]
        return ["-m", "tests.container", *places, "talk", *self._given]


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    _checked(
        _LIBC.mount(source.encode(), bytes(target), kind.encode(), flags, data.encode() or None)
    )


def _enter(root: Path, group: Path, data: str, given: Sequence[str]) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))
    _checked(_LIBC.unshare(_CLONE_NEWNS))
    _mount("none", Path("/"), flags=_MS_REC | (_MS_SLAVE if "slave" in given else _MS_PRIVATE))
    _mount("none", root, "tmpfs")
    for directory in (data[1:], "old", "proc", "tmp"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    _mount("proc", root / "proc", "proc")
    for kind, _, what in (each.partition(":") for each in given):
        place, _, source = what.partition("=")
        inside = root / place.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        if kind == "volume":
            inside.mkdir(exist_ok=True)
            _mount(source, inside, flags=_MS_BIND | _MS_REC)
        if kind == "link":
            inside.symlink_to(source)
        if kind == "silent":
            inside.mkdir(exist_ok=True)
            server = os.open("/dev/fuse", os.O_RDWR)  # nobody reads from it
            options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
            _mount("silent", inside, "fuse", data=options)
    _checked(_LIBC.syscall(_PIVOT_ROOT[os.uname().machine], bytes(root), bytes(root / "old")))
    os.chdir("/")
    _checked(_LIBC.umount2(b"/old", _MNT_DETACH))


if __name__ == "__main__":
    from tests import calls, socket_calls

    _enter(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
    if "talk" in sys.argv[4:]:
        socket_calls.serve()
    else:
        own = Path(sys.argv[3]) / "file"
        own.write_bytes(b"x" * 4096)
        calls.serve(own)
