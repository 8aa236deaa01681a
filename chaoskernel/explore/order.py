"""In which order sites are tried: what is most different from all that was tried comes first.

So a short budget sees most.  The same seed gives the same order of the same sites.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence

from chaoskernel.explore.observation import Attempt
from chaoskernel.fault.sites import Hits, Site


def features(site: Site) -> frozenset[str]:
    """Return what tells a site from others: its functions, its hook, and how the kernel came in."""
    functions = (place.function for place in site.places)
    return frozenset((*functions, f"by {site.by} {site.call}", f"hook {site.hook}"))


def distance(one: frozenset[str], other: frozenset[str]) -> float:
    """Return how different two sites are: 0 the same, 1 nothing in common."""
    common = len(one & other)
    return 1.0 - common / (len(one) + len(other) - common)


@dataclasses.dataclass(slots=True)
class _Waiting:
    attempt: Attempt
    features: frozenset[str]
    drawn: str
    late: bool = False
    nearest: float = 2.0  # to anything that was taken


class Queue:
    """Attempts that wait for their turn.

    :param seed: decides between those that are equally different.
    """

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._waiting: dict[str, _Waiting] = {}
        self._seen: set[str] = set()
        self._taken: list[frozenset[str]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, attempt: Attempt, sites: Sequence[Site], *, late: bool = False) -> bool:
        """Queue an attempt, unless it was queued before; return whether it is new.

        :param sites: those that it fails.
        :param late: it comes after all others, as it may not be reached.
        """
        if attempt.id in self._seen:
            return False
        self._seen.add(attempt.id)
        drawn = hashlib.sha256(f"{self._seed} {attempt.id}".encode()).hexdigest()
        mode = f"hits {attempt.hits}"
        mine = frozenset.union(*map(features, sites), {mode})
        new = _Waiting(attempt, mine, drawn, late)
        new.nearest = min((distance(mine, each) for each in self._taken), default=2.0)
        self._waiting[attempt.id] = new
        return True

    def skip(self, attempt: Attempt, sites: Sequence[Site]) -> None:
        """Count an attempt as taken: its result is known."""
        self.add(attempt, sites)
        if found := self._waiting.pop(attempt.id, None):
            self._take(found)

    def pop(self) -> Attempt:
        """Return what comes next.

        :raises IndexError: nothing waits.
        """
        if not self._waiting:
            raise IndexError("the queue is empty")
        best = max(
            self._waiting.values(), key=lambda each: (not each.late, each.nearest, each.drawn)
        )
        del self._waiting[best.attempt.id]
        self._take(best)
        return best.attempt

    def _take(self, taken: _Waiting) -> None:
        self._taken.append(taken.features)
        for each in self._waiting.values():
            each.nearest = min(each.nearest, distance(each.features, taken.features))


def _turn(each: _Waiting) -> tuple[bool, float, str]:
    return not each.late, each.nearest, each.drawn


def pairs(sites: Iterable[Site], hits: Iterable[Hits | int]) -> Iterator[Attempt]:
    """Yield every pair of sites, the first named first."""
    for mode, (one, other) in itertools.product(hits, itertools.combinations(sites, 2)):
        yield Attempt((one.id, other.id), mode)
