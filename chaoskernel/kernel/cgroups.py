"""Control groups of the host, from its cgroup file systems.

The program knows a control group by the id that the v2 hierarchy gives it: on a
64-bit kernel that is its directory's inode number.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaoskernel.errors import InvalidFault, UnsupportedKernel

_PROC = Path("/proc")
_NEAR = 3
_SHORTEST_ID = 12

_SCHEME = re.compile(r"^(?:containerd|cri-o|docker|podman)://")
_ID = re.compile(r"[0-9a-f]{12,64}")
# systemd's driver makes a scope of a container, and cgroupfs's a directory; helpers such as
# crio-conmon-ID.scope are no containers.
_CONTAINER = re.compile(
    r"(?:(?:cri-containerd|crio|docker|libpod|nerdctl)-)?(?P<id>[0-9a-f]{64})(?:\.scope)?"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Cgroup:
    """A control group of the v2 hierarchy.

    :param path: within the hierarchy, as in /proc/PID/cgroup.
    """

    path: str
    directory: Path

    def populated(self) -> bool:
        """Tell whether a process runs in it or below it."""
        with contextlib.suppress(OSError):
            return "populated 1" in (self.directory / "cgroup.events").read_text(encoding="ascii")
        return False


def scoped(paths: Sequence[str], containers: Sequence[str], *, proc: Path = _PROC) -> list[Cgroup]:
    """Return the control groups that a scope names.

    :param paths: within the hierarchy, or in the file system.
    :param containers: ids, with or without the runtime's scheme.
    :raises InvalidFault: one is not there, is empty, or is this process's own.
    :raises UnsupportedKernel: the host has no v2 hierarchy.
    """
    if not paths and not containers:
        return []
    root = mounted(proc)
    groups = [_named(path, root) for path in paths]
    groups += [_container(identity, root) for identity in containers]
    own = _own_path(proc)
    for key, given, group in zip(
        ["cgroups"] * len(paths) + ["containers"] * len(containers),
        [*paths, *containers],
        groups,
        strict=True,
    ):
        if own == group.path or own.startswith(f"{group.path}/"):
            raise InvalidFault(
                key,
                given,
                "allowed: the experiment itself runs in it",
                hint="run the experiment from another control group",
            )
    return groups


def with_descendants(group: Cgroup) -> set[int]:
    """Return the ids of a control group and of all below it."""
    found = set()
    for directory, _, _ in os.walk(group.directory):
        with contextlib.suppress(FileNotFoundError):  # it was removed in the meantime
            found.add(Path(directory).stat().st_ino)
    return found


def paths_of(identities: set[int], *, proc: Path = _PROC) -> dict[int, str]:
    """Return the paths of control groups by their ids, of those that are there still."""
    found: dict[int, str] = {}
    with contextlib.suppress(UnsupportedKernel):
        root = mounted(proc)
        for directory, _, _ in os.walk(root):
            if found.keys() >= identities:
                break
            with contextlib.suppress(FileNotFoundError):
                number = Path(directory).stat().st_ino
                if number in identities:
                    found[number] = f"/{directory[len(str(root)) :].strip('/')}"
    return found


def mounted(proc: Path = _PROC) -> Path:
    """Return where the v2 hierarchy is mounted; on a hybrid host that is beside the others.

    :raises UnsupportedKernel: it is mounted nowhere.
    """
    for line in (proc / "self/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise UnsupportedKernel(
        "this host has no cgroup v2 hierarchy",
        needs="`mount -t cgroup2 none /mnt` makes it visible; name pids where containers are in v1",
    )


def _named(path: str, root: Path) -> Cgroup:
    below = Path(path)
    if below.is_relative_to(root):
        below = Path("/") / below.relative_to(root)
    if ".." in below.parts:
        raise InvalidFault("cgroups", path, "a path without ..", hint="write it in full")
    if below == Path("/"):
        raise InvalidFault(
            "cgroups", path, "below the root", hint="system_wide: true hits every process"
        )
    group = Cgroup(str(below), root / str(below)[1:])
    if not group.directory.is_dir():
        near = difflib.get_close_matches(group.path, _paths(root), _NEAR)
        hint = f"near: {', '.join(near)}" if near else "systemd-cgls shows those of this host"
        raise InvalidFault("cgroups", path, f"a control group below {root}", hint=hint)
    return _in_use("cgroups", path, group)


def _container(given: str, root: Path) -> Cgroup:
    identity = _SCHEME.sub("", given)
    if not _ID.fullmatch(identity):
        raise InvalidFault(
            "containers",
            given,
            f"a container's id of {_SHORTEST_ID} to 64 hexadecimal digits",
            hint="crictl ps --no-trunc or docker ps --no-trunc shows it",
        )
    found = {match: group for match, group in _containers(root) if match.startswith(identity)}
    if len(found) > 1:
        raise InvalidFault(
            "containers",
            given,
            "the beginning of one container's id only",
            hint=f"it is that of {', '.join(sorted(found))}",
        )
    for group in found.values():
        return _in_use("containers", given, group)
    raise InvalidFault(
        "containers",
        given,
        "a container of this host",
        hint="is it running still, and on this host's cgroup v2? crictl ps shows those that run",
    )


def _in_use(key: str, given: str, group: Cgroup) -> Cgroup:
    if not group.populated():
        raise InvalidFault(
            key, given, "a control group with a process in it", hint="start the workload first"
        )
    return group


def _containers(root: Path) -> Iterator[tuple[str, Cgroup]]:
    """Yield each container's id and control group, the outermost of nested ones."""
    for directory, below, _ in os.walk(root):
        for name in tuple(below):
            if match := _CONTAINER.fullmatch(name):
                below.remove(name)
                place = Path(directory, name)
                yield match["id"], Cgroup(f"/{place.relative_to(root)}", place)


def _paths(root: Path) -> list[str]:
    return [f"/{Path(directory).relative_to(root)}" for directory, _, _ in os.walk(root)]


def _own_path(proc: Path) -> str:
    """Return the control group of this process in the v2 hierarchy."""
    found = re.search(r"(?m)^0::(.*)$", (proc / "self/cgroup").read_text(encoding="utf-8"))
    return found[1] if found else "/"
