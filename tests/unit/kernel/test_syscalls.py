"""Numbers of system calls are those of the kernel's headers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaoskernel.kernel.syscalls import CALLS, INSTEAD, lacks, numbered

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
OTHER_NAMES = {"newfstatat": "fstatat", "fstat": "fstat"}
"""What asm-generic/unistd.h calls them where files may be small: __NR3264_fstat."""


@pytest.mark.parametrize("machine", HEADERS)
def test_a_number_is_that_of_the_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.exists():
        pytest.skip("linux-libc-dev is not installed")
    text = header.read_text(encoding="utf-8")
    found = dict(re.findall(r"^#define __NR(?:3264)?_(\w+) (\d+)$", text, re.MULTILINE))
    for number, call in numbered(machine):
        name = call.name if call.name in found else OTHER_NAMES.get(call.name, call.name)
        assert int(found[name]) == number, call.name


def test_a_machine_lacks_what_it_has_no_number_for() -> None:
    assert lacks("aarch64", "poll")
    assert not lacks("aarch64", "ppoll")
    assert not lacks("x86_64", "poll")
    assert not lacks("aarch64", "no such call")


def test_there_is_another_for_each_call_that_arm64_lacks() -> None:
    own = {call.name for _, call in numbered("aarch64")}
    assert INSTEAD.keys() == {call.name for call in CALLS} - own
    assert set(INSTEAD.values()) <= own
