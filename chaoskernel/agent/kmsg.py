"""Lines of ours in the kernel's log, so that whoever reads it later knows why something failed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_DEVICE = Path("/dev/kmsg")
_NOTICE = 5
"""KERN_NOTICE."""

_MOST = 900
"""Characters of a line: the kernel takes 1 024 bytes (LOG_LINE_MAX and its prefix)."""


def say(text: str, device: Path | None = None) -> None:
    """Write a line to the kernel's log, where this process may; elsewhere do nothing."""
    line = "".join(char if char.isprintable() else "?" for char in text)[:_MOST]
    with contextlib.suppress(OSError):
        # Never waited for, and made by nobody: a container without the device has no log.
        descriptor = os.open(device or _DEVICE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, f"<{_NOTICE}>chaoskernel: {line}\n".encode())
        finally:
            os.close(descriptor)
