"""Names of the running kernel, from its types and /proc/kallsyms.

The file is kept as bytes: it has some hundred thousand lines, and a fault asks
for a handful of names.  The kernel writes it anew for each reader, so it is read only when
something is asked that the types, which are at hand, do not tell.
"""

from __future__ import annotations

import bisect
import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.kernel import btf
from chaoskernel.kernel.addresses import UNKNOWN
from chaoskernel.kernel.btf import Types

_KALLSYMS = Path("/proc/kallsyms")
_NEAR = 3
_CANDIDATES = 4000
_LONGEST = 2**20
"""No function has so many bytes."""

_SYSCALL_WRAPPERS = {
    "x86_64": "__x64_sys_",
    "aarch64": "__arm64_sys_",
    "s390x": "__s390x_sys_",
    "riscv64": "__riscv_sys_",
}
"""Prefix of the entry point of a system call, by machine (CONFIG_ARCH_HAS_SYSCALL_WRAPPER)."""

_WHOLE_CLONE = re.compile(r"\S+?(?:\.(?:isra|constprop)\.\d+)+")
"""Clones that do all the work of their function; one's .cold or .part is a piece of it."""

_PORTABLE = re.compile(r"(?:sys_|SyS_)(\w+)")


class Symbols:
    """The functions that a kernel names.

    :param read: returns the lines of /proc/kallsyms.
    :param machine: as `uname -m` prints it.
    :param types: the kernel's; a function that is among them is in those lines too.
    """

    def __init__(self, read: Callable[[], bytes], machine: str, types: Types = btf.NOTHING) -> None:
        self._read = read
        self._types = types
        self._wrapper = _SYSCALL_WRAPPERS.get(machine, "sys_")
        self._sorted: list[tuple[int, str]] = []

    @functools.cached_property
    def _text(self) -> bytes:
        return self._read()

    def __contains__(self, name: str) -> bool:
        return self._types.has_function(name) or self._lists(name)

    def resolve(self, name: str, *, key: str = "callchain.funcname") -> str:
        """Return the symbol of a function or of a system call's portable name.

        `sys_mount` and, as inject.py's examples spell it, `SyS_mount` are the
        architecture's entry point of mount(2).  A function of which the compiler
        left nothing but one clone is that clone.

        :param key: where the name stands in the fault.
        :raises InvalidFault: the kernel has no such function; near matches are named.
        """
        portable = _PORTABLE.fullmatch(name)
        spellings = [name, self._wrapper + portable[1]] if portable else [name]
        for knows in (self._types.has_function, self._lists):
            for spelling in filter(knows, spellings):
                return spelling
        whole = [clone for clone in self.clones(name) if _WHOLE_CLONE.fullmatch(clone)]
        if len(whole) == 1:
            return whole[0]
        if clones := self.clones(name):
            raise InvalidFault(
                key,
                name,
                "a function of this kernel: the compiler has split it",
                hint=f"there are {', '.join(clones)}; name one of them, or a caller",
            )
        near = self.near(name)
        raise InvalidFault(
            key,
            name,
            "a function of this kernel",
            hint=(f"near: {', '.join(near)}" if near else "grep for part of it in /proc/kallsyms")
            + "; one that the compiler has inlined everywhere is not there",
        )

    def clones(self, name: str) -> list[str]:
        """Return the copies that the compiler made of a function, such as f.constprop.0."""
        pattern = rb"(?m) [tTwW] (%s\.\S+)" % re.escape(name.encode())
        return sorted({match[1].decode() for match in re.finditer(pattern, self._text)})

    def address(self, name: str) -> int:
        """Return the address of a function or variable; 0 where it is not known."""
        return next((int(address, 16) for address, _ in self._lines(name)), 0)

    def at(self, address: int) -> str:
        """Return the function that an address lies in, as kmem_cache_alloc+0x3f.

        One that lies in none, such as in a BPF trampoline, is not known, and is not shown: it
        would give away where the kernel lies.
        """
        if not self._sorted:
            functions = re.finditer(rb"(?m)^([0-9a-f]+) [tTwW] (\S+)", self._text)
            self._sorted = sorted((int(line[1], 16), line[2].decode()) for line in functions)
        place = bisect.bisect_right(self._sorted, (address, "\x7f")) - 1
        start, name = self._sorted[place] if place >= 0 else (-_LONGEST, "")
        # What lies behind the last of the kernel's functions is somebody's trampoline.
        return f"{name}+{address - start:#x}" if address - start < _LONGEST else UNKNOWN

    def _lists(self, name: str) -> bool:
        return any(kind in b"tTwW" for _, kind in self._lines(name))

    def _lines(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield address and kind of what has this name; a module's comes after a tab."""
        for end in (b"\n", b"\t"):
            wanted = b" %s%s" % (name.encode(), end)
            place = self._text.find(wanted)
            while place >= 0:
                address, _, kind = self._text[
                    self._text.rfind(b"\n", 0, place) + 1 : place
                ].partition(b" ")
                yield address, kind
                place = self._text.find(wanted, place + 1)

    def near(self, name: str) -> list[str]:
        """Return names that look like this one, best first."""
        import difflib  # noqa: PLC0415 - most faults name what is there

        words = [word for word in name.lower().split("_") if len(word) > 2] or [name.lower()]
        pattern = rb"(?mi) [tTwW] (\S*(?:%s)\S*)" % b"|".join(
            re.escape(word.encode()) for word in words
        )
        found = {match[1].decode() for match in re.finditer(pattern, self._text)}
        likely = sorted(found, key=lambda other: abs(len(other) - len(name)))[:_CANDIDATES]
        return difflib.get_close_matches(name, likely, _NEAR)


@functools.cache
def running() -> Symbols:
    """Return the symbols of the running kernel.

    :raises UnsupportedKernel: it does not list them.
    """
    if not _KALLSYMS.exists():
        raise UnsupportedKernel("the kernel lists no symbols", needs="CONFIG_KALLSYMS gives them")
    return Symbols(_KALLSYMS.read_bytes, os.uname().machine, btf.running())
