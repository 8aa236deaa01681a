"""Addresses of the running kernel: whether it tells them, and that nobody else is told.

Where the kernel lies in memory is chosen at random at boot (KASLR), and is kept from those
who are not root.  A journal or a log may be read by anybody, so an address never gets there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

UNKNOWN = "[unknown]"
"""A place in the kernel whose name is not known."""

_KALLSYMS = Path("/proc/kallsyms")
_RESTRICTION = Path("/proc/sys/kernel/kptr_restrict")
_READ_BYTES = 2**16
"""Of /proc/kallsyms, which takes the kernel a while to write: enough to get past the symbols of
each CPU, which may lie at 0."""

# The upper half of 64 bits, but for masks such as 0xffffffffffffffff.
_ADDRESS = re.compile(r"\b(?:0x)?ffff(?!f{12}\b)[0-9a-f]{12}\b", re.IGNORECASE)


class Hidden(NamedTuple):
    """The kernel hides its addresses.

    :param why: in one clause.
    :param remedy: what would show them.
    """

    why: str
    remedy: str


def hidden(kallsyms: Path = _KALLSYMS, restriction: Path = _RESTRICTION) -> Hidden | None:
    """Return why the kernel hides its addresses from this process; None where it does not."""
    try:
        with kallsyms.open("rb") as file:
            text = file.read(_READ_BYTES)
    except OSError:
        return Hidden("the kernel lists no symbols", "CONFIG_KALLSYMS lists them")
    if re.search(rb"(?m)^0*[1-9a-f]", text):
        return None
    try:
        level = restriction.read_text(encoding="ascii").strip()
    except OSError:
        level = ""
    if level == "2":
        why = "kernel.kptr_restrict=2 hides kernel addresses"
        return Hidden(why, "sysctl kernel.kptr_restrict=1 shows them to root")
    return Hidden("the kernel hides its addresses from this process", "CAP_SYSLOG shows them")


def without_addresses(text: str) -> str:
    """Return a text of the kernel's or a compiler's without what looks like an address."""
    return _ADDRESS.sub(UNKNOWN, text)
