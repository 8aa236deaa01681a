"""The faults of one backend, in the order in which they were started, by name."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from chaoskernel.backend.record import Record, State
from chaoskernel.errors import EngineError, InvalidFault, UnknownFault
from chaoskernel.fault.spec import Fault


class Injected(Protocol):
    """A fault and whatever injects it."""

    @property
    def fault(self) -> Fault:
        """The fault."""

    @property
    def armed(self) -> bool:
        """Whether it came into force at any time."""

    def record(self) -> Record:
        """Return what is known of it."""

    def give_up(self) -> None:
        """Undo a start that failed."""

    def stop(self) -> Sequence[str]:
        """End it, and wait for that; return what went wrong."""


Each = TypeVar("Each", bound=Injected)


class Registry(Generic[Each]):
    """Faults that were started, those that are being started too.  Thread-safe.

    :param here: where they are started, as in "was started {here}".
    :param starter: the activity that starts one.
    """

    def __init__(self, here: str, starter: str) -> None:
        self._here = here
        self._starter = starter
        self._lock = threading.Lock()
        self._all: list[Each] = []

    def enter(self, name: str, make: Callable[[], Each], undo: contextlib.ExitStack) -> Each:
        """Make what injects a fault, and list it; `undo` gives it up and forgets it.

        It is listed before it is armed, so that a stop finds it in every state.

        :raises InvalidFault: a fault of that name is active.
        """
        with self._lock:
            for each in self._all:
                if each.fault.name == name and each.record().state is State.ACTIVE:
                    raise InvalidFault(
                        "name",
                        name,
                        problem="a fault of that name is active",
                        hint="stop that one first, or take another name",
                    )
            new = make()
            self._all.append(new)
            undo.callback(self._all.remove, new)
            undo.callback(new.give_up)
            return new

    def named(self, name: str) -> Each:
        """Return the latest fault of a name that was armed.

        :raises UnknownFault: there is none.
        """
        armed = self._armed()
        for each in reversed(armed):
            if each.fault.name == name:
                return each
        known = ", ".join(dict.fromkeys(each.fault.name for each in armed))
        raise UnknownFault(
            f"no fault named '{name}' was started {self._here}",
            hint=f"there are: {known}" if known else f"{self._starter} starts one",
        )

    def records(self) -> list[Record]:
        """Return what is known of every fault that was armed."""
        return [each.record() for each in self._armed()]

    def chosen(self, name: str) -> list[Each]:
        """Return the latest fault of a name, or with no name all of them, armed or not."""
        with self._lock:
            chosen = [each for each in self._all if name in ("", each.fault.name)]
        return chosen[-1:] if name else chosen

    def _armed(self) -> list[Each]:
        with self._lock:
            return [each for each in self._all if each.armed]


def stop_each(chosen: Sequence[Injected], *, hint: str) -> list[Record]:
    """Stop faults; return those that were armed, with their final counters.

    Each is seen to before an error of one of them is raised.

    :raises EngineError: something went wrong.
    """
    troubles = [trouble for each in chosen for trouble in each.stop()]
    if troubles:
        raise EngineError("; ".join(troubles), hint=hint)
    return [each.record() for each in chosen if each.armed]
