"""Where a fault attaches follows from what the kernel has, not from its version."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.bpf.placement import Layout, Near, Placement, Probe, Span
from chaoskernel.engine.place import placements, warnings, with_offsets
from chaoskernel.errors import InvalidFault, MissingHook, UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Mechanism, frames_of
from chaoskernel.fault.where import Where
from chaoskernel.kernel import addresses
from chaoskernel.kernel.addresses import Hidden
from chaoskernel.kernel.btf import NOTHING, Types
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.symbols import Symbols
from tests.unit.kernel.types import Blob, kernel, symbols_of, types_of

SYMBOLS = symbols_of(
    b"1 T should_failslab\n2 T __x64_sys_mount\n3 t clone.isra.0\n4 T gives_null\n5 T gives_true\n",
    "x86_64",
)
EVERYTHING = Features(
    types=types_of(
        "should_failslab", "__x64_sys_mount", "clone.isra.0", "gives_null", "gives_true"
    ),
    injectable={
        "should_failslab": "ERRNO",
        "__x64_sys_mount": "ERRNO",
        "gives_null": "NULL",
        "gives_true": "TRUE",
    },
    kprobe_events=True,
    kprobe_override=True,
)


OWN = "security_compute_av"
"""A function of SELinux's."""


def placed(
    features: Features, *names: str, mechanism: Mechanism = Mechanism.AUTO
) -> list[Placement]:
    fault = Fault(
        name="x",
        kind=Kind.SLAB,
        callchain=frames_of(names),
        scope=Scope(pids=(42,)),
        mechanism=mechanism,
    )
    return list(placements(fault, SYMBOLS, features))


def only(**changes: Any) -> Features:
    return EVERYTHING._replace(**changes)


def hooks(found: list[Placement]) -> list[Mechanism]:
    return [placement.mechanism for placement in found]


def test_a_trampoline_is_tried_first_and_a_kprobe_next() -> None:
    assert hooks(placed(EVERYTHING)) == [Mechanism.FMOD_RET, Mechanism.KPROBE]


def test_a_mechanism_that_is_asked_for_is_not_replaced() -> None:
    assert hooks(placed(EVERYTHING, mechanism=Mechanism.KPROBE)) == [Mechanism.KPROBE]
    assert hooks(placed(EVERYTHING, mechanism=Mechanism.FMOD_RET)) == [Mechanism.FMOD_RET]


def test_without_types_a_kprobe_is_used() -> None:
    assert hooks(placed(only(types=NOTHING))) == [Mechanism.KPROBE]


def test_a_kprobe_that_would_outlive_its_owner_is_not_used() -> None:
    assert hooks(placed(only(kprobe_events=False))) == [Mechanism.FMOD_RET]


def test_a_portable_frame_is_resolved() -> None:
    assert placed(EVERYTHING, "sys_mount")[0].frames[0].symbol == "__x64_sys_mount"


def test_a_clone_has_no_type_and_gets_a_kprobe() -> None:
    placement = placed(EVERYTHING, "sys_mount", "clone.isra.0")[0]
    assert [frame.mechanism for frame in placement.frames] == [
        Mechanism.FMOD_RET,
        Mechanism.KPROBE,
    ]


def test_a_predicate_on_a_clone_is_refused() -> None:
    chain = [{"funcname": "clone", "parameters": "int x", "predicate": "x == 1"}]
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)), callchain=frames_of(chain))
    with pytest.raises(InvalidFault, match=r"^callchain\[0\]\.predicate: .*clone\.isra\.0 alone"):
        list(placements(fault, SYMBOLS, EVERYTHING))


def test_parameters_are_compared_with_the_kernels_types() -> None:
    chain = [{"funcname": "sys_mount"}, {"funcname": "look", "parameters": "long name"}]
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)), callchain=frames_of(chain))
    symbols = symbols_of(b"1 T should_failslab\n2 T __x64_sys_mount\n3 t look\n")
    with pytest.raises(InvalidFault, match=r"^callchain\[1\]\.parameters: 'long name' is not what"):
        list(placements(fault, symbols, only(types=Types(kernel()))))


def test_the_fields_of_a_request_are_where_this_kernel_has_them() -> None:
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)))
    symbols = symbols_of(b"1 T should_failslab\n20 D kmem_cache\n")
    (placement, _) = placements(fault, symbols, EVERYTHING)
    assert placement.layout == Layout()
    assert with_offsets(placement, symbols, Types(kernel())).layout == Layout(96, 28, 0x20)


def test_a_page_fault_is_known_by_the_function_that_all_come_through() -> None:
    symbols = symbols_of(
        b"1 T should_failslab\n40 T handle_mm_fault\n40 T alias\n90 T __pfx_next\n"
    )
    (placement, _) = placements(Fault("x", Kind.SLAB, Scope(pids=(42,))), symbols, EVERYTHING)
    assert placement.layout.page_fault == (0x40, 0x50)


def test_a_kretprobe_is_told_from_what_lies_on_the_stack_by_its_trampoline() -> None:
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)), callchain=frames_of(["f"]))
    symbols = symbols_of(b"1 T should_failslab\n2 t f.isra.0\n30 t __kretprobe_trampoline\n")
    (placement, _) = placements(fault, symbols, EVERYTHING)
    assert placement.layout == Layout(return_trampoline=0x30)


HIDDEN = Hidden("kernel.kptr_restrict=2 hides kernel addresses", "sysctl shows them")


@pytest.mark.parametrize(
    ("hidden", "chain", "machine", "said"),
    [
        (None, [], "x86_64", ["does not list", "page faults"]),
        (None, [], "aarch64", ["does not list", "page faults"]),
        (None, [], "riscv64", ["on riscv64", "page faults"]),
        (None, ["f"], "aarch64", []),
        (HIDDEN, [], "x86_64", ["stacks of events have no names", "page faults"]),
        (HIDDEN, ["f"], "aarch64", ["stacks of events have no names"]),
        (HIDDEN, ["f"], "x86_64", ["stacks of events have no names", "kretprobe misses"]),
        (None, ["f"], "x86_64", ["does not list its kretprobe trampoline", "kretprobe misses"]),
    ],
)
def test_what_hidden_addresses_switch_off_is_reported(
    monkeypatch: pytest.MonkeyPatch,
    hidden: Hidden | None,
    chain: list[str],
    machine: str,
    said: list[str],
) -> None:
    monkeypatch.setattr(addresses, "hidden", lambda: hidden)
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)), callchain=frames_of(chain))
    symbols = symbols_of(b"0 T should_failslab\n0 t f.isra.0\n0 t __kretprobe_trampoline\n")
    (placement, *_) = placements(fault, symbols, EVERYTHING)
    told = warnings(placement, machine)
    assert len(told) == bool(said)
    for text in [*said, *([hidden.why, hidden.remedy] if hidden else [])]:
        assert text in "".join(told)


def test_the_kernels_list_of_names_is_not_read_for_functions_that_have_types() -> None:
    def unread() -> bytes:
        raise AssertionError("it takes the kernel a while to write it")

    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)), callchain=frames_of(["sys_mount"]))
    symbols = Symbols(unread, "x86_64", EVERYTHING.types)
    assert next(placements(fault, symbols, EVERYTHING)).frames[0].symbol == "__x64_sys_mount"


def test_callers_that_get_past_a_system_call_are_reported_once() -> None:
    names = ["should_failslab", "__x64_sys_mount", "__ia32_compat_sys_mount", "__ia32_sys_mount"]
    features = only(types=types_of(*names))
    fault = Fault(
        "x",
        Kind.FUNCTION,
        Scope(pids=(42,)),
        function="sys_mount",
        errno=5,
        callchain=frames_of(["sys_mount"]),
    )
    symbols = Symbols(lambda: b"", "x86_64", features.types)
    found = placements(fault, symbols, features)
    assert {each.left_out for each in found} == {("32-bit callers: __ia32_compat_sys_mount",)}
    assert next(placements(fault, SYMBOLS, EVERYTHING)).left_out == ()


def test_an_unknown_frame_is_refused() -> None:
    with pytest.raises(InvalidFault, match="__x64_sys_mount"):
        placed(EVERYTHING, "sys_moun")


@pytest.mark.parametrize(
    ("injectable", "wanted"),
    [({}, "error-injection list"), (None, "CONFIG_FUNCTION_ERROR_INJECTION")],
    ids=["not on the list", "no list"],
)
def test_a_hook_that_may_not_fail_is_missing(
    injectable: dict[str, str] | None, wanted: str
) -> None:
    with pytest.raises(MissingHook) as refused:
        placed(only(injectable=injectable, lists_injectable=False))
    assert wanted in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_link_lies_where_it_is_made_and_a_rename_on_both_sides() -> None:
    blob = Blob()
    entry = blob.pointer(blob.structure("dentry"))
    inode = blob.pointer(blob.structure("inode"))
    made = ("create", "mkdir", "mknod", "symlink")
    for call in made:
        blob.function(f"security_inode_{call}", dir=inode, dentry=entry)
    blob.function("security_inode_link", old=entry, dir=inode, new=entry)
    blob.function("security_inode_rename", one=inode, old=entry, other=inode, new=entry)
    names = [f"security_inode_{call}" for call in (*made, "link", "rename")]
    symbols = symbols_of("".join(f"{n} T {name}\n" for n, name in enumerate(names, 1)).encode())
    features = only(types=Types(blob.raw()), injectable=None)
    subjects: dict[str, tuple[int, ...]] = {}
    for kind in (Kind.CREATE, Kind.RENAME):
        fault = Fault("x", kind, Scope(pids=(42,)), where=Where(paths=("/tmp",)))
        (placement,) = placements(fault, symbols, features)
        subjects |= {hook.probe.symbol: hook.subjects for hook in placement.hooks}
    assert subjects["security_inode_link"] == (2,)
    assert subjects["security_inode_rename"] == (1, 3)
    assert {subjects[f"security_inode_{call}"] for call in made} == {(1,)}


def test_a_hook_off_the_injection_list_is_unsupported() -> None:
    with pytest.raises(UnsupportedKernel, match="not on this kernel's error-injection list"):
        placed(only(injectable={}))


def test_an_unreadable_injection_list_decides_nothing() -> None:
    assert hooks(placed(only(injectable=None)))[0] is Mechanism.FMOD_RET


def test_without_any_way_the_kernel_is_unsupported_and_the_option_is_named() -> None:
    with pytest.raises(UnsupportedKernel, match="CONFIG_BPF_KPROBE_OVERRIDE"):
        placed(only(types=NOTHING, kprobe_override=False))
    with pytest.raises(UnsupportedKernel, match="CONFIG_DEBUG_INFO_BTF"):
        placed(only(types=NOTHING), mechanism=Mechanism.FMOD_RET)


def function(name: str, errno: int = 0) -> list[Placement]:
    fault = Fault("x", Kind.FUNCTION, Scope(pids=(42,)), function=name, errno=errno)
    return list(placements(fault, SYMBOLS, EVERYTHING))


def test_a_function_is_overridden_under_its_own_name_with_its_own_error() -> None:
    placement = function("sys_mount", 28)[0]
    assert (placement.hooks[0].probe.symbol, placement.hooks[0].value) == ("__x64_sys_mount", "-28")


def test_a_function_fails_in_the_way_that_the_kernel_lists() -> None:
    assert [placement.hooks[0].value for placement in function("gives_true")] == ["1", "1"]
    # A trampoline cannot return 0 in the function's place.
    assert hooks(function("gives_null")) == [Mechanism.KPROBE]
    assert function("gives_null")[0].hooks[0].value == "0"


@pytest.mark.parametrize(
    ("name", "errno", "line"),
    [
        ("sys_mount", 0, "errno: missing: __x64_sys_mount has no usual error"),
        ("gives_true", 5, r"errno: gives_true returns no error: to fail, it returns 1 \(got 5\)"),
        ("sys_moun", 5, "function: 'sys_moun' is not a function of this kernel; near: "),
    ],
)
def test_a_function_that_does_not_fail_so_is_refused(name: str, errno: int, line: str) -> None:
    with pytest.raises(InvalidFault, match=f"^{line}"):
        function(name, errno)


def test_a_function_that_returns_nothing_is_refused() -> None:
    blob = Blob()
    blob.function("security_file_set_fowner")
    blob.function("security_file_open", blob.number("int", 4))
    symbols = symbols_of(b"1 T security_file_set_fowner\n2 T security_file_open\n")
    features = only(types=Types(blob.raw()))
    for name, ends in (("security_file_set_fowner", True), ("security_file_open", False)):
        fault = Fault("x", Kind.FUNCTION, Scope(pids=(42,)), function=name, errno=5)
        if ends:
            with pytest.raises(
                InvalidFault, match="^function: on this kernel it returns nothing, so .*; name a "
            ):
                list(placements(fault, symbols, features))
        else:
            assert hooks(list(placements(fault, symbols, features))) == [Mechanism.FMOD_RET]


def test_a_security_modules_own_function_is_refused_and_a_hook_is_not() -> None:
    blob = Blob()
    number = blob.number("int", 4)
    members = ("file_open", "sk_alloc_security", "vm_enough_memory")
    blob.union("security_list_options", **dict.fromkeys(members, blob.pointer(number)))
    hooked = ("security_file_open", "security_sk_alloc", "security_vm_enough_memory_mm")
    for name in (*hooked, OWN):
        blob.function(name, number)
    symbols = symbols_of(b"".join(b"1 T %s\n" % name.encode() for name in (*hooked, OWN)))
    features = only(types=Types(blob.raw()))
    faults = {
        name: Fault("x", Kind.FUNCTION, Scope(pids=(42,)), function=name, errno=5)
        for name in (*hooked, OWN)
    }
    with pytest.raises(InvalidFault, match="^function: a security module's own function, and not"):
        list(placements(faults[OWN], symbols, features))
    for name in hooked:
        assert hooks(list(placements(faults[name], symbols, features))) == [Mechanism.FMOD_RET]


def test_a_hook_of_the_table_that_is_missing_has_its_own_error() -> None:
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)))
    with pytest.raises(MissingHook, match="no function should_failslab; a kernel with CONFIG_FAI"):
        list(placements(fault, symbols_of(b"1 T other\n"), EVERYTHING))
    for features in (only(injectable={}), only(injectable=None, lists_injectable=False)):
        with pytest.raises(MissingHook, match="^should_failslab "):
            placed(features)


def test_near_a_system_call_are_the_entry_points_that_this_kernel_has() -> None:
    symbols = symbols_of(b"1 T __x64_sys_fsync\n2 T __x64_sys_fdatasync\n3 T __x64_sys_msync\n")
    features = only(
        types=types_of("__x64_sys_fsync", "__x64_sys_fdatasync"),
        injectable={"__x64_sys_fsync": "ERRNO"},
    )
    fault = Fault("x", Kind.FUNCTION, Scope(pids=(42,)), function="sys_fsync", errno=5)
    placement = next(placements(fault, symbols, features))
    assert placement.near == (
        Near("fdatasync", Probe("__x64_sys_fdatasync", Mechanism.FMOD_RET)),
        Near("msync", Probe("__x64_sys_msync", Mechanism.KPROBE)),
    )


def test_calls_that_arm64_has_for_32_bit_programs_alone_are_left_to_those() -> None:
    calls = ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait")
    names = [f"__arm64_sys_{call}" for call in calls]
    symbols = symbols_of("".join(f"1 T {name}\n" for name in names).encode(), "aarch64")
    kernel = only(types=types_of(*names), injectable=dict.fromkeys(names, "ERRNO"))
    found, *_ = placements(
        Fault(name="x", kind=Kind.POLL, scope=Scope(pids=(42,))), symbols, kernel
    )
    assert [hook.probe.symbol for hook in found.hooks] == [
        f"__arm64_sys_{call}" for call in ("ppoll", "pselect6", "epoll_pwait")
    ]
    assert list(found.left_out) == [
        f"32-bit callers: __arm64_sys_{call}" for call in ("poll", "select", "epoll_wait")
    ]


@pytest.mark.parametrize(
    ("machine", "told"),
    [
        ("x86_64", []),
        (
            "aarch64",
            [
                "on aarch64 32-bit programs alone make the system call mkdir; "
                "name sys_mkdirat for all others"
            ],
        ),
    ],
)
def test_a_call_that_no_64_bit_program_makes_is_told(
    monkeypatch: pytest.MonkeyPatch, machine: str, told: list[str]
) -> None:
    monkeypatch.setattr(addresses, "hidden", lambda: None)
    prefix = {"x86_64": "__x64_sys_", "aarch64": "__arm64_sys_"}[machine]
    frames = tuple(Probe(f"{prefix}{call}", Mechanism.FMOD_RET) for call in ("mkdir", "openat"))
    hooks = placed(EVERYTHING)[0].hooks
    placement = Placement(hooks, frames, Layout(page_fault=Span(1, 1)))
    assert warnings(placement, machine) == told
