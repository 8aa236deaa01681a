"""Control groups of a node's pods, as kubelets and runtimes lay them out.

A kubelet makes one for each pod, named by the pod's uid, and the runtime puts those of its
containers below it.  What a container is called is not written there: it is read from where
the kubelet keeps its termination log, which it mounts into every container.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.pods import PodScope
from chaoskernel.kernel.cgroups import CONTAINER, SCHEME, Cgroup

_PROC = Path("/proc")
_ASKED = 4
"""How many processes of a container are asked for its name each second."""

_ALL = 1 << 22

_MOST_REMEMBERED = 4096


class ContainerNames:
    """What containers are called, as the mounts of their processes tell.

    An id is one container's for good, so that a name is looked for until it is found, and then
    remembered: this is asked each second.  The processes of a container have the same mounts, so
    that a few of them are asked at a time, others each time: one may have made mounts of its own.

    :param at_a_time: how many processes of a container are asked.
    """

    def __init__(self, proc: Path = _PROC, at_a_time: int = _ASKED) -> None:
        self._proc = proc
        self._at_a_time = at_a_time
        self._known: dict[str, str] = {}
        self._looks: collections.Counter[str] = collections.Counter()

    def of(self, identity: str, place: Path, uid: str) -> str:
        """Return the name of a container; empty when it cannot be told, or not yet.

        :param place: its control group.
        :param uid: its pod's.
        """
        if identity in self._known:
            return self._known[identity]
        if len(self._known) + len(self._looks) > _MOST_REMEMBERED:  # most of them are long gone
            self._known.clear()
            self._looks.clear()
        pids = list(_processes(place))
        begin = self._looks[identity] * self._at_a_time % max(1, len(pids))
        self._looks[identity] += 1
        for pid in pids[begin : begin + self._at_a_time]:
            if name := _name_of(pid, uid, self._proc):
                self._known[identity] = name
                return name
        return ""


def groups_of(pod: PodScope, root: Path, names: ContainerNames) -> list[Cgroup]:
    """Return the control groups of those containers of a pod that are meant, as of now.

    :param root: where their hierarchy is mounted.
    :return: the pod's own when all are meant; empty when it is not on this node.
    """
    places = list(_places(pod.uid, root))
    if not pod.containers:
        return [Cgroup(_path(place, root), place) for place in places]
    return [
        Cgroup(_path(place, root), place)
        for top in places
        for identity, place in _containers_at(top)
        if _is_meant(pod, identity, place, names)
    ]


def containers_in(groups: Iterable[Cgroup]) -> Iterator[Cgroup]:
    """Yield the control groups of containers at or below those of a pod."""
    for group in groups:
        top = Path(str(group.directory).removesuffix(group.path))
        for _, place in _containers_at(group.directory):
            yield Cgroup(_path(place, top), place)


def require(pods: Sequence[PodScope], root: Path, *, proc: Path = _PROC) -> None:
    """Check that each pod is here, with each container that is meant.

    :raises InvalidFault: one is not.
    """
    names = ContainerNames(proc, _ALL)
    for pod in pods:
        groups = groups_of(pod, root, names)
        if not any(group.populated() for group in groups):
            what = ", ".join(container.name for container in pod.containers) or "any container"
            raise InvalidFault(
                "pods",
                str(pod),
                f"a pod with {what} running on this node",
                hint="it may have moved or restarted; start the fault again",
            )


def _places(uid: str, root: Path) -> Iterator[Path]:
    """Yield a pod's directories.

    The cgroupfs driver names one podUID, systemd's kubepods-CLASS-podUID.slice.  A runtime that
    has the other driver than its kubelet puts containers elsewhere, as SLICE:cri-containerd:ID.
    """
    slices = re.compile(
        rf"(?:[\w-]*-)?pod{uid.replace('-', '_')}\.slice(?::[\w-]+:[0-9a-f]{{64}})?"
    )
    for directory, below, _ in os.walk(root):
        for name in tuple(below):
            if name == f"pod{uid}" or slices.fullmatch(name):
                below.remove(name)
                yield Path(directory, name)


def _containers_at(place: Path) -> Iterator[tuple[str, Path]]:
    if match := CONTAINER.fullmatch(place.name):
        yield match["id"], place
        return
    for directory, below, _ in os.walk(place):
        for name in tuple(below):
            if match := CONTAINER.fullmatch(name):
                below.remove(name)
                yield match["id"], Path(directory, name)


def _is_meant(pod: PodScope, identity: str, place: Path, names: ContainerNames) -> bool:
    if identity in (SCHEME.sub("", container.id) for container in pod.containers):
        return True
    return names.of(identity, place, pod.uid) in [container.name for container in pod.containers]


def _processes(place: Path) -> Iterator[str]:
    for listed in (place / "cgroup.procs", *place.glob("*/cgroup.procs")):
        with contextlib.suppress(OSError):
            yield from listed.read_text(encoding="ascii", errors="replace").split()


def _name_of(pid: str, uid: str, proc: Path) -> str:
    """Return the name of the container that a process is in; empty when it cannot be told."""
    with contextlib.suppress(OSError):
        mounts = (proc / pid / "mountinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(rf"pods/{uid}/containers/([^/\s]+)/", mounts):
            return found[1]
    return ""


def _path(place: Path, root: Path) -> str:
    return f"/{place.relative_to(root)}"
