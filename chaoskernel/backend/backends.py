"""The backends of this process: this host, and the clusters that its activities have named."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from chaoskernel.backend.local import LocalBackend
from chaoskernel.backend.record import Backend, Record, State
from chaoskernel.errors import ChaosKernelError, EngineError, UnknownFault
from chaoskernel.fault.sites import Site
from chaoskernel.shared import Shared


class Backends:
    """Several backends as one: each fault is looked for in all of them.

    :param first: where faults are started.
    """

    def __init__(self, first: Backend) -> None:
        self._first = first
        self._others: dict[object, Backend] = {}
        self._lock = threading.Lock()

    def other(self, key: object, make: Callable[[], Backend]) -> Backend:
        """Return the backend that goes by a key; it is made when it is first asked for."""
        with self._lock:
            if key not in self._others:
                self._others[key] = make()
            return self._others[key]

    def start(self, fault: Any) -> Record:
        """Inject a fault at the first backend; see `Backend.start`."""
        return self._first.start(fault)

    def counters(self, name: str) -> dict[str, Any]:
        """See `Backend.counters`."""
        return self._having(name).counters(name)

    def events(self, name: str, limit: int) -> dict[str, Any]:
        """See `Backend.events`."""
        return self._having(name).events(name, limit)

    def sites(self, name: str) -> Sequence[tuple[Site, int]]:
        """See `Backend.sites`."""
        return self._having(name).sites(name)

    def record(self, name: str) -> Record:
        """See `Backend.record`."""
        return self._having(name).record(name)

    def records(self) -> Sequence[Record]:
        """See `Backend.records`; those of one backend are together."""
        return [record for backend in self._all() for record in backend.records()]

    def stop(self, name: str = "") -> Sequence[Record]:
        """See `Backend.stop`; every backend is seen to before an error of one is raised."""
        stopped: list[Record] = []
        troubles: list[ChaosKernelError] = []
        for backend in self._all():
            try:
                stopped += backend.stop(name)
            except ChaosKernelError as error:
                troubles.append(error)
        if len(troubles) == 1:
            raise troubles[0]
        if troubles:
            raise EngineError("; ".join(map(str, troubles)))
        return stopped

    def _all(self) -> list[Backend]:
        with self._lock:
            return [self._first, *self._others.values()]

    def _having(self, name: str) -> Backend:
        """Return the backend that has a fault, rather one where it is in force.

        :raises UnknownFault: none has it.
        """
        found: list[tuple[Backend, Record]] = []
        refused: UnknownFault | None = None
        for backend in self._all():
            try:
                found.append((backend, backend.record(name)))
            except UnknownFault as error:
                refused = refused or error
        active = [backend for backend, record in found if record.state is State.ACTIVE]
        if not found:
            assert refused is not None, "there is at least one backend"
            raise refused
        return active[-1] if active else found[-1][0]


shared = Shared(lambda: Backends(LocalBackend()))
"""The one backend of this process: it has all the faults that its activities start."""


def sharing(backend: Backend) -> contextlib.AbstractContextManager[Backends]:
    """Make another backend the one of this process for a while."""
    return shared.replaced(Backends(backend))
