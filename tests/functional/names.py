"""Functions that have another name on another kernel, or another machine."""

from __future__ import annotations

import platform

from chaoskernel.kernel import symbols

BTRFS_MOUNT = ("btrfs_mount", "btrfs_get_tree")
"""What mounts a btrfs: until Linux 6.7, and since."""

CREATE_CACHE = ("__kmem_cache_create_args", "kmem_cache_create_usercopy")
"""Every way to a new slab cache leads through it: since 6.12, and before."""

ALLOCATE = ("kmem_cache_alloc", "kmem_cache_alloc_noprof")
"""What takes an object of a slab cache: until Linux 6.9, and since."""

LOCKS_SLABS = ("___slab_alloc", "get_partial_node")
"""What takes an object under the lock of a slab, and where that is inlined, its list's."""

IS_X86_64 = platform.machine() == "x86_64"
ENTRY = "__x64_sys_" if IS_X86_64 else "__arm64_sys_"
"""What the entry point of a system call begins with."""

ENTRY_CODE = "do_syscall_64" if IS_X86_64 else "do_el0_svc"
"""What each system call comes by."""

NOT_TO_PROBE = "do_syscall_64" if IS_X86_64 else "el0t_64_sync_handler"
"""A function of the entry code, which is noinstr."""


def here(names: tuple[str, ...]) -> str:
    """Return the first of these functions that this kernel has."""
    known = symbols.running()
    return next(name for name in names if name in known)
