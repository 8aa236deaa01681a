"""Parameters that are not the kernel's are named before anything is compiled."""

from __future__ import annotations

import re

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.kernel.btf import Types
from chaoskernel.kernel.signature import check_parameters
from tests.unit.kernel.types import kernel

TYPES = Types(kernel())
TAKES = "const struct qstr *name, int flags, size_t length, void *data"


@pytest.mark.parametrize(
    "given",
    [
        "",
        TAKES,
        "const struct qstr *name",
        "struct qstr * n, signed int f",
        "void *name, unsigned flags, unsigned long length",
        "const struct qstr *name, int flags, size_t length, struct anything *data",
        "const struct qstr *name, unknown_t flags",
        "const struct qstr *name, int flags, size_t length, int (*data)(int, int)",
        "const struct qstr (*name)[3]",
    ],
)
def test_what_agrees_or_cannot_be_compared_passes(given: str) -> None:
    check_parameters("callchain[0].parameters", given, "look", TYPES)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("void *a, int b, size_t c, void *d, int e", "it has 4 and not 5"),
        ("struct dentry *name", "number 1 is const struct qstr *name"),
        ("struct qstr name", "number 1 is const struct qstr *name"),
        ("const struct qstr **name", "number 1 is const struct qstr *name"),
        ("const struct qstr *name, long flags", "number 2 is int flags"),
        ("const struct qstr *name, char *flags", "number 2 is int flags"),
        ("const struct qstr *name, int (*flags)(int, int)", "number 2 is int flags"),
        ("const struct qstr *name, int (*flags)[3]", "number 2 is int flags"),
        ("const struct qstr *name, int flags, gfp_t length", "number 3 is size_t length"),
    ],
)
def test_what_differs_is_named_with_what_would_be_right(given: str, hint: str) -> None:
    line = f"callchain[0].parameters: {given!r} is not what look takes: {TAKES}; {hint}"
    with pytest.raises(InvalidFault, match=f"^{re.escape(line)}$"):
        check_parameters("callchain[0].parameters", given, "look", TYPES)


def test_a_function_that_takes_nothing_is_said_to() -> None:
    with pytest.raises(InvalidFault, match="takes: nothing; it has 0 and not 1$"):
        check_parameters("parameters", "int x", "nothing", TYPES)


def test_a_kernel_without_types_decides_nothing() -> None:
    check_parameters("parameters", "int x, int y", "look", Types(b""))
