"""Directories for work that is over soon; what a killed process leaves, a later one removes.

Standard library only: agents make some, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "chaoskernel-work-"
_NEW_SECONDS = 60.0
"""One that is new is left alone: whoever made it is about to hold it."""


@contextlib.contextmanager
def directory(prefix: str = PREFIX) -> Iterator[Path]:
    """Make a directory, and remove it; those of this prefix that nobody holds go with it."""
    sweep(Path(tempfile.gettempdir()), prefix)
    made = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    with made as name, _held(Path(name)):
        yield Path(name)


def sweep(top: Path, prefix: str = PREFIX) -> None:
    """Remove the directories of processes that were killed.

    :param top: the directory that they are in.
    """
    for left in top.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _NEW_SECONDS:
                with _held(left):
                    shutil.rmtree(left)


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    """Hold a directory; the hold ends with this process at the latest.

    :raises BlockingIOError: another process holds it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
