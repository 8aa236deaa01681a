"""The kernel's stack of a request, from the fault's hook on, whatever the kernel shows above it."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Sequence

from chaoskernel.bpf import abi
from chaoskernel.fault.text_place import Place
from chaoskernel.kernel.text import Text

_ENTRY_BYTES = 32
"""A function calls its trampoline by one of its first instructions."""


def depth_of(event: abi.Event) -> int:
    """Return how many addresses an event's stack has."""
    return max(0, int(event.stack_size)) // ctypes.sizeof(ctypes.c_uint64)


def of_event(event: abi.Event, text: Text, hook: str) -> list[Place | None]:
    """Return an event's stack, the innermost place first; it begins with the hook.

    :param hook: the hook's symbol.
    :returns: None for a place outside the kernel's text.
    """
    places = [text.place(address) for address in event.stack[: depth_of(event)]]
    return list(_without_trampolines(_from_hook(places, hook)))


def _without_trampolines(places: Sequence[Place | None]) -> Iterator[Place | None]:
    """Leave out by what a function was called that a program watches, such as a chain's.

    On arm64 such a function is there twice: it begins, calls a trampoline, and that calls the
    rest of it.
    """
    number = 0
    while number < len(places):
        yield (place := places[number])
        number += 1
        if not place:
            continue
        caller = next((n for n in range(number, len(places)) if places[n]), number)
        again = places[caller] if number < caller else None
        if again and again.function == place.function and again.offset <= _ENTRY_BYTES:
            number = caller + 1


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
