"""Names are looked up as the kernel spells them, and near ones are offered."""

from __future__ import annotations

import re

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.kernel.symbols import Symbols
from tests.unit.kernel.types import symbols_of, types_of

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
    return symbols_of(TEXT)


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


def test_what_has_a_type_need_not_be_looked_for_in_the_list() -> None:
    symbols = symbols_of(b"", types=types_of("__x64_sys_mount", "f"))
    assert "f" in symbols
    assert (symbols.resolve("f"), symbols.resolve("SyS_mount")) == ("f", "__x64_sys_mount")


def test_the_wrapper_is_the_architectures() -> None:
    arm = symbols_of(b"ffff T __arm64_sys_mount\n", "aarch64")
    assert arm.resolve("sys_mount") == "__arm64_sys_mount"


def test_a_function_of_which_one_clone_is_left_is_that_clone(symbols: Symbols) -> None:
    assert symbols.resolve("inlined") == "inlined.isra.0"


@pytest.mark.parametrize(
    "clones",
    [
        ["f.isra.0", "f.constprop.0"],
        ["f.cold"],
        ["f.part.0"],
    ],
)
def test_a_function_that_was_split_is_refused_and_its_pieces_are_named(clones: list[str]) -> None:
    symbols = symbols_of("".join(f"ff t {clone}\n" for clone in clones).encode(), "x86_64")
    with pytest.raises(InvalidFault, match=re.escape(", ".join(sorted(clones)))):
        symbols.resolve("f")


def test_a_clone_beside_its_pieces_is_used() -> None:
    symbols = symbols_of(b"ff t f.constprop.0.isra.0\nff t f.constprop.0.cold\n")
    assert symbols.resolve("f") == "f.constprop.0.isra.0"


def test_an_address_is_named_by_the_function_that_it_lies_in(symbols: Symbols) -> None:
    assert symbols.at(0xFFFFFFFF81000014) == "mount_subtree+0x4"
    assert symbols.at(0xFFFFFFFF81000020) == "btrfs_mount+0x0"


def test_an_address_without_a_name_is_not_shown(symbols: Symbols) -> None:
    hiding = symbols_of(re.sub(rb"(?m)^\w+", b"0" * 16, TEXT))
    for address in (0x10, 0xFFFFFFFF80FFFFFF, 0xFFFFFFFF9EE24000, 0xFFFFFFFFC0000000, 2**64 - 1):
        assert symbols.at(address) == "[unknown]"
        assert hiding.at(address + 2**20) == "[unknown]"


def test_addresses_of_functions_and_data_are_known(symbols: Symbols) -> None:
    assert symbols.address("mount_data") == 0xFFFFFFFF81000040
    assert symbols.address("btrfs_mount") == 0xFFFFFFFF81000020
    assert symbols.address("mount") == 0


def test_an_unknown_function_is_refused_with_near_names(symbols: Symbols) -> None:
    with pytest.raises(InvalidFault, match=r"near: .*mount_subtree"):
        symbols.resolve("mount_subtre")
    with pytest.raises(InvalidFault, match="/proc/kallsyms"):
        symbols.resolve("qqqqqqqq")
