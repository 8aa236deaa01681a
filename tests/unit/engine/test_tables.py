"""The state that a program and its owner share: a file stands for the program's map."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.bpf import abi
from chaoskernel.engine import tables

SIZE = ctypes.sizeof(abi.State)


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = os.memfd_create("state")
    os.ftruncate(descriptor, SIZE)
    yield descriptor
    os.close(descriptor)


def seen(descriptor: int) -> abi.State:
    """Return the state as the program has it."""
    return abi.State.from_buffer_copy(os.pread(descriptor, SIZE, 0))


def test_the_head_is_that_of_the_programs_state(memory: int) -> None:
    state = tables.state_in(memory)
    state.head.deadline, state.head.sparing = 7, 8
    state.head.failed[1].injected = 9
    program = seen(memory)
    assert (program.deadline, program.sparing, program.failed[1].injected) == (7, 8, 9)
    assert ctypes.sizeof(tables.Head) == abi.State.members.offset


@pytest.mark.parametrize("pid", [0, 1, 4095, tables.WINDOW - 1, tables.WINDOW, abi.NR_IDS - 1])
def test_a_process_is_listed_in_its_own_byte(memory: int, pid: int) -> None:
    tables.state_in(memory).members[pid] = 3
    program = seen(memory)
    assert program.members[pid] == 3
    assert sum(program.members) == 3
    assert not any((sum(program.busy), sum(program.places), program.deadline))


@pytest.mark.parametrize("place", [0, abi.NR_PLACES - 1])
def test_the_last_table_ends_where_the_state_does(memory: int, place: int) -> None:
    tables.state_in(memory).places[place] = 1
    program = seen(memory)
    assert program.places[place] == 1
    assert sum(program.places) == 1


def test_what_a_scope_does_not_reach_is_not_mapped(memory: int) -> None:
    """A mapping of a map is resident as a whole."""
    before = mapped()
    state = tables.state_in(memory)
    for pid in range(1, 30_000):
        state.members[pid] = 1
    assert mapped() - before <= 3 * tables.WINDOW


def mapped() -> int:
    """Return how many bytes of memfds this process has mapped."""
    maps = Path("/proc/self/maps").read_text(encoding="ascii").splitlines()
    ranges = [line.split()[0].split("-") for line in maps if "/memfd:state" in line]
    return sum(int(end, 16) - int(begin, 16) for begin, end in ranges)
