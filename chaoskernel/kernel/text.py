"""The text of the running kernel and of its modules: names of places, the same in every boot.

Where the kernel and its modules lie is another place in every boot.  How far a function is from
where its module begins is not, as long as nobody builds the kernel anew.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from chaoskernel.fault.text_place import Place
from chaoskernel.kernel.addresses import UNKNOWN

PAGE = 12
"""Bits of an address within a page of 4 kB."""

PAGES = 1 << 19
"""NR_TEXT_PAGES: how many pages a program tells apart."""

_LONGEST = 1 << 20
"""No function has so many bytes."""

_INDEX_BITS = 20
_NO_MODULES = ("bpf", "__builtin__ftrace", "__builtin__kprobes", "__builtin__kprobe_insn_pages")
"""What /proc/kallsyms lists as modules and is made while the kernel runs."""


class Function(NamedTuple):
    """A function of the running kernel.

    :param module: which has it; empty for the kernel itself.
    """

    address: int
    name: str
    module: str


_LISTED = re.compile(rb"(?m)^([0-9a-f]{1,16}) [tTwW] ([!-~]+)(?:\t\[([!-~]+)\])?$")


def functions_of(kallsyms: bytes) -> Iterator[Function]:
    """Yield the functions of a list like /proc/kallsyms."""
    for address, name, module in _LISTED.findall(kallsyms):
        yield Function(int(address, 16), name.decode(), module.decode())


class Text:
    """The text of a kernel.

    :param functions: in any order.
    :param machine: as `uname -m` prints it.
    """

    def __init__(self, functions: Iterable[Function], machine: str) -> None:
        self._functions = sorted(each for each in functions if each.module not in _NO_MODULES)
        lowest = self._functions[0].address if self._functions else 0
        # x86-64 has the kernel and its modules in the last 2 GB; others, near each other.
        self.base = (
            (1 << 64) - (PAGES << PAGE)
            if machine == "x86_64"
            else max(0, (lowest >> PAGE) - PAGES // 2) << PAGE
        )

    @functools.cached_property
    def _pages(self) -> dict[int, int]:
        """The number of each page that has functions."""
        return dict(_pages(self._functions))

    def numbers(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Yield runs of pages: the number of the first, from `base` on, and what is kept of each.

        That is what has the page, and how far from its beginning: the same in every boot.
        """
        first = self.base >> PAGE
        run: list[int] = []
        begin = 0
        for page in sorted(self._pages):
            index = page - first
            if not 0 <= index < PAGES:
                continue
            if run and index != begin + len(run):
                yield begin, run
                run = []
            begin = begin if run else index
            run.append(self._pages[page])
        if run:
            yield begin, run

    def place(self, address: int) -> Place | None:
        """Return the place of an address; None of one that is not in the kernel's text."""
        number = bisect.bisect_right(self._functions, (address, "\x7f", "")) - 1
        if number < 0:
            return None
        this, *following = self._functions[number : number + 2]
        if address >> PAGE > _last_page(this, following[0] if following else None):
            return None
        offset = address - this.address
        return Place(this.name, offset, this.module) if offset < _LONGEST else Place(UNKNOWN, 0)

    def name(self, address: int) -> str:
        """Return the function that begins at an address; empty where none does."""
        found = self.place(address)
        return found.function if found and not found.offset else ""


def _pages(functions: Sequence[Function]) -> Iterator[tuple[int, int]]:
    """Yield each page that has functions, and its number.

    :param functions: by their addresses.
    """
    starts: dict[str, int] = {}
    for this, following in itertools.zip_longest(functions, functions[1:]):
        page = this.address >> PAGE
        start = starts.setdefault(this.module, page)
        has = zlib.crc32(this.module.encode()) << _INDEX_BITS
        for each in range(page, _last_page(this, following) + 1):
            yield each, has | each - start + 1


def _last_page(this: Function, following: Function | None) -> int:
    """Return the last page of a function, which reaches as far as the next one.

    The last one of a module reaches, as a rule, no farther than one page.
    """
    page = this.address >> PAGE
    if not following:
        return page + 1
    if following.module == this.module:
        return min(following.address - 1 >> PAGE, page + (_LONGEST >> PAGE))
    return min(page + 1, max(page, (following.address >> PAGE) - 1))
