"""The kernel's stack of a request, from the fault's hook on, whatever the kernel shows above it."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence

from chaoskernel.bpf import abi
from chaoskernel.fault.text_place import Place
from chaoskernel.kernel.text import Text


def depth_of(event: abi.Event) -> int:
    """Return how many addresses an event's stack has."""
    return max(0, int(event.stack_size)) // ctypes.sizeof(ctypes.c_uint64)


def of_event(event: abi.Event, text: Text, hook: str) -> list[Place | None]:
    """Return an event's stack, the innermost place first; it begins with the hook.

    :param hook: the hook's symbol.
    :returns: None for a place outside the kernel's text.
    """
    return _from_hook([text.place(address) for address in event.stack[: depth_of(event)]], hook)


def _from_hook(places: Sequence[Place | None], hook: str) -> list[Place | None]:
    """Return a stack without the fault's program, its trampoline, and what the program called.

    A kernel that enters trampolines by a jump, as Linux 7.2 does, has no frame of the
    hook there: the program runs in its place.
    """
    for number, place in enumerate(places):
        if place and place.function == hook:
            return list(places[number:])
    if not any(places):
        return list(places)  # the kernel hides its addresses
    from_program = itertools.dropwhile(bool, places) if None in places else places
    return [Place(hook, 0), *itertools.dropwhile(lambda place: place is None, from_program)]
