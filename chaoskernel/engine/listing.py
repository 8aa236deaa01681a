"""The program's table of places, in which each stays until the last who has it lets go."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from chaoskernel.bpf.abi import MAX_PLACES
from chaoskernel.errors import EngineError
from chaoskernel.kernel.files import Place

UNFOLLOWED = "unfollowed_mounts"
"""The counter of changes of what is mounted below paths that are not in the table."""


class Places(Protocol):
    """The program's table of places."""

    def list_places(self, places: Iterable[Place]) -> Sequence[int]:
        """Enter files and directories; return their addresses in the kernel."""

    def unlist_places(self, addresses: Iterable[int]) -> None:
        """Take places out."""


class Held(NamedTuple):
    """Open files, and their addresses in the table."""

    places: Sequence[Place]
    addresses: Sequence[int]


class Listing:
    """Counts who has a place listed: containers may share files."""

    def __init__(self, table: Places) -> None:
        self._table = table
        self._listed: collections.Counter[int] = collections.Counter()

    def __len__(self) -> int:
        return len(self._listed)

    def enter(self, places: Sequence[Place], whose: str) -> Held:
        """List open files, which stay the caller's.

        :param whose: they are, for a person to read.
        :raises EngineError: there are more than the program has room for, or one cannot be asked.
        """
        if len(self._listed) + len(places) > MAX_PLACES:
            raise EngineError(
                f"the paths have more than {MAX_PLACES} files, directories and file systems "
                f"with those of {whose}",
                hint="name fewer paths, directories further down, or fewer pods of a node",
            )
        try:
            addresses = self._table.list_places(places)
        except OSError as unseen:
            raise EngineError(f"a file of {whose} is not to be seen: {unseen}") from unseen
        self._listed.update(addresses)
        return Held(places, addresses)

    def release(self, held: Held) -> None:
        """Take files out that nobody else has listed; they are still open."""
        self._listed.subtract(held.addresses)
        over = [address for address in {*held.addresses} if not self._listed[address]]
        self._table.unlist_places(over)
        for address in over:
            del self._listed[address]
