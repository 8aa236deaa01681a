"""What a shell proposes for an option's value."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from chaoskernel.fault.hooks import TABLE

_LIST = Path("/sys/kernel/debug/error_injection/list")
_SYMBOLS = Path("/proc/kallsyms")
_ENTRY = re.compile(r"\b__[a-z0-9]+_sys_(\w+)")


def errors(context: click.Context, _option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the errors that the fault's system calls document; all where it is not named yet."""
    row = next((TABLE[kind] for kind in TABLE if kind.value == context.params.get("fault")), None)
    documented = row.errors if row else ()
    return _matching(documented or sorted(errno.errorcode.values()), begun.upper())


def functions(
    _context: click.Context,
    _option: click.Parameter,
    begun: str,
    places: tuple[Path, ...] = (_LIST, _SYMBOLS),
) -> list[CompletionItem]:
    """Return functions that can be made to fail: root sees the kernel's list, others system calls.

    :param places: of the list, and of the symbols of the kernel.
    """
    listed, symbols = places
    try:
        names = listed.read_text(encoding="ascii", errors="replace").split()[::2]
    except OSError:
        names = []
    text = " ".join(names) if names else _text(symbols)
    calls = {f"sys_{name}" for name in _ENTRY.findall(text)}
    others = {name for name in names if not _ENTRY.fullmatch(name)}
    return _matching(sorted(calls | others), begun)


def _text(place: Path) -> str:
    try:
        return place.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _matching(names: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(begun)]
