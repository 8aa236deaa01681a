"""Which system calls a fault fails."""

from __future__ import annotations

import re

import pytest

from chaoskernel.fault.families import FAMILIES, kinds_of
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
