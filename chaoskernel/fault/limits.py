"""The limits of a fault: how often, and for how long.  Standard library only."""

from __future__ import annotations

import dataclasses

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import is_int, is_number

MAX_DURATION = 24 * 60 * 60.0
"""Longest duration of a fault, in seconds."""

MAX_TIMES = 2**63 - 1

MAX_NODES = 10
"""Most nodes of one fault where nothing else is said."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How often, and for how long.

    :param probability: percent, above 0 and up to 100; drawn once per entry of the
        outermost frame, or per hook call when the chain is empty.
    :param times: most injections; 0 is no limit.
    :param duration: seconds from the moment the fault is armed.
    """

    probability: float = 100.0
    times: int = 0
    duration: float = 300.0

    def __post_init__(self) -> None:
        if not is_number(self.probability) or not 0 < self.probability <= 100:
            raise InvalidFault(
                "probability",
                self.probability,
                "a percentage above 0 and up to 100",
                hint="1 is one per cent, 100 is always",
            )
        if not is_int(self.times) or not 0 <= self.times <= MAX_TIMES:
            raise InvalidFault(
                "times",
                self.times,
                f"a whole number from 0 to {MAX_TIMES}",
                hint="0 sets no limit",
            )
        if not is_number(self.duration) or not 0 < self.duration <= MAX_DURATION:
            raise InvalidFault(
                "duration",
                self.duration,
                f"a time above 0 and up to {MAX_DURATION:g} s",
                hint="every fault ends by itself: 300 is five minutes, which activities take as 5m",
            )

    @property
    def probability_of_2_32(self) -> int:
        """How many of 2^32 draws fail: one at least."""
        return max(1, round(self.probability / 100 * 2**32))
