"""What the kernel says of its functions."""

from __future__ import annotations

import pytest

from chaoskernel.errors import UnsupportedKernel
from chaoskernel.kernel import features, symbols
from chaoskernel.kernel.btf import NOTHING
from chaoskernel.kernel.features import Features, require_traceable
from tests.unit.kernel.types import symbols_of

LISTED = b"path_mount\nbtrfs_mount [btrfs]\nvfs_read\n"


def test_functions_that_may_be_probed_pass() -> None:
    require_traceable(["path_mount", "btrfs_mount", "vfs_read"], LISTED)


@pytest.mark.parametrize("function", ["do_syscall_64", "path_moun", "btrfs_mount [btrfs]x"])
def test_one_that_may_not_is_named(function: str) -> None:
    with pytest.raises(UnsupportedKernel, match="cannot be probed: .*; name a function that calls"):
        require_traceable(["vfs_read", function], LISTED)


def test_a_kernel_that_lists_none_decides_nothing() -> None:
    require_traceable(["anything"], b"")


def test_a_system_call_is_usable_by_its_portable_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Features(NOTHING, {"__x64_sys_openat": "ERRNO"}, True, True)
    monkeypatch.setattr(features, "running", lambda: found)
    monkeypatch.setattr(
        symbols, "running", lambda: symbols_of(b"1 T __x64_sys_openat\n2 T do_exit\n")
    )
    assert features.usable("sys_openat")
    assert not features.usable("do_exit")
    assert not features.usable("no_such_function")
