"""Names are looked up as the kernel spells them, and near ones are offered."""

from __future__ import annotations

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.kernel.symbols import Symbols

TEXT = b"""\
ffffffff81000000 T __x64_sys_mount
ffffffff81000010 t mount_subtree
ffffffff81000020 T btrfs_mount\t[btrfs]
ffffffff81000030 t inlined.isra.0
ffffffff81000040 D mount_data
ffffffff81000050 T sys_ni_syscall
"""


@pytest.fixture
def symbols() -> Symbols:
    return Symbols(TEXT, "x86_64")


@pytest.mark.parametrize("name", ["mount_subtree", "btrfs_mount", "inlined.isra.0"])
def test_functions_of_the_kernel_and_its_modules_are_found(symbols: Symbols, name: str) -> None:
    assert name in symbols
    assert symbols.resolve(name) == name


@pytest.mark.parametrize("name", ["mount", "mount_data", "mount_subtre", "inlinedXisra.0"])
def test_data_and_parts_of_names_are_not_functions(symbols: Symbols, name: str) -> None:
    assert name not in symbols


@pytest.mark.parametrize("name", ["sys_mount", "SyS_mount", "__x64_sys_mount"])
def test_a_portable_name_is_the_entry_point_of_the_system_call(symbols: Symbols, name: str) -> None:
    assert symbols.resolve(name) == "__x64_sys_mount"


def test_a_function_that_is_spelled_like_a_system_call_is_itself(symbols: Symbols) -> None:
    assert symbols.resolve("sys_ni_syscall") == "sys_ni_syscall"


def test_the_wrapper_is_the_architectures() -> None:
    arm = Symbols(b"ffff T __arm64_sys_mount\n", "aarch64")
    assert arm.resolve("sys_mount") == "__arm64_sys_mount"


def test_an_unknown_function_is_refused_with_near_names(symbols: Symbols) -> None:
    with pytest.raises(InvalidFault, match=r"near: .*mount_subtree"):
        symbols.resolve("mount_subtre")
    with pytest.raises(InvalidFault, match="/proc/kallsyms"):
        symbols.resolve("qqqqqqqq")
