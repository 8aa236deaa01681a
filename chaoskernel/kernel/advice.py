"""What to write in place of names that are not those of kernel functions.

Standard library only; it asks nothing of a kernel but whether it has a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_ENTRY_POINT = re.compile(r"(?:__\w+?_|do_|k)?(?:sys|SyS|SYSC)_(\w+)")
"""How kernels spell the functions of a system call: __x64_sys_read, __se_sys_read, ksys_read."""

_RENAMED = {
    "pread": "pread64",
    "pwrite": "pwrite64",
    "umount2": "umount",
    "wait": "wait4",
    "waitpid": "wait4",
}
"""System calls that the C library, and its manual, have under another name."""

_ALLOCATORS = {
    "slab": re.compile(
        r"_*(?:kv?[mzc]alloc|kv?realloc|kmem_cache_z?alloc|k(?:str|mem)n?dup|kmemdup|slab_alloc)\w*"
    ),
    "page": re.compile(
        r"_*(?:alloc_pages?|folio_alloc|get_free_pages?|get_zeroed_page|v[mz]alloc)"
        r"(?:_(?:noprof|node|vma|mpol|exact|bulk|user|nolock|array))*"
    ),
    "bio": re.compile(r"_*(?:submit_bi?o|submit_bh|bio_k?m?alloc|generic_make_request)\w*"),
}
"""Names of the functions that ask for what each fault refuses."""

_ALWAYS_INLINE = re.compile(r"k[mzc]alloc|k[mc]alloc_array|alloc_page|bio_alloc")
"""Those of them that are in no kernel: their callers have them inlined."""


def system_call(name: str, knows: Callable[[str], bool]) -> str:
    """Return the name that a fault takes for a system call; empty where the name means none.

    :param name: such as `read`, `stat`, `__arm64_sys_read` or `umount2`: as the C library,
        a manual page or the source of a kernel has it.
    :param knows: tells whether `sys_…` is a system call of the kernel in question.
    """
    spelled = _ENTRY_POINT.fullmatch(name)
    bare = spelled[1] if spelled else name
    spellings = (_RENAMED.get(bare), bare, f"new{bare}", f"{bare}64")
    return next((f"sys_{each}" for each in spellings if each and knows(f"sys_{each}")), "")


def allocation(name: str) -> str:
    """Return what to do about a function that allocates, or submits I/O; empty for any other."""
    for fault, names in _ALLOCATORS.items():
        if names.fullmatch(name):
            what = "requests it submits" if fault == "bio" else "allocations it makes"
            return (
                f"fault {fault} fails the {what}; "
                "a frame is a function that calls it, such as sys_mount"
            )
    return ""


def is_always_inline(name: str) -> bool:
    """Tell whether no kernel has a function of that name, though its source has."""
    return bool(_ALWAYS_INLINE.fullmatch(name))
