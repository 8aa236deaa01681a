"""The tables of a fault's program, which are the same for both engines."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from chaoskernel.bpf import abi
from chaoskernel.engine import events
from chaoskernel.errors import EngineError

LISTED = 1

WINDOW = 1 << 17
"""Bytes that are mapped at a time: the ids of most hosts, and a multiple of any page."""


class MapCalls(NamedTuple):
    """How a library asks the kernel for maps; each returns 0, or something else on an error."""

    update: Callable[..., int]
    lookup: Callable[..., int]
    delete: Callable[..., int]
    next_key: Callable[..., int]


class Table:
    """A table (map) of a loaded program.

    :param calls: of the engine's library.
    :param key: its type, and that of its values, as ctypes has them.
    """

    def __init__(self, calls: MapCalls, descriptor: int, key: type[Any], value: type[Any]) -> None:
        self._calls = calls
        self._descriptor = descriptor
        self._key, self._value = key, value

    def __setitem__(self, key: Any, value: Any) -> None:
        code = self._calls.update(
            self._descriptor, ctypes.byref(self._in_c(key)), ctypes.byref(self._value(value)), 0
        )
        if code:
            raise EngineError(f"a table of the program's is full: {os.strerror(-code)}")

    def __getitem__(self, key: Any) -> Any:
        value = self._value()
        code = self._calls.lookup(
            self._descriptor, ctypes.byref(self._in_c(key)), ctypes.byref(value)
        )
        assert not code, "arrays have a value for every index"
        return value

    def pop(self, key: Any) -> None:
        """Take a key out; one that is not there is no error."""
        self._calls.delete(self._descriptor, ctypes.byref(self._in_c(key)))

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Yield what is there; what comes or goes meanwhile may or may not be among it."""
        last = None
        following = self._key()
        while not self._calls.next_key(
            self._descriptor, last and ctypes.byref(last), ctypes.byref(following)
        ):
            last, following = following, self._key()
            value = self._value()
            code = self._calls.lookup(self._descriptor, ctypes.byref(last), ctypes.byref(value))
            if not code:
                yield last, value

    def _in_c(self, key: Any) -> Any:
        is_text = isinstance(key, bytes)
        return (
            ctypes.create_string_buffer(key, ctypes.sizeof(self._key))
            if is_text
            else self._key(key)
        )


def in_memory(descriptor: int, kind: type[Any]) -> Any:
    """Return the value of a map, in memory that its programs have too."""
    # The structure keeps the mapping, and a mapping keeps its map: both go when it does.
    return kind.from_buffer(mmap.mmap(descriptor, ctypes.sizeof(kind)))


class Head(ctypes.Structure):
    """What `struct chaos_state` has before its tables."""

    _fields_ = tuple(itertools.takewhile(lambda field: field[0] != "members", abi.State._fields_))


class Bytes:
    """A table of bytes in a map of one value: what is written to is mapped, a window at a time.

    All pages of a mapping of a map are resident from the start, and these tables have a byte for
    each id that a process can have.

    :param descriptor: of the map, which is as long-lived as this.
    :param begin: where the table is in the value.
    :param end: where the value ends.
    """

    def __init__(self, descriptor: int, begin: int, end: int) -> None:
        self._descriptor = descriptor
        self._begin, self._end = begin, end
        self._windows: dict[int, mmap.mmap] = {}

    def __setitem__(self, number: int, value: int) -> None:
        window, place = divmod(self._begin + number, WINDOW)
        if window not in self._windows:
            offset = window * WINDOW
            self._windows[window] = mmap.mmap(
                self._descriptor, min(WINDOW, self._end - offset), offset=offset
            )
        self._windows[window][place] = value


class State(NamedTuple):
    """The memory that a program and its owner see: `struct chaos_state`.

    :param members: by thread group.
    :param places: by address.
    """

    head: Any
    members: Bytes
    places: Bytes


def state_in(descriptor: int) -> State:
    """Return the state that is the one value of a map."""
    end = ctypes.sizeof(abi.State)
    return State(
        in_memory(descriptor, Head),
        Bytes(descriptor, abi.State.members.offset, end),
        Bytes(descriptor, abi.State.places.offset, end),
    )


class ProgramTables:
    """What a program and its owner share; see `arming.Module`.

    :param state: the memory that both see.
    :param table: returns a table by its name, and the types of its keys and values.
    :param cpus: how many values a per-CPU table has for each key.
    """

    def __init__(
        self, state: State, table: Callable[[str, type[Any], type[Any]], Table], cpus: int
    ) -> None:
        self._state = state
        self._table = table
        self._cpus = cpus
        self._unlisted = 0
        self._counts = table("counts", ctypes.c_uint32, abi.Counts * cpus)
        self._cgroups = table("cgroups", ctypes.c_uint64, ctypes.c_uint16)

    def set_deadline(self, until: int) -> None:
        """See `Module.set_deadline`."""
        self._state.head.deadline = until

    def trust_cleanups(self) -> None:
        """See `Module.trust_cleanups`."""
        self._state.head.cleanups = 1

    def counters(self) -> dict[str, int]:
        """Return the counters, summed over the CPUs."""
        each = self._counts[0]
        return {
            name: sum(cpu.counters[number] for cpu in each)
            for number, name in enumerate(abi.COUNTERS)
        }

    def hook(self, number: int) -> dict[str, int]:
        """See `Witness.hook`."""
        each = self._counts[0]
        return {
            name: sum(getattr(cpu.hooks[number], name) for cpu in each)
            for name in abi.HOOK_COUNTERS
        }

    def frame(self, number: int) -> dict[str, int]:
        """See `Module.frame`."""
        each = self._counts[0]
        return {
            "entered": sum(cpu.entered[number] for cpu in each),
            "matched": sum(cpu.matched[number] for cpu in each),
        }

    def calls_near(self, number: int) -> int:
        """See `Module.calls_near`."""
        return sum(cpu.near[number] for cpu in self._counts[0])

    def pod(self, number: int) -> int:
        """See `Module.pod`."""
        per_cpu = ctypes.c_uint64 * self._cpus
        return sum(self._table("pods", ctypes.c_uint32, per_cpu)[number])

    def hits(self) -> list[dict[str, Any]]:
        """See `Module.hits`."""
        table = self._table("hit", abi.Process, abi.Hits)
        found = sorted(table.items(), key=lambda item: int(item[0].started))
        return [
            {
                "pid": int(process.pid),
                "command": hits.command.decode(errors="replace"),
                "injected": int(hits.count),
            }
            for process, hits in found
        ]

    def events(self, limit: int) -> tuple[Sequence[abi.Event], int]:
        """See `Module.events`."""
        table = self._table("events", ctypes.c_uint32, abi.Event)
        last = int(self._state.head.last_event)
        return events.latest(last, limit, lambda slot: bytes(table[slot]))

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        """See `Tables.list_processes`."""
        for pid in pids:
            self._state.members[pid] = membership

    def unlist_processes(self, pids: Iterable[int]) -> None:
        """See `Tables.unlist_processes`.

        Where control groups count, the program asks for those of a process that has the id by now.
        """
        for pid in pids:
            self._state.members[pid] = self._unlisted

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        """See `Tables.list_cgroups`."""
        for identity in identities:
            self._cgroups[identity] = pod

    def list_commands(self, names: Iterable[str]) -> None:
        """See `Tables.list_commands`."""
        table = self._table("commands", abi.Command, ctypes.c_uint8)
        for name in names:
            table[name.encode()] = LISTED
