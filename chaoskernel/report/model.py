"""What a report shows, whatever it was read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Something that had a beginning and an end.

    :param lane: the part of the run that it belongs to.
    :param state: what came of it: succeeded, failed, deviated, or in force.
    :param begin: seconds from the run's beginning.
    """

    lane: str
    label: str
    state: str
    begin: float
    end: float


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """Injections a second between two moments, in seconds from the run's beginning."""

    begin: float
    end: float
    per_second: float


@dataclasses.dataclass(frozen=True, slots=True)
class Stack:
    """A kernel stack that was failed.

    :param functions: the outermost first; the last one is the hook.
    :param outcome: what came of it; empty where one does not know.
    :param site: the id of the site; empty where there is none.
    """

    functions: tuple[str, ...]
    count: int
    outcome: str = ""
    site: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a run.

    :param facts: what is said of it, by label.
    :param rates: by who was hit: empty for all, else such as `pod shop/db-0`.
    :param hit: who was hit, of what kind, and how often.
    :param held: by which guard or limit calls were held back, and how many.
    """

    name: str
    verdict: str
    facts: Mapping[str, str]
    rates: Mapping[str, Sequence[Rate]]
    stacks: Sequence[Stack]
    stacks_of: int
    hits: int
    hit: Sequence[tuple[str, str, int]]
    held: Sequence[tuple[str, int]]


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """A run of an experiment.

    :param deviated_at: seconds at which a steady state was found not to hold.
    """

    source: str
    title: str
    outcome: str
    verdict: str
    shortfalls: Sequence[str]
    facts: Mapping[str, str]
    spans: Sequence[Span]
    faults: Sequence[Fault]
    deviated_at: Sequence[float]
    experiment: str

    @property
    def is_bad(self) -> bool:
        """Whether somebody has to look at it."""
        return self.outcome != "completed" or bool(self.shortfalls)


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A place where the kernel failed a program, and what the program came to.

    :param call: how the kernel was entered, such as `openat(2)` or `page fault`.
    :param function: the function that tells most.
    :param frames: the innermost first.
    :param change: against an earlier exploration: new, mended, or empty.
    """

    id: str
    outcome: str
    detail: str
    fault: str
    errno: str
    call: str
    function: str
    frames: Sequence[str]
    phases: str
    count: int
    output: str
    kernel_log: str
    replay: str
    is_bad: bool
    seconds: float = 0.0
    notes: Sequence[str] = ()
    change: str = ""

    @property
    def functions(self) -> tuple[str, ...]:
        """The outermost first, without offsets and modules."""
        return tuple(frame.partition("+")[0] for frame in reversed(self.frames))

    @property
    def place(self) -> tuple[str, ...]:
        """What it is known by on another build of the kernel."""
        return (self.fault, self.call, *self.functions)


@dataclasses.dataclass(frozen=True, slots=True)
class Exploration:
    """What failing a program's sites one by one has shown.

    :param outcomes: how many sites came to each, the worst first.
    :param gone: sites of the earlier exploration that were not found again.
    :param against: the earlier one's file; empty where there is none.
    """

    source: str
    title: str
    outcomes: Mapping[str, int]
    facts: Mapping[str, str]
    sites: Sequence[Site]
    kernel: str
    against: str = ""
    gone: Sequence[Site] = ()

    @property
    def is_bad(self) -> bool:
        """Whether somebody has to look at it."""
        return any(site.is_bad for site in self.sites)

    @property
    def stacks(self) -> list[Stack]:
        """The sites that were failed, as stacks."""
        return [
            Stack((site.call, *site.functions), 1, site.outcome, site.id)
            for site in self.sites
            if site.outcome
        ]
