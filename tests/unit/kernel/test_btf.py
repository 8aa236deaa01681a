"""The kernel's types say what its functions take and where its structures have what."""

from __future__ import annotations

import pytest

from chaoskernel.kernel.btf import Types
from tests.unit.kernel.types import kernel

TYPES = Types(kernel())


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        ("should_failslab", ["struct kmem_cache *s", "gfp_t gfpflags"]),
        ("look", ["const struct qstr *name", "int flags", "size_t length", "void *data"]),
        ("nothing", []),
    ],
)
def test_a_function_takes_what_the_kernels_source_says(
    function: str, parameters: list[str]
) -> None:
    assert [str(parameter) for parameter in TYPES.parameters(function) or ()] == parameters


def test_a_type_is_seen_through_its_typedefs_and_qualifiers() -> None:
    name, _, length, data = (each.type for each in TYPES.parameters("look") or ())
    assert (name.base, name.pointers, name.size) == ("struct qstr", 1, 0)
    assert (length.base, length.pointers, length.size) == ("long unsigned int", 0, 8)
    assert (data.base, data.pointers) == ("void", 1)


@pytest.mark.parametrize("name", ["qstr", "name", "absent", ""])
def test_what_is_no_function_takes_nothing_that_is_known(name: str) -> None:
    assert TYPES.parameters(name) is None


def test_functions_are_told_from_whatever_else_has_a_name() -> None:
    assert all(map(TYPES.has_function, ["should_failslab", "look", "nothing"]))
    assert not any(map(TYPES.has_function, ["qstr", "name", "gfp_t", "int", "loo", "absent", ""]))


def test_a_structure_has_its_members_where_the_compiler_put_them() -> None:
    assert TYPES.offset("kmem_cache", "name") == 96
    assert TYPES.offset("kmem_cache", "object_size") == 28
    assert TYPES.offset("kmem_cache", "absent") == TYPES.offset("absent", "name") == 0


@pytest.mark.parametrize("raw", [b"", b"\x9f\xeb\x02", bytes(64)])
def test_a_kernel_without_types_knows_nothing_of_them(raw: bytes) -> None:
    types = Types(raw)
    assert not types
    assert types.parameters("look") is None
    assert not types.has_function("look")
    assert types.offset("kmem_cache", "name") == 0
    assert types.named("gfp_t") is None


def test_types_that_were_forgotten_are_read_again() -> None:
    reads: list[int] = []

    def again() -> bytes:
        reads.append(1)
        return kernel()

    types = Types(kernel(), again)
    assert types.has_function("look")
    assert not reads
    for _ in range(2):
        types.forget()
        assert types
    assert [str(each) for each in types.parameters("look") or ()][1] == "int flags"
    assert types.has_function("nothing")
    assert len(reads) == 1


def test_a_kernel_without_types_has_none_to_forget() -> None:
    types = Types(b"")
    types.forget()
    assert not types
    assert not types.has_function("look")
