"""What a program keeps of each injection, as JSON: when, who, where in the kernel, what for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaoskernel.bpf import abi
from chaoskernel.engine import stack
from chaoskernel.fault.hooks import Kind
from chaoskernel.kernel import cgroups
from chaoskernel.kernel.addresses import UNKNOWN
from chaoskernel.kernel.text import Text
from chaoskernel.moment import iso

KEPT = abi.MAX_EVENTS
"""How many of the latest ones a program keeps."""

_OPERATIONS = {
    0: "READ",
    1: "WRITE",
    2: "FLUSH",
    3: "DISCARD",
    5: "SECURE_ERASE",
    9: "WRITE_ZEROES",
}
"""enum req_op, include/linux/blk_types.h."""

_OPERATION_BITS = 0xFF
_MINOR_BITS = 20


def latest(
    written: int, limit: int, slot: Callable[[int], bytes]
) -> tuple[Sequence[abi.Event], int]:
    """Return the latest events, the oldest first, and how many are lost to later ones.

    :param written: how many the program has written so far.
    :param limit: how many to return at most.
    :param slot: reads one of the KEPT slots.
    """
    numbers = range(max(1, written - min(limit, KEPT) + 1), written + 1)
    read = [(number, abi.Event.from_buffer_copy(slot(number % KEPT))) for number in numbers]
    whole = [event for number, event in read if event.sequence == event.begun == number]
    # One that was overwritten while it was read is lost too.
    return whole, max(0, written - KEPT) + len(read) - len(whole)


def to_json(
    events: Sequence[abi.Event],
    kind: Kind,
    hooks: Sequence[str],
    text: Text,
    *,
    boot: float,
) -> list[Any]:
    """Return events as JSON objects.

    :param hooks: the symbols of the fault's hooks: a stack begins at its own.
    :param text: the running kernel's.
    :param boot: when CLOCK_BOOTTIME was 0, in seconds since the epoch; one event has one
        time, however often it is told.
    """
    paths = cgroups.paths_of({int(event.cgroup) for event in events})
    return [
        {
            "at": iso(boot + event.at / 1e9),
            "pid": int(event.pid),
            "tid": int(event.tid),
            "command": event.command.decode(errors="replace"),
            "cgroup": paths.get(int(event.cgroup), str(event.cgroup)),
            "arguments": arguments_of(kind, event),
            "hook": hooks[int(event.hook)],
            "stack": _stack(event, hooks[int(event.hook)], text),
            "stack_kept": event.stack_size != 0,
        }
        for event in events
    ]


def arguments_of(kind: Kind, event: abi.Event) -> Mapping[str, Any]:
    """Return what a request was for, by name; nothing where that is not known."""
    return _ARGUMENTS[kind](event) if kind in _ARGUMENTS else {}


def _stack(event: abi.Event, hook: str, text: Text) -> list[str]:
    """Return a kernel stack; a place without a name would give away where the kernel lies."""
    return [
        f"{place.function}+{place.offset:#x}" if place else UNKNOWN
        for place in stack.of_event(event, text, hook)
    ]


def _of_slab(event: abi.Event) -> Mapping[str, Any]:
    known = {"cache": event.cache.decode(errors="replace"), "size": int(event.arguments[1])}
    return {**(known if event.cache else {}), "gfp_flags": hex(event.arguments[0])}


def _of_page(event: abi.Event) -> Mapping[str, Any]:
    return {"order": int(event.arguments[1]), "gfp_flags": hex(event.arguments[0])}


def _of_bio(event: abi.Event) -> Mapping[str, Any]:
    device, sector, flags, size = map(int, event.arguments)
    operation = flags & _OPERATION_BITS
    return {
        "device": f"{device >> _MINOR_BITS}:{device & ((1 << _MINOR_BITS) - 1)}",
        "sector": sector,
        "operation": _OPERATIONS.get(operation, str(operation)),
        "bytes": size,
    }


_ARGUMENTS: dict[Kind, Callable[[abi.Event], Mapping[str, Any]]] = {
    Kind.SLAB: _of_slab,
    Kind.PAGE: _of_page,
    Kind.BIO: _of_bio,
}
"""What the request was for, by hook; sizes in bytes, sectors of 512 bytes."""
