"""What is mounted below the directories of a fault on its own host, as it comes and goes.

A mount that is open could not be unmounted: what is held is a mount of this process's own, and
the file system stays in use for a second after it was unmounted.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaoskernel.engine.listing import UNFOLLOWED, Held, Listing
from chaoskernel.errors import ChaosKernelError, EngineError, InvalidFault
from chaoskernel.kernel import views
from chaoskernel.kernel.files import Place

_HOST = "this host"
_PATIENCE, _PATIENCE_AT_START = 0.2, 10.0
"""Seconds for opening the mount points: a file system may not answer."""


class HostMounts:
    """Keeps the file systems below directories listed.

    :param paths: of the directories, as the user named them.
    :param places: the same, open; they stay so while this is in use.
    """

    def __init__(self, listing: Listing, paths: Sequence[str], places: Sequence[Place]) -> None:
        self._listing = listing
        self._paths = paths
        self._places = places
        self._held: Held | None = None
        self._watch: views.Watch | None = None
        self._look: views.Look | None = None
        self._stale = True
        self._given_up = 0

    def begin(self) -> None:
        """Open what is mounted there; the fault may begin.

        :raises InvalidFault: these are too many.
        :raises EngineError: there is no room for them, or a file system does not answer.
        """
        seen = self._seen(_PATIENCE_AT_START)
        if seen is None:
            raise EngineError(
                f"a file system below {', '.join(self._paths)} does not answer",
                hint="unmount it, or name directories beside it",
            )
        if seen.trouble:
            raise InvalidFault(
                "paths",
                ", ".join(self._paths),
                problem=seen.trouble,
                hint="name directories further down",
            )
        self._take(seen)

    def look(self) -> None:
        """Open what is mounted there now, if that has changed; no trouble ends the fault."""
        if self._watch and self._watch.has_changed():
            self._stale = True
        if not self._stale or (self._look and self._look.is_alive()):
            return
        try:
            if seen := self._seen(_PATIENCE):
                self._take(seen)
        except (ChaosKernelError, RuntimeError, OSError):
            # Without a thread, descriptors or room: what is mounted next is another chance.
            self._stale = False
            self._given_up += 1

    def counts(self) -> dict[str, int]:
        """Return how many places are listed, and how many changes of mounts were not followed."""
        return {"places": len(self._listing), UNFOLLOWED: self._given_up + self._stale}

    def close(self) -> None:
        """Let go of everything."""
        if self._held:
            self._listing.release(self._held)
            views.close(self._held.places)
        if self._watch:
            self._watch.close()
        self._held = self._watch = None

    def _seen(self, seconds: float) -> views.Seen | None:
        root = views.own_root()
        try:
            self._watch = self._watch or views.Watch(root.mounts)
            below = [views.inside(root, place.descriptor) for place in self._places]
            self._look = views.Look(root, (), below)
            self._look.start()
        except (OSError, RuntimeError):
            root.close()
            raise
        return self._look.result(seconds)

    def _take(self, seen: views.Seen) -> None:
        self._stale = False
        if seen.trouble:
            self._given_up += 1
            return
        try:
            held = self._listing.enter(seen.mounted, _HOST)
        except ChaosKernelError:
            seen.close()
            raise
        gone, self._held = self._held, held
        if gone:
            self._listing.release(gone)
            views.close(gone.places)
