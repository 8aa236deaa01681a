"""Control groups of a test cluster: one directory in each hierarchy of the host.

Unlike everything else of a cluster these outlive its processes when it is killed; then they are
empty, and the next start removes them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PREFIX = "chaoskernel-cluster-"

TOP = Path("/sys/fs/cgroup")

_MOUNTS = Path("/proc/self/mountinfo")
_REMOVE_SECONDS = 5.0
# A control group of cpuset takes no process before it has both.
_INHERITED = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy of control groups.

    :param options: by which it is mounted again: v1 controllers, or a name.
    """

    place: Path
    kind: str
    options: str

    @property
    def is_v2(self) -> bool:
        return self.kind == "cgroup2"


def hierarchies(mounts: Path = _MOUNTS) -> list[Hierarchy]:
    """Return the hierarchies that are mounted here."""
    found = []
    for line in mounts.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _source, options = after.split(" ")[:3]
        if kind in ("cgroup", "cgroup2"):
            found.append(Hierarchy(Path(before.split(" ")[4]), kind, _options(kind, options)))
    return found


def _options(kind: str, options: str) -> str:
    """Return what tells a v1 hierarchy from others; there is one of v2."""
    told = [] if kind == "cgroup2" else options.split(",")
    return ",".join(each for each in told if each != "rw" and "release_agent" not in each)


def places(path: str) -> list[Path]:
    """Return the directories of a control group, one in each hierarchy."""
    return [hierarchy.place / path for hierarchy in hierarchies()]


def make(path: str, *, lend: bool = True) -> None:
    """Make a control group in every hierarchy, with the controllers that there are.

    :param path: below the root of each, such as chaoskernel-cluster-1/node-1.
    :param lend: the group that it is in lends it controllers; one of v2 that does takes no
        processes any more.
    """
    for hierarchy in hierarchies():
        place = hierarchy.place
        parts = Path(path).parts
        for depth, part in enumerate(parts, start=1):
            if hierarchy.is_v2 and (lend or depth < len(parts)):
                _lend_controllers(place)
            place /= part
            place.mkdir(exist_ok=True)
            _inherit(place)


# Its arguments: directories of control groups, `--`, and the command to go on as.
_JOIN = 'until [ "$1" = -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'


def joining(places: Sequence[Path]) -> list[str]:
    """Return what has a command run in control groups, when it is put before it."""
    return ["sh", "-c", _JOIN, "join", *map(str, places), "--"]


def sweep() -> None:
    """Remove the control groups of clusters that are no more."""
    for hierarchy in hierarchies():
        for top in hierarchy.place.glob(f"{PREFIX}*"):
            if not any(_processes(top)):
                _remove(top)


def remove(path: str) -> None:
    """Remove a control group with all below it; its processes are ending."""
    tops = places(path)
    deadline = time.monotonic() + _REMOVE_SECONDS
    while not all([*map(_remove, tops)]) and time.monotonic() < deadline:
        time.sleep(0.05)


def _processes(top: Path) -> Iterator[str]:
    for directory, _, _ in os.walk(top):
        with contextlib.suppress(OSError):
            yield from Path(directory, "cgroup.procs").read_text(encoding="ascii").split()


def _remove(top: Path) -> bool:
    """Remove what can be removed, and tell whether nothing is left."""
    for directory, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not top.exists()


def _lend_controllers(place: Path) -> None:
    """Let those below have the controllers of a control group (v2)."""
    for controller in (place / "cgroup.controllers").read_text(encoding="ascii").split():
        with contextlib.suppress(OSError):  # some cannot be had: real-time tasks are in the way
            (place / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def _inherit(place: Path) -> None:
    for name in _INHERITED:
        own, above = place / name, place.parent / name
        if own.exists() and above.exists() and not own.read_text(encoding="ascii").strip():
            own.write_text(above.read_text(encoding="ascii"), encoding="ascii")
