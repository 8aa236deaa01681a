"""The places of a fault in its containers: each sees the paths in its own way.

An open file keeps its mount and its file system in use.  So what was opened for a container
is let go of as soon as it has gone.
"""

from __future__ import annotations

import collections
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from chaoskernel.bpf.abi import MAX_PLACES
from chaoskernel.errors import ChaosKernelError, EngineError, InvalidFault
from chaoskernel.kernel import views
from chaoskernel.kernel.cgroups import Cgroup
from chaoskernel.kernel.files import Place

_PATIENCE, _PATIENCE_AT_START = 0.2, 10.0
"""Seconds that all the containers of one look may take to open files.

One that does not answer has half of what is left, so that those behind it have theirs.
"""

_MOST_WAITING = 8
"""Containers whose file systems do not answer; with so many, no other one is asked."""

_UNSEEN = "none of its processes has a root of its own that can be looked into"
_SILENT = "a file system does not answer"


class Places(Protocol):
    """The program's table of places."""

    def list_places(self, places: Iterable[Place]) -> Sequence[int]:
        """Enter files and directories; return their addresses in the kernel."""

    def unlist_places(self, addresses: Iterable[int]) -> None:
        """Take places out."""


class Container(NamedTuple):
    """A container whose view counts.

    :param owner: what the user named to have it in scope.
    """

    owner: str
    group: Cgroup


class _View:
    """What is open of one container."""

    def __init__(self, container: Container, paths: Sequence[str]) -> None:
        self.container = container
        self.missing = dict.fromkeys(paths, _UNSEEN)
        self.held: list[views.Seen] = []
        self.addresses: list[int] = []
        self.looking: views.Look | None = None


class ContainerPlaces:
    """Keeps the places of containers listed while these come and go.

    :param owners: all that were named; each has at least one container with every path.
    :param containers: returns those that there are now.
    :param others: addresses of places that are listed already, and stay.
    """

    def __init__(
        self,
        table: Places,
        paths: Sequence[str],
        owners: Sequence[str],
        containers: Callable[[], Iterable[Container]],
        others: Iterable[int] = (),
    ) -> None:
        self._table = table
        self._paths = paths
        self._owners = owners
        self._containers = containers
        self._listed = collections.Counter(others)
        self._views: dict[int, _View] = {}
        self._looking: list[views.Look] = []

    def begin(self) -> None:
        """Open what is there; the fault may begin.

        :raises InvalidFault: no container of an owner has one of the paths.
        :raises EngineError: there are more places than the program has room for.
        """
        self._look(_PATIENCE_AT_START, strict=True)
        for owner in self._owners:
            missing = [v.missing for v in self._views.values() if v.container.owner == owner]
            for path in self._paths:
                if all(path in each for each in missing):
                    why = dict.fromkeys(each[path] for each in missing) or (_UNSEEN,)
                    raise InvalidFault(
                        "paths",
                        path,
                        f"there in {owner}: {', '.join(why)}",
                        hint="name a file or directory as the container sees it",
                    )

    def look(self) -> None:
        """Open what is new, and let go of what has gone; no trouble with one ends the fault."""
        self._look(_PATIENCE, strict=False)

    def counts(self) -> dict[str, int]:
        """Return how many places are listed, and how many containers have none of the paths."""
        return {
            "places": len(self._listed),
            "containers_without_paths": sum(not v.held for v in self._views.values()),
        }

    def close(self) -> None:
        """Let go of everything."""
        for view in self._views.values():
            self._release(view)
        self._views.clear()

    def _look(self, seconds: float, *, strict: bool) -> None:
        there: dict[int, Container] = {}
        for container in self._containers():
            with contextlib.suppress(OSError):  # it has gone
                if container.group.populated():
                    there[container.group.directory.stat().st_ino] = container
        for identity in self._views.keys() - there.keys():
            self._release(self._views.pop(identity))
        until = time.monotonic() + seconds
        for identity, container in there.items():
            view = self._views.setdefault(identity, _View(container, self._paths))
            if view.missing:
                self._open(view, until, strict=strict)

    def _open(self, view: _View, until: float, *, strict: bool) -> None:
        self._looking = [look for look in self._looking if look.is_alive()]
        if view.looking in self._looking or len(self._looking) >= _MOST_WAITING:
            return
        root = views.root_of(view.container.group)
        if not root:
            return
        look = view.looking = views.Look(root, list(view.missing))
        try:
            look.start()
        except RuntimeError:  # there is no thread for it now
            root.close()
            return
        self._looking.append(look)
        seen = look.result(max(0.0, until - time.monotonic()) / 2)
        if seen is None:
            view.missing = dict.fromkeys(view.missing, _SILENT)
            return
        try:
            addresses = self._enter(seen.places)
        except (ChaosKernelError, OSError) as refused:
            seen.close()
            if isinstance(refused, OSError):
                refused = EngineError(
                    f"a file of {view.container.owner} is not to be seen: {refused}"
                )
            if strict:
                raise refused from None
            view.missing = dict.fromkeys(view.missing, str(refused))
            return
        view.missing = dict(seen.missing)
        if seen.places:
            view.held.append(seen)
            view.addresses += addresses

    def _enter(self, places: Sequence[Place]) -> Sequence[int]:
        if len(self._listed) + len(places) > MAX_PLACES:
            raise EngineError(
                f"the containers have more than {MAX_PLACES} files, directories and file "
                "systems at these paths",
                hint="name fewer paths, or select fewer pods of a node",
            )
        addresses = self._table.list_places(places)
        self._listed.update(addresses)
        return addresses

    def _release(self, view: _View) -> None:
        """Take a container's places out before their addresses can be those of other files."""
        self._listed.subtract(view.addresses)
        over = [address for address in {*view.addresses} if not self._listed[address]]
        self._table.unlist_places(over)
        for address in over:
            del self._listed[address]
        for seen in view.held:
            seen.close()
