"""Names are looked up as the kernel spells them, and near ones are offered."""

from __future__ import annotations

import re

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.text_place import Place
from chaoskernel.kernel import symbols as symbols_module
from chaoskernel.kernel.btf import Types
from chaoskernel.kernel.symbols import Symbols
from tests.unit.kernel.types import Blob, symbols_of, types_of

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


IA32 = b"""\
1 T __x64_sys_mkdir
2 T __ia32_sys_mkdir
3 T __x64_sys_ioctl
4 T __ia32_sys_ioctl
5 T __ia32_compat_sys_ioctl
6 T __x32_compat_sys_ioctl
7 T __x64_sys_alone
8 T vfs_mkdir
9 T __ia32_vfs_mkdir
"""


@pytest.mark.parametrize(
    ("symbol", "left_out"),
    [
        ("__x64_sys_mkdir", ["32-bit callers: __ia32_sys_mkdir"]),
        (
            "__x64_sys_ioctl",
            ["32-bit callers: __ia32_compat_sys_ioctl", "x32 callers: __x32_compat_sys_ioctl"],
        ),
        ("__x64_sys_alone", []),
        ("vfs_mkdir", []),
        ("__ia32_sys_mkdir", []),
    ],
)
def test_who_makes_a_system_call_by_another_function_is_reported(
    symbol: str, left_out: list[str]
) -> None:
    assert list(symbols_of(IA32).beside(symbol)) == left_out
    types = types_of(*(line.split()[2].decode() for line in IA32.splitlines()))
    assert list(symbols_of(b"", types=types).beside(symbol)) == left_out


def test_other_machines_have_other_functions_for_32_bit_callers() -> None:
    text = b"1 T __arm64_sys_ioctl\n2 T __arm64_compat_sys_ioctl\n3 T __arm64_sys_mkdir\n"
    arm = symbols_of(text, "aarch64")
    told = ["32-bit callers: __arm64_compat_sys_ioctl"]
    assert list(arm.beside("__arm64_sys_ioctl")) == told
    assert list(arm.beside("__arm64_sys_mkdir")) == []
    assert list(symbols_of(b"1 T sys_ioctl\n", "mips").beside("sys_ioctl")) == []


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
    text = symbols.kernel_text
    assert text.place(0xFFFFFFFF81000014) == Place("mount_subtree", 4)
    assert text.place(0xFFFFFFFF81000020) == Place("btrfs_mount", 0, "btrfs")


def test_an_address_without_a_name_has_no_place(symbols: Symbols) -> None:
    hiding = symbols_of(re.sub(rb"(?m)^\w+", b"0" * 16, TEXT))
    for address in (0x10, 0xFFFFFFFF80FFFFFF, 0xFFFFFFFF9EE24000, 0xFFFFFFFFC0000000, 2**64 - 1):
        assert symbols.kernel_text.place(address) is None
        assert hiding.kernel_text.place(address + 2**20) is None


def test_addresses_of_functions_and_data_are_known(symbols: Symbols) -> None:
    assert symbols.address("mount_data") == 0xFFFFFFFF81000040
    assert symbols.address("btrfs_mount") == 0xFFFFFFFF81000020
    assert symbols.address("mount") == 0


def test_an_unknown_function_is_refused_with_near_names(symbols: Symbols) -> None:
    with pytest.raises(InvalidFault, match=r"near: .*mount_subtree"):
        symbols.resolve("mount_subtre")
    with pytest.raises(InvalidFault, match="/proc/kallsyms"):
        symbols.resolve("qqqqqqqq")


SHARED = b"""\
ffffffff81000000 t first
ffffffff81000010 t m_start
ffffffff81000020 D table
ffffffff81000030 t second
ffffffff81000040 t __pfx_m_start
ffffffff81000050 t m_start
ffffffff81000060 t third
ffffffff81000070 d m_start
ffffffff81000080 t one.isra.0
ffffffff81000090 t one.isra.0
ffffffff810000a0 t twin
ffffffff810000b0 d twin_data
ffffffff810000c0 D data
ffffffff810000d0 t data
ffffffffc0000000 t m_start\t[md_mod]
ffffffffc0000010 t twin\t[md_mod]
"""
HIDDEN = re.sub(rb"(?m)^[0-9a-f]+", b"0" * 16, SHARED)


@pytest.mark.parametrize("types", [types_of(), types_of("m_start")], ids=["without", "with"])
def test_a_name_that_several_functions_share_is_refused_and_tells_where_they_are(
    types: Types,
) -> None:
    with pytest.raises(InvalidFault) as refused:
        symbols_of(SHARED, types=types).resolve("m_start", key="function")
    assert str(refused.value) == (
        "function: 'm_start' is not the name of one function: this kernel has 3, "
        "(1) 0xffffffff81000010 beside first and second; "
        "(2) 0xffffffff81000050 beside second and third; "
        "(3) 0xffffffffc0000000 in module md_mod; "
        "name a function that calls the one you mean, or one that it calls"
    )


def test_addresses_that_the_kernel_hides_are_not_shown() -> None:
    with pytest.raises(InvalidFault) as refused:
        symbols_of(HIDDEN).resolve("m_start")
    assert "this kernel has 3, (1) beside first and second; " in str(refused.value)
    assert "0x" not in str(refused.value)


@pytest.mark.parametrize("name", ["one", "one.isra.0", "twin"])
def test_copies_of_one_name_and_those_of_modules_are_as_many_functions(name: str) -> None:
    with pytest.raises(InvalidFault, match=f"'{name}' is not the name of one function: .* has 2,"):
        symbols_of(SHARED).resolve(name)


def test_a_function_beside_a_copy_is_refused_and_the_copy_may_be_named() -> None:
    text = b"10 t g\n20 t f\n30 t h\n40 t f.constprop.0\n50 t f.cold\n60 t g.cold\n"
    with pytest.raises(InvalidFault, match=r"has 2, .*; \(2\) as f\.constprop\.0 0x40 beside h"):
        symbols_of(text).resolve("f")
    assert symbols_of(text).resolve("f.constprop.0") == "f.constprop.0"
    assert symbols_of(text).resolve("g") == "g"


def test_data_of_the_same_name_is_no_function() -> None:
    assert symbols_of(SHARED).resolve("data") == "data"


def test_prototypes_are_shown_where_those_of_a_name_differ() -> None:
    blob = Blob()
    number = blob.number("int", 4)
    blob.function("m_start", seq=blob.pointer(number))
    blob.function("m_start", seq=blob.pointer(number))
    with pytest.raises(InvalidFault, match=r"this kernel has 3, \(1\)"):
        symbols_of(SHARED, types=Types(blob.raw())).resolve("m_start")
    blob.function("m_start", position=number)
    with pytest.raises(
        InvalidFault, match=r"has 3 which take \(int \*seq\) or \(int position\), \(1\)"
    ):
        symbols_of(SHARED, types=Types(blob.raw())).resolve("m_start")


def test_of_very_many_functions_of_a_name_some_are_shown() -> None:
    text = b"".join(b"%016x t f\n%016x t g%d\n" % (8 * n, 8 * n + 4, n) for n in range(1, 28))
    with pytest.raises(InvalidFault, match=r"has 27, .* \(6\) [^;]*; and 21 more; name a"):
        symbols_of(text).resolve("f")


CALLS = b"""\
ffffffff81000000 T __x64_sys_read
ffffffff81000010 T __x64_sys_umount
ffffffff81000020 T __x64_sys_stat
ffffffff81000030 T __x64_sys_newstat
ffffffff81000040 T __x64_sys_pread64
ffffffff81000050 T __x64_sys_wait4
ffffffff81000060 t vread
"""


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("read", "sys_read"),
        ("umount2", "sys_umount"),
        ("stat", "sys_stat"),
        ("pread", "sys_pread64"),
        ("wait", "sys_wait4"),
        ("__arm64_sys_read", "sys_read"),
        ("__se_sys_read", "sys_read"),
        ("ksys_read", "sys_read"),
        ("sys_pread", "sys_pread64"),
    ],
)
@pytest.mark.parametrize("by_types", [True, False])
def test_a_system_call_that_is_named_otherwise_is_proposed_first(
    name: str, call: str, by_types: bool
) -> None:
    known = types_of("__x64_sys_read", "__x64_sys_umount", "__x64_sys_pread64", "__x64_sys_wait4")
    symbols = symbols_of(CALLS, types=known if by_types else None)
    with pytest.raises(InvalidFault, match=f"; for the system call write {call}; ") as refused:
        symbols.resolve(name)
    assert not re.search(rf"near: .*{call}\b", refused.value.hint)


def test_what_programs_call_is_meant_where_an_older_form_is_left_beside() -> None:
    assert symbols_of(CALLS).resolve("sys_stat") == "__x64_sys_newstat"


def test_a_shared_name_that_a_system_call_has_too_proposes_the_call() -> None:
    with pytest.raises(InvalidFault, match="; for the system call write sys_read; name a function"):
        symbols_of(CALLS + b"1 t read\n2 t read\n").resolve("read")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("kmalloc", "fault slab fails the allocations it makes; a frame is a function that calls"),
        ("kzalloc_node", "fault slab"),
        ("kmem_cache_alloc_noprof", "fault slab"),
        ("alloc_pages", "fault page fails the allocations it makes"),
        ("__alloc_page_noprof", "fault page"),
        ("vmalloc_noprof", "fault page"),
        ("bio_alloc", "fault bio fails the requests it submits; a frame is a function that calls"),
        ("submit_bio", "fault bio"),
    ],
)
def test_what_allocates_is_refused_with_the_fault_that_fails_it(name: str, advice: str) -> None:
    with pytest.raises(InvalidFault, match=f"is not a function of this kernel; {advice}"):
        symbols_of(CALLS).resolve(name)


def test_what_only_looks_like_an_allocator_gets_no_such_advice() -> None:
    for name in ("kmemleak_alloc", "d_alloc_parallel", "alloc_page_tables_x", "bio_add_page"):
        with pytest.raises(InvalidFault) as refused:
            symbols_of(CALLS).resolve(name)
        assert "fault " not in refused.value.hint


@pytest.mark.parametrize(
    ("name", "call"),
    [("read", "sys_read"), ("vread", ""), ("strlen", ""), ("d_alloc_parallel", "")],
)
def test_without_its_kernel_a_call_is_told_by_this_machines_names(
    monkeypatch: pytest.MonkeyPatch, name: str, call: str
) -> None:
    monkeypatch.setattr(symbols_module, "running", lambda: symbols_of(CALLS))
    assert symbols_module.system_call_meant(name) == call


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("read", "sys_read"),
        ("connect", "sys_connect"),
        ("mkdir", "sys_mkdir"),
        ("umount2", "sys_umount"),
        ("strlen", ""),
        ("memcpy", ""),
        ("snprintf", ""),
        ("sys_read", ""),
        ("path_mount", ""),
        ("a.isra.0", ""),
    ],
)
def test_where_no_kernel_lists_its_names_the_c_library_tells(
    monkeypatch: pytest.MonkeyPatch, name: str, call: str
) -> None:
    monkeypatch.setattr(symbols_module, "running", lambda: symbols_of(b""))
    assert symbols_module.system_call_meant(name) == call


@pytest.mark.parametrize(
    "line", [b"", b"f", b" T f", b"zz T f", b"ffffffff81000060 T", b"-1 T f", b"1 T f\xff"]
)
def test_a_line_of_another_form_is_passed_over(line: bytes) -> None:
    symbols = symbols_of(line + b"\n" + TEXT + line + b"\n")
    assert symbols.resolve("mount_subtree") == "mount_subtree"
    assert symbols.kernel_text.place(0xFFFFFFFF81000011) == Place("mount_subtree", 1)
    assert [place.beside for place in symbols.places("mount_subtree")] == [
        ("__x64_sys_mount", "inlined.isra.0")
    ]
    with pytest.raises(InvalidFault):
        symbols.resolve("f")


def test_names_that_were_forgotten_are_read_again() -> None:
    reads: list[int] = []

    def read() -> bytes:
        reads.append(1)
        return TEXT

    symbols = Symbols(read, "x86_64")
    symbols.forget()
    assert "mount_subtree" in symbols
    symbols.forget()
    assert "btrfs_mount" in symbols
    assert len(reads) == 2
