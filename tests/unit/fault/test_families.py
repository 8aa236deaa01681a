"""Which system calls a fault fails."""

from __future__ import annotations

import re

import pytest

from chaoskernel.fault.families import FAMILIES, kinds_of
from chaoskernel.fault.hooks import TABLE, Kind

CALLS = {call for calls in FAMILIES.values() for call in calls}


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_family_has_the_calls_that_the_table_of_faults_names(kind: Kind) -> None:
    named = set(re.findall(r"\w+", TABLE[kind].fails)) & CALLS
    of_others = {"read", "write", "fork", "exec", "open"}  # as in "read(2) on sockets"
    assert named - set(FAMILIES[kind]) - of_others == set()


def test_a_call_may_be_of_several_faults_or_of_none() -> None:
    assert kinds_of("fdatasync") == (Kind.FSYNC,)
    assert kinds_of("mmap") == (Kind.MMAP, Kind.MEMORY)
    assert kinds_of("getppid") == ()
