"""The places of files that a program knows, without a program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from chaoskernel.kernel import files
from chaoskernel.kernel.files import Place


def open_files() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Places:
    """Remembers the places that are listed, by their inodes."""

    def __init__(self) -> None:
        self.listed: set[int] = set()

    def list_places(self, places: Iterable[Place]) -> Sequence[int]:
        found = [files.identity(place.descriptor)[0] for place in places]
        self.listed |= set(found)
        return found

    def unlist_places(self, addresses: Iterable[int]) -> None:
        self.listed -= set(addresses)
