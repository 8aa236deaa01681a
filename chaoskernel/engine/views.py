"""The places of a fault in its containers: each sees the paths in its own way.

An open file keeps its mount and its file system in use.  So what was opened for a container
is let go of as soon as it has gone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from chaoskernel.engine.listing import UNFOLLOWED, Held, Listing
from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.kernel import views
from chaoskernel.kernel.cgroups import Cgroup

_PATIENCE, _PATIENCE_AT_START = 0.2, 10.0
"""Seconds that all the containers of one look may take to open files.

One that does not answer has half of what is left, so that those behind it have theirs.
"""

_MOST_WAITING = 8
"""Containers whose file systems do not answer; with so many, no other one is asked."""

_UNSEEN = "none of its processes has a root of its own that can be looked into"
_SILENT = "a file system does not answer"


class Container(NamedTuple):
    """A container whose view counts.

    :param owner: what the user named to have it in scope.
    """

    owner: str
    group: Cgroup


class _View:
    """What is open of one container.

    :ivar stale: its mounts have changed since they were looked at.
    """

    def __init__(self, container: Container, paths: Sequence[str]) -> None:
        self.container = container
        self.missing = dict.fromkeys(paths, _UNSEEN)
        self.named: list[Held] = []
        self.mounted: list[Held] = []
        self.watch: views.Watch | None = None
        self.stale = False
        self.looking: views.Look | None = None

    def is_due(self) -> bool:
        """Tell whether there is something to look for."""
        if self.watch and self.watch.has_changed():
            self.stale = True
        return bool(self.missing or self.stale)

    def below(self, root: views.Root) -> list[str]:
        """Return where the named places lie, as the mounts of a root spell it."""
        found = []
        for place in (place for held in self.named for place in held.places):
            with contextlib.suppress(OSError):
                found.append(views.inside(root, place.descriptor))
        return found

    def watch_as(self, watch: views.Watch) -> None:
        """Watch the mounts of another process from now on."""
        if self.watch:
            self.watch.close()
        self.watch = watch


class ContainerPlaces:
    """Keeps the places of containers listed while these come and go, and what is mounted there.

    :param key: of the fault, that has the paths.
    :param owners: all that were named; each has at least one container with every path.
    :param containers: returns those that there are now.
    """

    def __init__(
        self,
        listing: Listing,
        key: str,
        paths: Sequence[str],
        owners: Sequence[str],
        containers: Callable[[], Iterable[Container]],
    ) -> None:
        self._listing = listing
        self._key = key
        self._paths = paths
        self._owners = owners
        self._containers = containers
        self._views: dict[int, _View] = {}
        self._looking: list[views.Look] = []
        self._given_up = 0

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
                        self._key,
                        path,
                        f"there in {owner}: {', '.join(why)}",
                        hint="name a file or directory as the container sees it",
                    )

    def look(self) -> None:
        """Open what is new, and let go of what has gone; no trouble with one ends the fault."""
        self._look(_PATIENCE, strict=False)

    def counts(self) -> dict[str, int]:
        """Return how many places are listed, how many containers have none of the paths, and how
        many changes of mounts were not followed."""
        return {
            "places": len(self._listing),
            "containers_without_paths": sum(not v.named for v in self._views.values()),
            UNFOLLOWED: self._given_up + sum(v.stale for v in self._views.values()),
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
            if view.is_due():
                self._open(view, until, strict=strict)

    def _open(self, view: _View, until: float, *, strict: bool) -> None:
        self._looking = [look for look in self._looking if look.is_alive()]
        if view.looking in self._looking or len(self._looking) >= _MOST_WAITING:
            return
        root = views.root_of(view.container.group)
        if not root:
            return
        below = view.below(root) if view.stale else ()
        with contextlib.ExitStack() as undo:
            watch = views.Watch(root.mounts)
            undo.callback(watch.close)
            look = view.looking = views.Look(root, list(view.missing), below)
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
            if self._take(view, seen, strict=strict):
                undo.pop_all()
                view.watch_as(watch)

    def _take(self, view: _View, seen: views.Seen, *, strict: bool) -> bool:
        """Enter what was seen of a container; what is mounted anew replaces what was.

        :returns: False where that was refused.
        """
        owner = view.container.owner
        gone = view.mounted if view.stale and not seen.trouble else []
        try:
            with contextlib.ExitStack() as undo:
                undo.callback(seen.close)
                named = self._listing.enter(seen.places, owner)
                undo.callback(self._listing.release, named)
                mounted = self._listing.enter(seen.mounted, owner)
                undo.pop_all()
        except ChaosKernelError as refused:
            if strict:
                raise
            view.missing = dict.fromkeys(view.missing, str(refused))
            return False
        self._given_up += bool(view.stale and seen.trouble)
        view.missing, view.stale = dict(seen.missing), False
        view.named += [named] if seen.places else []
        view.mounted = [each for each in view.mounted if each not in gone]
        view.mounted += [mounted] if seen.mounted else []
        for held in gone:
            self._let_go(held)
        return True

    def _let_go(self, held: Held) -> None:
        self._listing.release(held)
        views.close(held.places)

    def _release(self, view: _View) -> None:
        """Take a container's places out before their addresses can be those of other files."""
        for held in (*view.named, *view.mounted):
            self._let_go(held)
        if view.watch:
            view.watch.close()
