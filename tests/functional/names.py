"""Functions that were called otherwise before, or since."""

from __future__ import annotations

from chaoskernel.kernel import symbols

BTRFS_MOUNT = ("btrfs_mount", "btrfs_get_tree")
"""What mounts a btrfs: until Linux 6.7, and since."""

CREATE_CACHE = ("__kmem_cache_create_args", "kmem_cache_create_usercopy")
"""Every way to a new slab cache leads through it: since 6.12, and before."""


def here(names: tuple[str, ...]) -> str:
    """Return the first of these functions that this kernel has."""
    known = symbols.running()
    return next(name for name in names if name in known)
