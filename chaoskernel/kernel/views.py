"""Files as a container sees them: from its own root, with what is mounted there.

What runs in a container is no friend.  Its links are followed within its root; its files are
opened with O_PATH, so that no device and no FIFO learns of it; a file system of its own may
never answer, and then a thread waits and not its caller; and a process that still has the
host's root, as a runtime's has while it makes a container, is not looked through.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import signal
import threading
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from chaoskernel.kernel import files, procdir
from chaoskernel.kernel.cgroups import Cgroup
from chaoskernel.kernel.files import Place

_PROC = Path("/proc")
_ASKED = 8
"""How many processes of a container are tried; the first to enter it is listed first."""
_CHUNK = 1 << 16
_MAX_BYTES = 32 << 20
"""Of one mountinfo: with fs.mount-max, 100 000 mounts, and long paths it has 20 MB."""
_MAX_MOUNTS = 512


class Seen(NamedTuple):
    """What was found of paths in one container.

    :param places: open files; `close` gives them back.
    :param missing: why a path was not opened.
    :param mounted: the same of what is mounted below them.
    :param trouble: why nothing of that was opened; empty where it was.
    """

    places: Sequence[Place] = ()
    missing: Mapping[str, str] = types.MappingProxyType({})
    mounted: Sequence[Place] = ()
    trouble: str = ""

    def close(self) -> None:
        """Let go of the files."""
        close([*self.places, *self.mounted])


def close(places: Iterable[Place]) -> None:
    """Let go of files."""
    for place in places:
        os.close(place.descriptor)


class Watch:
    """Tells whether the mounts of a process have changed since it was asked last.

    :param mounts: its mountinfo, whose descriptor is duplicated (proc(5): POLLPRI).
    """

    def __init__(self, mounts: int) -> None:
        self._descriptor = os.dup(mounts)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLPRI)

    def has_changed(self) -> bool:
        """Tell whether they have; what changes from now on is told the next time."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._descriptor)


class Root(NamedTuple):
    """A container's root directory and its mounts: descriptors.

    :param own: both are this process's.
    """

    directory: int
    mounts: int
    own: bool = False

    def close(self) -> None:
        """Let go of both."""
        os.close(self.directory)
        os.close(self.mounts)


class Look(threading.Thread):
    """Opens paths in a container's root, and what is mounted below; closes the root.

    No attributes are asked for in this thread: whoever learns where a file lies has to be the
    only one of its process that does.
    """

    def __init__(self, root: Root, paths: Sequence[str], below: Sequence[str] = ()) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._paths = paths
        self._below = below
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._left = False

    def run(self) -> None:
        """Look; nobody may wait for what is found any more."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            seen = look(self._root, self._paths, self._below)
        finally:
            self._root.close()
        with self._lock:
            self._seen = seen
            if self._left:
                seen.close()

    def result(self, seconds: float) -> Seen | None:
        """Return what was found, which is the caller's to close; None when it takes longer.

        It may be called once.
        """
        self.join(seconds)
        with self._lock:
            self._left = self._seen is None
            return self._seen


def root_of(group: Cgroup, proc: Path = _PROC) -> Root | None:
    """Return the root of a container, as one of its processes has it; None while none does.

    :param group: the container's control group.
    """
    for pid in itertools.islice(_processes(group), _ASKED):
        with contextlib.suppress(OSError), procdir.opened(pid, proc) as process:
            # Its id may have been another's when it was opened: what is held is in the
            # container if that id is listed now, and it is there when its root is opened.
            if pid not in _processes(group):
                continue
            with contextlib.ExitStack() as undo:
                directory = process.root()
                undo.callback(os.close, directory)
                if _is_hosts(directory, proc):
                    continue
                root = Root(directory, process.mounts())
                undo.pop_all()
                return root
    return None


def own_root() -> Root:
    """Return the root and the mounts of this process."""
    directory = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Root(directory, os.open("/proc/self/mountinfo", os.O_RDONLY), own=True)
    except OSError:
        os.close(directory)
        raise


def look(root: Root, paths: Sequence[str], below: Sequence[str] = ()) -> Seen:
    """Open paths below a root, and the mount points below the directories among them.

    :param below: directories below which mount points are opened as well.
    """
    places: list[Place] = []
    missing: dict[str, str] = {}
    below = list(below)
    for path in paths:
        try:
            descriptor = files.open_in(root.directory, path)
        except OSError as absent:
            missing[path] = absent.strerror or str(absent)
            continue
        places.append(Place(descriptor, whole=False))
        with contextlib.suppress(OSError):
            below.append(inside(root, descriptor))
    try:
        points = list(itertools.islice(_mounted(root, below), _MAX_MOUNTS + 1))
    except OSError as gone:
        points, trouble = [], gone.strerror or str(gone)
    else:
        trouble = f"more than {_MAX_MOUNTS} file systems are mounted below it"
        trouble = trouble if len(points) > _MAX_MOUNTS else ""
    if trouble:  # a part of what is meant is not what is meant
        close(places)
        return Seen((), dict.fromkeys(paths, trouble), (), trouble)
    return Seen(places, missing, _opened(root, points))


def _opened(root: Root, points: Iterable[str]) -> list[Place]:
    """Open mount points; one's own can be unmounted all the same."""
    places = []
    for point in points:
        with contextlib.suppress(OSError):  # it was unmounted, or another one hides it
            descriptor = files.open_in(root.directory, point)
            if root.own:
                descriptor = files.without_its_mount(descriptor)
            places.append(Place(descriptor, whole=False))
    return places


def _is_hosts(directory: int, proc: Path) -> bool:
    hosts = os.open(proc / "1/root", os.O_PATH | os.O_DIRECTORY)
    try:
        return files.identity(directory) == files.identity(hosts)
    finally:
        os.close(hosts)


def _processes(group: Cgroup) -> Iterator[int]:
    for listed in itertools.chain(
        (group.directory / "cgroup.procs",), group.directory.glob("*/cgroup.procs")
    ):
        with contextlib.suppress(OSError):
            yield from map(int, listed.read_text(encoding="ascii").split())


def inside(root: Root, descriptor: int) -> str:
    """Return where an open file lies below a root, as mountinfo spells it."""
    path, top = (
        str(Path(f"/proc/self/fd/{each}").readlink()) for each in (descriptor, root.directory)
    )
    return "/" + path.removeprefix(top.rstrip("/")).lstrip("/")


def _mounted(root: Root, below: Sequence[str]) -> Iterator[str]:
    """Yield the mount points below directories, once each.

    Those of a container that propagate are left out: one that is open here could not be
    unmounted on the host.

    :raises OSError: the process has ended, or it has too many mounts.
    """
    prefixes = tuple(path.rstrip("/") + "/" for path in below)
    found: set[str] = set()
    for line in _lines(root.mounts) if prefixes else ():
        for mount in files.mounts_of(line):
            point = mount.point
            if mount.propagates and not root.own:
                continue
            if point not in found and point.startswith(prefixes) and point not in prefixes:
                found.add(point)
                yield point


def _lines(mounts: int) -> Iterator[bytes]:
    rest, size = b"", 0
    while chunk := os.read(mounts, _CHUNK):
        size += len(chunk)
        if size > _MAX_BYTES:
            raise OSError(0, f"its mountinfo is longer than {_MAX_BYTES >> 20} MiB")
        *lines, rest = re.split(rb"\n", rest + chunk)
        yield from lines
    yield rest
