"""Places in the text of a kernel, the same wherever it lies."""

from __future__ import annotations

import pytest

from chaoskernel.fault.text_place import Place
from chaoskernel.kernel.text import PAGE, Text, functions_of

KALLSYMS = """\
0000000000000000 A fixed_percpu_data
{0:016x} T _text
{1:016x} t kmem_cache_alloc
{2:016x} T vfs_write
{3:016x} D sys_call_table
{4:016x} t ext4_write\t[ext4]
{5:016x} t ext4_sync\t[ext4]
{6:016x} t bpf_prog_0123_hook\t[bpf]
{7:016x} t ftrace_trampoline\t[__builtin__ftrace]
"""
OFFSETS = (0, 0x1040, 0x5FF0, 0x9000)
IN_MODULES = (0x10, 0x2010, 0x8000, 0xA000)


def text_at(kernel: int, modules: int) -> Text:
    addresses = [*(kernel + each for each in OFFSETS), *(modules + each for each in IN_MODULES)]
    return Text(functions_of(KALLSYMS.format(*addresses).encode()), "x86_64")


@pytest.fixture
def text() -> Text:
    return text_at(0xFFFFFFFF81000000, 0xFFFFFFFFC0000000)


def kept(text: Text) -> dict[int, int]:
    """What a program keeps of pages, by their address."""
    return {
        text.base + ((begin + index) << PAGE): number
        for begin, numbers in text.numbers()
        for index, number in enumerate(numbers)
    }


def test_a_place_is_a_function_with_an_offset(text: Text) -> None:
    assert text.place(0xFFFFFFFF81001052) == Place("kmem_cache_alloc", 0x12)
    assert text.place(0xFFFFFFFFC0000020) == Place("ext4_write", 0x10, "ext4")
    assert text.name(0xFFFFFFFF81005FF0) == "vfs_write"
    assert text.name(0xFFFFFFFF81005FF1) == ""


@pytest.mark.parametrize(
    "address", [0, 0xFFFFFFFF80000000, 0xFFFFFFFFC0008004, 0xFFFFFFFFC000A004, 2**64 - 1]
)
def test_trampolines_and_programs_are_no_places(text: Text, address: int) -> None:
    assert text.place(address) is None
    assert (address >> PAGE << PAGE) not in kept(text)


def test_a_page_has_the_same_number_in_every_boot(text: Text) -> None:
    moved = text_at(0xFFFFFFFF9A200000, 0xFFFFFFFFC0A5B000)
    assert list(kept(text).values()) == list(kept(moved).values())
    assert len(set(kept(text).values())) == len(kept(text))


def test_a_function_has_all_pages_up_to_the_next_one(text: Text) -> None:
    pages = kept(text)
    assert all(0xFFFFFFFF81000000 + (page << PAGE) in pages for page in range(6))
    assert all(0xFFFFFFFFC0000000 + (page << PAGE) in pages for page in range(3))


def test_a_kernel_that_lists_nothing_has_no_places() -> None:
    empty = Text([], "x86_64")
    assert list(empty.numbers()) == []
    assert empty.place(0xFFFFFFFF81000000) is None
