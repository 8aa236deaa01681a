"""Where built kernels and verdicts are kept between runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from chaoskernel.errors import TimeLimit

_LOCK_POLL_SECONDS = 0.5


def root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the cache directory: $CHAOSKERNEL_CACHE, else below the user's cache."""
    if chosen := environ.get("CHAOSKERNEL_CACHE"):
        return Path(chosen).absolute()
    if home := environ.get("XDG_CACHE_HOME"):
        return Path(home).absolute() / "chaoskernel"
    return Path.home() / ".cache" / "chaoskernel"


def size(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def write(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


@contextlib.contextmanager
def lock(path: Path, *, seconds: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a file lock, which also ends with the process.

    :param seconds: how long to wait for another holder.
    :param on_wait: called once when there is another holder.
    :raises TimeLimit: the other holder kept it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with path.open("a") as file:
        told = False
        while not _try_lock(file.fileno()):
            if not told:
                on_wait()
                told = True
            if time.monotonic() >= deadline:
                raise TimeLimit(
                    f"another process held {path} for {seconds:g} s", hint="wait for its end"
                )
            time.sleep(_LOCK_POLL_SECONDS)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
