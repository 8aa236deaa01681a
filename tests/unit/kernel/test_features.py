"""What the kernel says of its functions."""

from __future__ import annotations

import pytest

from chaoskernel.errors import UnsupportedKernel
from chaoskernel.kernel.features import require_traceable

LISTED = b"path_mount\nbtrfs_mount [btrfs]\nvfs_read\n"


def test_functions_that_may_be_probed_pass() -> None:
    require_traceable(["path_mount", "btrfs_mount", "vfs_read"], LISTED)


@pytest.mark.parametrize("function", ["do_syscall_64", "path_moun", "btrfs_mount [btrfs]x"])
def test_one_that_may_not_is_named(function: str) -> None:
    with pytest.raises(UnsupportedKernel, match="cannot be probed: .*; name a function that calls"):
        require_traceable(["vfs_read", function], LISTED)


def test_a_kernel_that_lists_none_decides_nothing() -> None:
    require_traceable(["anything"], b"")
