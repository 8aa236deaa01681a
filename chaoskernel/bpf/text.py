"""The text of the C: its files, and those of bpf/logic put where they are included."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

from chaoskernel.bpf.plan import Plan

HERE = Path(__file__).parent
"""Where the C is, and what it includes."""

_INCLUDES = re.compile(r'(?m)^#include "((?:core|bcc|kernel|logic/\w+)(?:\.h)?)"$')


def object_name(machine: str = "") -> str:
    """Return what setup calls the object of inject.bpf.c for a machine: registers differ.

    :param machine: as `uname -m` prints it; empty for this one.
    """
    return f"inject.{machine or os.uname().machine}.bpf.o"


def whole(text: str) -> str:
    """Return a text with those files of this package that it includes, each once."""
    seen: set[str] = set()

    def content(found: re.Match[str]) -> str:
        name = found[1]
        if name in seen:
            return ""
        seen.add(name)
        return _INCLUDES.sub(content, file(name).read_text(encoding="utf-8"))

    return _INCLUDES.sub(content, text)


def core() -> str:
    """Return the text of the engine core's program."""
    return whole(file("inject.bpf.c").read_text(encoding="utf-8"))


def file(name: str) -> Path:
    """Return the place of a file of this package.

    importlib.resources, whose import takes as long as that of half the agent, would say the same:
    an agent is always run from a directory.
    """
    return HERE / name


def shown(plan: Plan) -> str:
    """Return what is switched and what is attached where, as a comment in C."""
    attached = (f" * {entry.function} on {entry.symbol}\n" for entry in plan.entries)
    set_ones = [
        f" * {name} = {list(value) if isinstance(value, ctypes.Array) else value}\n"
        for name, *_ in plan.switches._fields_
        if (value := getattr(plan.switches, name))
    ]
    return (
        f"/*\n * The switches that are not 0:\n{''.join(set_ones)}"
        f" *\n * What is attached:\n{''.join(attached)} */\n"
    )
