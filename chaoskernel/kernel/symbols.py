"""Names of the running kernel, from its types and /proc/kallsyms.

The file is kept as bytes: it has some hundred thousand lines, and a fault asks
for a handful of names.  The kernel writes it anew for each reader, so it is read only when
something is asked that the types, which are at hand, do not tell.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.kernel import btf, syscalls
from chaoskernel.kernel.btf import Types
from chaoskernel.kernel.text import Text, functions_of
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.kernel import advice
else:
    advice = Lazy("chaoskernel.kernel.advice")  # for names that the kernel does not have

_KALLSYMS = Path("/proc/kallsyms")
_NEAR = 3
_CANDIDATES = 4000
_SYSCALL_WRAPPERS = {
    "x86_64": "__x64_sys_",
    "aarch64": "__arm64_sys_",
    "s390x": "__s390x_sys_",
    "riscv64": "__riscv_sys_",
}
"""Prefix of the entry point of a system call, by machine (CONFIG_ARCH_HAS_SYSCALL_WRAPPER)."""

_OTHER_CALLERS: dict[str, dict[str, tuple[str, ...]]] = {
    "x86_64": {
        "32-bit callers": ("__ia32_compat_sys_", "__ia32_sys_"),
        "x32 callers": ("__x32_compat_sys_",),
    },
    "aarch64": {"32-bit callers": ("__arm64_compat_sys_",)},
}
"""By machine: who enters a system call by another function, and what that may be called."""

_WHOLE_CLONE = re.compile(r"\S+?(?:\.(?:isra|constprop)\.\d+)+")
"""Clones that do all the work of their function; one's .cold or .part is a piece of it."""

_SUCCESSORS = {
    "stat": "newstat",
    "lstat": "newlstat",
    "fstat": "newfstat",
    "fstatat": "newfstatat",
    "uname": "newuname",
    "sendfile": "sendfile64",
}
"""Entry points of calls that took something else once: programs of 64 bits never come to the
one of the plain name, which some kernels have still."""

_PORTABLE = re.compile(r"(?:sys_|SyS_)(\w+)")
_FUNCTIONS = (b"t", b"T", b"w", b"W")
"""Kinds of symbols that are functions."""

_LINE = re.compile(
    rb"(?P<address>[0-9a-f]{1,16}) (?P<kind>[A-Za-z]) [!-~]+(?:\t\[(?P<module>[!-~]+)\])?"
)
_OWN_FUNCTION = re.compile(rb" [tTwW] (?!__pfx_)([!-~]+)$")
_VICINITY = 4096
_SHOWN = 6

_NO_CALLS = re.compile(r"sys_(?:str|mem|v?s?n?c?printf|v?sscanf|[bq]?sort|bsearch|abs$|panic)")
"""Functions that kernels and the C library both have, and that are no system calls."""


class Place(NamedTuple):
    """Where a kernel has a function.

    :param address: 0 where the kernel does not show addresses to this process.
    :param module: the module that has it; empty for the kernel itself.
    :param beside: functions before and after it, which as a rule are of its source file.
    :param copy: what the compiler called it; empty where it has its own name.
    """

    address: int
    module: str
    beside: tuple[str, ...]
    copy: str = ""

    def __str__(self) -> str:
        words = [f"as {self.copy}"] if self.copy else []
        if self.address:
            words.append(f"{self.address:#x}")
        if self.module:
            words.append(f"in module {self.module}")
        if self.beside:
            words.append(f"beside {' and '.join(self.beside)}")
        return " ".join(words)


class Symbols:
    """The functions that a kernel names.

    :param read: returns the lines of /proc/kallsyms.
    :param machine: as `uname -m` prints it.
    :param types: the kernel's; a function that is among them is in those lines too.
    """

    def __init__(self, read: Callable[[], bytes], machine: str, types: Types = btf.NOTHING) -> None:
        self._read = read
        self._types = types
        self._machine = machine
        self._wrapper = _SYSCALL_WRAPPERS.get(machine, "sys_")
        self._others = _OTHER_CALLERS.get(machine, {})

    @functools.cached_property
    def _text(self) -> bytes:
        return self._read()

    def forget(self) -> None:
        """Give back the memory of names that will hardly be asked for."""
        self.__dict__.pop("_text", None)

    @functools.cached_property
    def kernel_text(self) -> Text:
        """Where the kernel and its modules have these functions."""
        return Text(functions_of(self._text), self._machine)

    def __contains__(self, name: str) -> bool:
        return self._types.has_function(name) or self._lists(name)

    def resolve(self, name: str, *, key: str = "callchain.funcname") -> str:
        """Return the symbol of a function or of a system call's portable name.

        `sys_mount` and, as inject.py's examples spell it, `SyS_mount` are the
        architecture's entry point of mount(2).  A function of which the compiler
        left nothing but one clone is that clone.

        :param key: where the name stands in the fault.
        :raises InvalidFault: the kernel has no such function, and near matches are named;
            or it has several.
        """
        spellings = [name, *self._entry_points(name)]
        for knows in (self._types.has_function, self._lists):
            for spelling in filter(knows, spellings):
                self._require_one(spelling, name, key)
                return spelling
        whole = self.whole_clones(name)
        if len(whole) == 1:
            self._require_one(whole[0], name, key)
            return whole[0]
        if clones := self.clones(name):
            raise InvalidFault(
                key,
                name,
                "a function of this kernel: the compiler has split it",
                hint=f"there are {', '.join(clones[:_SHOWN])}; name one of them, or a caller",
            )
        raise InvalidFault(key, name, "a function of this kernel", hint=self._instead_of(name))

    def places(self, name: str) -> list[Place]:
        """Return every place where the kernel has a function of that name, or a copy of one.

        A copy is as a rule one of several functions of a name, or what some callers of
        the only one use in its place.
        """
        found = self._places(name)
        for copy in self.whole_clones(name):
            found += [place._replace(copy=copy) for place in self._places(copy)]
        return found

    def _places(self, name: str) -> list[Place]:
        found = []
        for start, stop in self._spans(name):
            line = _LINE.fullmatch(self._text[start:stop])
            if line and line["kind"] in _FUNCTIONS:
                # The kernel's own are in the order of their addresses, a module's in none.
                module = (line["module"] or b"").decode()
                beside = () if module else self._beside(start, stop, name)
                found.append(Place(int(line["address"], 16), module, tuple(beside)))
        return found

    def _beside(self, start: int, stop: int, name: str) -> Iterator[str]:
        """Yield the function before and the one behind what stands there in the list."""
        before = self._text[max(0, start - _VICINITY) : start].split(b"\n")[-2::-1]
        behind = self._text[stop + 1 : stop + _VICINITY].split(b"\n")[:-1]
        for lines in before, behind:
            others = (line[1].decode() for line in map(_OWN_FUNCTION.search, lines) if line)
            yield from itertools.islice((other for other in others if other != name), 1)

    def _require_one(self, symbol: str, name: str, key: str) -> None:
        """Check that a symbol is that of one function; see `resolve`.

        A trampoline and a kprobe would be attached to the first one, and never say so.
        """
        if self._wrapper != "sys_" and symbol.startswith(self._wrapper):
            return  # There is one entry point of a system call: the list need not be read.
        places = self.places(symbol)
        if len(places) < 2:
            return
        shown = "; ".join(f"({number}) {place}" for number, place in enumerate(places[:_SHOWN], 1))
        more = f"; and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
        takes = [f"({', '.join(map(str, each))})" for each in self._types.prototypes(symbol)]
        differ = f" which take {' or '.join(takes)}" if len(takes) > 1 else ""
        call = self.system_call(name)
        meant = f"for the system call write {call}; " if call else ""
        raise InvalidFault(
            key,
            name,
            f"the name of one function: this kernel has {len(places)}{differ}, {shown}{more}",
            hint=advice.allocation(name)
            or f"{meant}name a function that calls the one you mean, or one that it calls",
        )

    def _is_system_call(self, portable: str) -> bool:
        return any(name in self for name in self._entry_points(portable))

    def entry_point(self, call: str) -> str:
        """Return the entry point of a system call such as mount; empty where it has none."""
        return next((name for name in self._entry_points(f"sys_{call}") if name in self), "")

    def system_call(self, name: str) -> str:
        """Return the portable name of the system call that a name means; empty for none."""
        return advice.system_call(name, self._is_system_call)

    def lists_system_calls(self) -> bool:
        """Tell whether the names of system calls can be told from those of functions."""
        return self._wrapper != "sys_" and f"{self._wrapper}read" in self

    def _instead_of(self, name: str) -> str:
        """Return what to write in place of a name that no function has."""
        if instead := advice.allocation(name):
            return instead
        call = self.system_call(name)
        near = [other for other in self.near(name) if not call or not other.endswith(call)]
        words = [f"for the system call write {call}"] if call else []
        if near:
            words.append(f"near: {', '.join(near)}")
        if not words:
            words.append("grep for part of it in /proc/kallsyms")
        return "; ".join([*words, "one that the compiler has inlined everywhere is not there"])

    def _entry_points(self, name: str) -> list[str]:
        """Return what a system call's portable name may stand for, what is called first."""
        portable = _PORTABLE.fullmatch(name)
        calls = (_SUCCESSORS.get(portable[1]), portable[1]) if portable else ()
        return [self._wrapper + call for call in calls if call]

    def beside(self, symbol: str) -> Iterator[str]:
        """Yield who makes a system call without coming by its entry point, and by which function.

        That is who runs 32-bit code, or uses `int 0x80`: of a kernel with CONFIG_IA32_EMULATION.

        :param symbol: a function of this kernel; only a system call's entry point has others.
        """
        if not symbol.startswith(self._wrapper) or not self._others:
            return
        # Entry points are among the types where there are any: the long list is not read for this.
        has = self._types.has_function if self._types else self._lists
        for callers, prefixes in self._others.items():
            others = (prefix + symbol.removeprefix(self._wrapper) for prefix in prefixes)
            if found := next(filter(has, others), None):
                yield f"{callers}: {found}"

    def left_to_others(self, call: str) -> bool:
        """Tell whether 32-bit programs alone have a system call here.

        :param call: its portable name, such as sys_poll, which arm64 has no number for.
        """
        return call.startswith("sys_") and syscalls.lacks(self._machine, call[len("sys_") :])

    def clones(self, name: str) -> list[str]:
        """Return the copies that the compiler made of a function, such as f.constprop.0."""
        pattern = re.compile(rb"[tTwW] ([!-~]+)")
        wanted, found = b" %s." % name.encode(), set()
        at = self._text.find(wanted)
        while at > 0:
            if clone := pattern.match(self._text, at - 1):
                found.add(clone[1].decode())
            at = self._text.find(wanted, at + 1)
        return sorted(found)

    def whole_clones(self, name: str) -> list[str]:
        """Return those copies that callers may use in place of the function."""
        return [clone for clone in self.clones(name) if _WHOLE_CLONE.fullmatch(clone)]

    def address(self, name: str) -> int:
        """Return the address of a function or variable; 0 where it is not known."""
        return next((int(address, 16) for address, _ in self._lines(name)), 0)

    def span(self, name: str) -> tuple[int, int]:
        """Return where a function begins, and how many bytes it is to what comes behind it; 0 and
        0 where the kernel does not tell."""
        for start, stop in self._spans(name):
            line = _LINE.fullmatch(self._text[start:stop])
            begin = int(line["address"], 16) if line else 0
            if line and begin:
                behind = self._behind(stop, line["module"] or b"")
                end = min((address for address in behind if address > begin), default=begin)
                return begin, end - begin
        return 0, 0

    def _behind(self, stop: int, module: bytes) -> Iterator[int]:
        """Yield addresses of what the list has behind a function; of a module's, of all of it."""
        if module:
            lines = re.finditer(rb"(?m)^([0-9a-f]{1,16}) .*\t\[%s\]$" % module, self._text)
        else:  # the kernel's own are in the order of their addresses
            lines = re.compile(rb"(?m)^([0-9a-f]{1,16}) ").finditer(
                self._text, stop + 1, stop + _VICINITY
            )
        return (int(line[1], 16) for line in lines)

    def _lists(self, name: str) -> bool:
        return any(kind in _FUNCTIONS for _, kind in self._lines(name))

    def _lines(self, name: str) -> Iterator[tuple[bytes, bytes]]:
        """Yield address and kind of what has this name."""
        for start, stop in self._spans(name):
            if line := _LINE.fullmatch(self._text[start:stop]):
                yield line["address"], line["kind"]

    def _spans(self, name: str) -> Iterator[tuple[int, int]]:
        """Yield where the lines with this name begin and end; a module's comes after a tab."""
        for end in (b"\n", b"\t"):
            wanted = b" %s%s" % (name.encode(), end)
            place = self._text.find(wanted)
            while place >= 0:
                start = self._text.rfind(b"\n", 0, place) + 1
                yield start, self._text.find(b"\n", place)
                place = self._text.find(wanted, place + 1)

    def near(self, name: str) -> list[str]:
        """Return names that look like this one, best first."""
        import difflib  # noqa: PLC0415 - most faults name what is there

        words = [word for word in name.lower().split("_") if len(word) > 2] or [name.lower()]
        pattern = rb"(?mi) [tTwW] ([!-~]*(?:%s)[!-~]*)" % b"|".join(
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


def system_call_meant(name: str) -> str:
    """Return the name that a fault takes for a system call whose bare name is given, as far as
    this machine tells; empty where it is none.

    The kernel that it will run on cannot be asked.  This machine's, if it lists its symbols,
    has the same system calls; elsewhere a function that the C library has tells of one.
    """
    if _PORTABLE.fullmatch(name):
        return ""
    with contextlib.suppress(UnsupportedKernel, OSError):
        here = running()
        if here.lists_system_calls():
            return "" if name in here else here.system_call(name)
    library = ctypes.CDLL(None)
    return advice.system_call(
        name,
        lambda call: (
            not _NO_CALLS.match(call)
            and call.isidentifier()
            and hasattr(library, call.removeprefix("sys_"))
        ),
    )
