"""Which system calls a fault fails."""

from __future__ import annotations

import re

import pytest

from chaoskernel.fault.families import FAMILIES, call_of, kinds_of, near_calls
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.kernel import syscalls

CALLS = {call.name for call in syscalls.CALLS}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_family_has_the_calls_that_the_table_of_faults_names(kind: Kind) -> None:
    named = set(re.findall(r"\w+", TABLE[kind].fails)) & CALLS
    of_others = {"read", "write", "fork", "exec", "open"}
    assert named - set(FAMILIES[kind]) - of_others == set()


def test_every_call_of_a_family_has_a_number() -> None:
    assert {call for calls in FAMILIES.values() for call in calls} == CALLS


def test_a_receipt_may_be_a_read() -> None:
    assert kinds_of("read") == (Kind.READ,)
    assert kinds_of("read", on_socket=True) == (Kind.READ, Kind.RECV)
    assert kinds_of("fdatasync") == (Kind.FSYNC,)
    assert kinds_of("mmap") == (Kind.MMAP, Kind.MEMORY)
    assert kinds_of("getppid") == ()


@pytest.mark.parametrize("kind", Kind)
def test_what_is_near_a_fault_can_be_counted_and_does_not_fail_by_it(kind: Kind) -> None:
    near = set(near_calls(kind))
    assert near <= CALLS
    assert near.isdisjoint(FAMILIES.get(kind, ()))


@pytest.mark.parametrize("function", ["sys_fsync", "SyS_fsync", "__x64_sys_fsync"])
def test_near_a_system_call_are_those_of_its_family(function: str) -> None:
    assert call_of(function) == "fsync"
    assert near_calls(Kind.FUNCTION, "fsync") == ["fdatasync", "sync_file_range", "msync"]


@pytest.mark.parametrize("function", ["vfs_read", "security_file_open", "do_fsync", ""])
def test_near_a_function_that_is_no_system_call_is_nothing(function: str) -> None:
    assert call_of(function) == ""
    assert near_calls(Kind.FUNCTION, "") == []
