"""Control groups of a test cluster: one directory in each hierarchy of the host.

Unlike everything else of a cluster these outlive its processes when it is killed; then they are
empty, and the next start removes them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PREFIX = "chaoskernel-cluster-"

_MOUNTS = Path("/proc/self/mountinfo")
_REMOVE_SECONDS = 5.0
# A control group of cpuset takes no process before it has both.
_INHERITED = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy of control groups.

    :param options: of its mount: the v1 controllers are among them.
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
            found.append(Hierarchy(Path(before.split(" ")[4]), kind, options))
    return found


def make(path: str) -> list[Path]:
    """Make a control group in every hierarchy, with the controllers that there are.

    :param path: below the root of each, such as chaoskernel-cluster-1/node-1.
    """
    found = []
    for hierarchy in hierarchies():
        place = hierarchy.place
        for part in Path(path).parts:
            if hierarchy.is_v2:
                _enable_controllers(place)
            place /= part
            place.mkdir(exist_ok=True)
            _inherit(place)
        found.append(place)
    return found


def join(path: str, pid: int) -> None:
    """Put a process into a control group that was made."""
    for hierarchy in hierarchies():
        (hierarchy.place / path / "cgroup.procs").write_text(f"{pid}\n", encoding="ascii")


def sweep() -> None:
    """Remove the control groups of clusters that are no more."""
    for hierarchy in hierarchies():
        for top in hierarchy.place.glob(f"{PREFIX}*"):
            if not any(_processes(top)):
                _remove(top)


def remove(path: str) -> None:
    """Remove a control group with all below it; its processes are ending."""
    tops = [hierarchy.place / path for hierarchy in hierarchies()]
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


def _enable_controllers(place: Path) -> None:
    """Let those below have the controllers of a control group (v2)."""
    for controller in (place / "cgroup.controllers").read_text(encoding="ascii").split():
        with contextlib.suppress(OSError):  # some cannot be had: real-time tasks are in the way
            (place / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def _inherit(place: Path) -> None:
    for name in _INHERITED:
        own, above = place / name, place.parent / name
        if own.exists() and above.exists() and not own.read_text(encoding="ascii").strip():
            own.write_text(above.read_text(encoding="ascii"), encoding="ascii")
