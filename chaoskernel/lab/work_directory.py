"""The directory that a guest shares with its host: a script goes in, an exit status comes out.

It goes with the guest.  When the process that made it is killed it stays, held by nobody, and the
next one removes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from chaoskernel import scratch
from chaoskernel.errors import LostGuest
from chaoskernel.lab import script

CONSOLE = "console.log"
"""What the guest's kernel says."""

ENTRY = "script"
"""What the guest runs."""

_PREFIX = "chaoskernel-lab-"


class NeverBegan(LostGuest):
    """The guest was lost before its command began."""


@contextlib.contextmanager
def made(job: script.Job) -> Iterator[Path]:
    """Make the directory, with the job's script in it."""
    with scratch.directory(_PREFIX) as mail:
        entry = mail / ENTRY
        text = script.text(job, os.environ.get("TERM", "dumb"))
        entry.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
        entry.chmod(0o755)
        yield mail


def status(mail: Path) -> int:
    """Return the exit status that the guest left.

    :raises NeverBegan: it left none, nor a word that the command began.
    :raises LostGuest: it left none.
    """
    letter = mail / script.STATUS
    if letter.exists():
        return int(letter.read_text(encoding="ascii"))
    lost = LostGuest if (mail / script.BEGUN).exists() else NeverBegan
    raise lost(
        "the guest ended without the exit status of its command",
        hint=_last_words(mail / CONSOLE),
    )


def _last_words(console: Path) -> str:
    """Return the line in which the guest's kernel says why it stopped, or its last line."""
    if not console.exists():
        return "it did not start"
    lines = console.read_text(encoding="utf-8", errors="replace").split("\n")
    spoken = [line.strip() for line in lines if line.strip()]
    panics = [line for line in spoken if "Kernel panic" in line]
    if not spoken:
        return "its kernel said nothing"
    if panics:
        return f"its kernel's last words: {panics[-1]}"
    return f"its kernel did not panic; the last it said: {spoken[-1]}"
