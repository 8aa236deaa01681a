"""The KernelChaos objects of a process; what each is doing is in applied.py."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chaoskernel.backend.record import Record
from chaoskernel.errors import ChaosKernelError, InvalidFault, UnknownFault
from chaoskernel.fault.checks import check_name
from chaoskernel.log import logger
from chaoskernel.shared import Shared

if TYPE_CHECKING:  # most processes apply none, and every control asks here
    from chaoskernel.chaosmesh.applied import Applied


class Registry:
    """The KernelChaos objects of a process, by namespace and name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], Applied] = {}

    def apply(self, new: Sequence[Applied]) -> None:
        """Start objects; all or none.

        :raises InvalidFault: one of that name is there.
        :raises ChaosKernelError: one could not be started, and the others were deleted.
        """
        with contextlib.ExitStack() as undo:
            for each in new:
                key = (each.chaos.namespace, each.chaos.name)
                self._enter(key, each)
                undo.callback(self._give_up, each.chaos.name, each.chaos.namespace)
                each.start()
            undo.pop_all()

    def get(self, name: str, namespace: str) -> Applied:
        """Return an object.

        :raises UnknownFault: there is none of that name.
        :raises InvalidFault: that is no name.
        """
        check_name("name", name)
        check_name("namespace", namespace)
        with self._lock:
            found = self._objects.get((namespace, name))
            known = ", ".join("/".join(key) for key in self._objects)
        if found is None:
            raise UnknownFault(
                f"no KernelChaos {namespace}/{name} was applied by this process",
                hint=f"there are: {known}" if known else "apply_kernel_chaos applies one",
            )
        return found

    def delete(self, name: str, namespace: str) -> Sequence[Record]:
        """Delete an object and return its runs; one that is not there has none.

        :raises EngineError: a program is loaded still.
        :raises InvalidFault: that is no name.
        """
        check_name("name", name)
        check_name("namespace", namespace)
        with self._lock:
            found = self._objects.pop((namespace, name), None)
        return found.delete() if found else ()

    def delete_all(self) -> list[str]:
        """Delete every object; return a line for each that left something behind."""
        troubles = []
        with self._lock:
            keys = list(self._objects)
        for namespace, name in keys:
            try:
                self.delete(name, namespace)
            except ChaosKernelError as error:
                troubles.append(str(error))
        return troubles

    def _give_up(self, name: str, namespace: str) -> None:
        """Undo a start; what could not be undone is logged, for an error is on its way."""
        try:
            self.delete(name, namespace)
        except ChaosKernelError as error:
            logger.error("KernelChaos '%s': %s", name, error)

    def _enter(self, key: tuple[str, str], new: Applied) -> None:
        with self._lock:
            old = self._objects.get(key)
            if old is not None and not old.is_over():
                raise InvalidFault(
                    "metadata.name",
                    key[1],
                    problem="an object of this name is applied",
                    hint="delete that one with delete_kernel_chaos, or rename this one",
                )
            self._objects[key] = new


shared = Shared(Registry)
"""The one registry of this process: it has all that its activities apply."""
