"""Control groups of the host, from its cgroup file systems.

The program knows a control group by the id that its hierarchy gives it: on a 64-bit
kernel that is its directory's inode number.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chaoskernel.errors import InvalidFault, UnsupportedKernel

_PROC = Path("/proc")
_NEAR = 3
_SHORTEST_ID = 12

SCHEME = re.compile(r"^(?:containerd|cri-o|docker|podman)://")
_ID = re.compile(r"[0-9a-f]{12,64}")
# systemd's driver makes a scope of a container, and cgroupfs's a directory; helpers such as
# crio-conmon-ID.scope are no containers.  Podman puts libpod-payload-ID into the cgroup of the
# service that runs it (Quadlet, --cgroups=split), beside its own helper.  Where a kubelet has
# systemd's driver and its runtime cgroupfs's, there are directories SLICE:cri-containerd:ID.
CONTAINER = re.compile(
    r"(?:(?:cri-containerd|crio|docker|libpod|libpod-payload|nerdctl)-|[^/:]+\.slice:[\w-]+:)?"
    r"(?P<id>[0-9a-f]{64})(?:\.scope)?"
)


_ESCAPE = re.compile(r"\\([0-7]{3})")
_MOUNT_FIELDS = 6

# One is enough to tell a container: runtimes make its cgroup in all of them.
_CONTROLLERS = ("memory", "pids", "cpu", "devices", "freezer")


class Hierarchy(NamedTuple):
    """A tree of control groups.

    :param directory: where it is mounted.
    :param controller: of v1; empty for the v2 hierarchy.
    :param number: as in /proc/cgroups; 0 is the v2 hierarchy.
    """

    directory: Path
    controller: str = ""
    number: int = 0


class Cgroup(NamedTuple):
    """A control group.

    :param path: within its hierarchy, as in /proc/PID/cgroup.
    """

    path: str
    directory: Path

    def populated(self) -> bool:
        """Tell whether a process runs in it or below it."""
        events = self.directory / "cgroup.events"
        with contextlib.suppress(OSError):
            if events.exists():
                return "populated 1" in events.read_text(encoding="ascii")
            # v1 does not tell of what lies below.
            lists = self.directory.rglob("cgroup.procs")
            return any(listed.read_text(encoding="ascii").strip() for listed in lists)
        return False


def scoped(
    paths: Sequence[str],
    containers: Sequence[str],
    *,
    needed: Callable[[Hierarchy], None] | None = None,
    proc: Path = _PROC,
) -> tuple[Hierarchy | None, list[Cgroup]]:
    """Return the control groups that a scope names, and the hierarchy that has them all.

    :param paths: within the hierarchy, or in the file system.
    :param containers: ids, with or without the runtime's scheme.
    :param needed: raises InvalidFault of a hierarchy that lacks something else.
    :return: no hierarchy where none is named.
    :raises InvalidFault: one is not there, is empty, or is this process's own.
    :raises UnsupportedKernel: the host has no hierarchy.
    """
    if not paths and not containers and not needed:
        return None, []
    refused: InvalidFault | None = None
    for hierarchy in hierarchies(proc):
        try:
            if needed:
                needed(hierarchy)
            return hierarchy, _scoped_in(hierarchy, paths, containers, proc)
        except InvalidFault as error:
            refused = refused or error
    if refused:
        raise refused
    raise UnsupportedKernel(
        "this host has no cgroup hierarchy",
        needs="`mount -t cgroup2 none /mnt` makes the kernel's own visible",
    )


def _scoped_in(
    hierarchy: Hierarchy, paths: Sequence[str], containers: Sequence[str], proc: Path
) -> list[Cgroup]:
    own = _own_path(hierarchy, proc)
    found = []
    for path in paths:
        found.append(("cgroups", path, _named(path, hierarchy)))
    for identity in containers:
        found.append(("containers", identity, _container(identity, hierarchy.directory)))
    for key, given, group in found:
        if not group.populated():
            raise InvalidFault(
                key, given, "a control group with a process in it", hint="start the workload first"
            )
        if own == group.path or own.startswith(f"{group.path}/"):
            raise InvalidFault(
                key,
                given,
                "allowed: the experiment itself runs in it",
                hint="run the experiment from another control group",
            )
    return [group for _, _, group in found]


def with_descendants(group: Cgroup) -> set[int]:
    """Return the ids of a control group and of all below it."""
    found = set()
    for directory, _, _ in os.walk(group.directory):
        with contextlib.suppress(FileNotFoundError):  # it was removed in the meantime
            found.add(Path(directory).stat().st_ino)
    return found


def paths_of(identities: set[int], *, proc: Path = _PROC) -> dict[int, str]:
    """Return the paths of control groups (v2) by their ids, of those that are there still."""
    found: dict[int, str] = {}
    for hierarchy in hierarchies(proc):
        if hierarchy.controller:
            continue
        for directory, _, _ in os.walk(hierarchy.directory):
            if found.keys() >= identities:
                break
            with contextlib.suppress(FileNotFoundError):
                number = Path(directory).stat().st_ino
                if number in identities:
                    found[number] = f"/{directory[len(str(hierarchy.directory)) :].strip('/')}"
    return found


def hierarchies(proc: Path = _PROC) -> list[Hierarchy]:
    """Return where cgroups are mounted: v2 first, then the controllers of v1.

    A hybrid host has both, and some runtimes put containers into those of v1 alone.
    """
    v2: list[Hierarchy] = []
    v1: dict[str, Path] = {}
    for where, kind, options in _mounts(proc):
        if kind == "cgroup2" and not v2:
            v2.append(Hierarchy(where))
        if kind == "cgroup":
            for controller in set(options.split(",")) & set(_CONTROLLERS):
                v1.setdefault(controller, where)
    numbers = _numbers(proc) if v1 else {}
    return v2 + [
        Hierarchy(v1[controller], controller, numbers[controller])
        for controller in _CONTROLLERS
        if controller in v1 and numbers.get(controller)
    ]


def _mounts(proc: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield place, kind and options of each mount.

    Users may mount, too, at places with any name: of what Unicode has for blanks and ends of
    lines, the kernel escapes its own alone, as in \\040.
    """
    for line in _text(proc / "self/mounts").split("\n"):
        if len(fields := line.split(" ")) >= _MOUNT_FIELDS:
            _, where, kind, options, *_ = fields
            yield Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), where)), kind, options


def _text(file: Path) -> str:
    """Return a file of the kernel's, in which names of files are any bytes."""
    return file.read_bytes().decode("utf-8", "surrogateescape")


def _numbers(proc: Path) -> dict[str, int]:
    """Return the number of each controller's hierarchy; 0 is the v2 hierarchy."""
    text = (proc / "cgroups").read_text(encoding="ascii")
    return {name: int(number) for name, number in re.findall(r"(?m)^(\w+)\s+(\d+)", text)}


def _named(path: str, hierarchy: Hierarchy) -> Cgroup:
    below, root = Path(path), hierarchy.directory
    if below.is_relative_to(root):
        below = Path("/") / below.relative_to(root)
    if ".." in below.parts:
        raise InvalidFault("cgroups", path, "a path without ..", hint="write it in full")
    if below == Path("/"):
        raise InvalidFault(
            "cgroups", path, "below the root", hint="system_wide: true hits every process"
        )
    group = Cgroup(str(below), root / str(below)[1:])
    if not _is_directory(group.directory):
        import difflib  # noqa: PLC0415 - most scopes name what is there

        near = difflib.get_close_matches(group.path, _paths(root), _NEAR)
        hint = f"near: {', '.join(near)}" if near else "systemd-cgls shows those of this host"
        raise InvalidFault("cgroups", path, f"a control group below {root}", hint=hint)
    return group


def _is_directory(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:  # a name that is longer than a file system takes
        return False


def _container(given: str, root: Path) -> Cgroup:
    identity = SCHEME.sub("", given)
    if not _ID.fullmatch(identity):
        raise InvalidFault(
            "containers",
            given,
            f"a container's id of {_SHORTEST_ID} to 64 hexadecimal digits",
            hint=_by_path(identity, root)
            or "crictl ps --no-trunc or docker ps --no-trunc shows it; where a runtime has names "
            "alone, give the path of its control group: cgroups (--cgroup)",
        )
    found: dict[str, Cgroup] = {}
    for match, group in _containers(root):
        if match.startswith(identity):
            found.setdefault(match, group)
    if len(found) > 1:
        raise InvalidFault(
            "containers",
            given,
            "the beginning of one container's id only",
            hint=f"it is that of {', '.join(sorted(found))}",
        )
    for group in found.values():
        return group
    raise InvalidFault(
        "containers",
        given,
        "a container of this host",
        hint=_by_path(identity, root)
        or "is it running still, and on this host? crictl ps shows those that run; "
        "cgroups (--cgroup) takes the path of its control group instead",
    )


def _by_path(name: str, root: Path) -> str:
    """Return what names the control groups of that name, or with that id in theirs."""
    if not name.strip("/.-_"):
        return ""
    words = re.compile(rf"(?:.*[^0-9A-Za-z])?{re.escape(name)}(?:[^0-9A-Za-z].*)?")
    found = [path for path in _paths(root) if words.fullmatch(Path(path).name)]
    # Whoever may make control groups names them, and a runtime's helper is no container.
    shown = [path for path in found if path.isprintable() and "conmon" not in path][:_NEAR]
    return f"name its control group: cgroups (--cgroup) {' or '.join(shown)}" if shown else ""


def _containers(root: Path) -> Iterator[tuple[str, Cgroup]]:
    """Yield each container's id and control group, an outer one before those inside it."""
    for directory, below, _ in os.walk(root):
        for name in below:
            if match := CONTAINER.fullmatch(name):
                place = Path(directory, name)
                yield match["id"], Cgroup(f"/{place.relative_to(root)}", place)


def _paths(root: Path) -> list[str]:
    return [f"/{Path(directory).relative_to(root)}" for directory, _, _ in os.walk(root)]


def _own_path(hierarchy: Hierarchy, proc: Path) -> str:
    """Return the control group of this process."""
    for line in _text(proc / "self/cgroup").split("\n"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if path and hierarchy.controller in controllers.split(","):
            return path
    return "/"
