"""A recorder and a target for programs that are Python functions: no kernel is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chaoskernel.explore.observation import Attempt, Ending, Observation
from chaoskernel.explore.recording import Recording
from chaoskernel.explore.target import Around, Played
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Hits, Phase, Run, Site, Sites
from tests.unit.explore import samples

WELL = Ending(status=0, seconds=0.01)
Program = Callable[["Kernel"], Ending]


class FakeRecorder:
    """Counts requests, and fails those at the sites of a run."""

    def __init__(self) -> None:
        self.known: dict[str, Site] = {}
        self.counts: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.given = Sites()
        self.told: set[str] = set()
        self.pids: list[int] = []
        self.phase = Phase.WORK
        self.phases: dict[str, set[Phase]] = {}

    def begin_run(self, name: str, pids: Sequence[int], sites: Sites | None = None) -> None:
        self.counts, self.given = {}, sites or Sites()
        self.failed = dict.fromkeys(self.given.fail, 0)
        self.pids += pids

    def set_phase(self, name: str, phase: Phase) -> None:
        self.phase = phase

    def end_run(self, name: str) -> Run:
        failed = tuple(self.failed.values())
        new = tuple(self.known[each] for each in self.counts if each not in self.told)
        self.told |= set(self.counts)
        told = {each.id for each in new} | set(self.given.fail)
        counts = {site: n for site, n in self.counts.items() if self.given.every or site in told}
        phases = {site: tuple(p for p in Phase if p in self.phases[site]) for site in counts}
        self.given = Sites()
        return Run(counts, new, failed, 0, phases)


class Kernel:
    """What a program asks, as a Python function."""

    def __init__(self, recorder: FakeRecorder) -> None:
        self.recorder = recorder
        self.output = ""

    def fails(self, name: str) -> bool:
        """Make a request at the site of a name; tell whether it fails."""
        recorder = self.recorder
        site = samples.site(name)
        recorder.known[site.id] = site
        recorder.phases.setdefault(site.id, set()).add(recorder.phase)
        count = recorder.counts[site.id] = recorder.counts.get(site.id, 0) + 1
        if site.id not in recorder.given.fail:
            return False
        hits = recorder.given.hits
        if hits is Hits.PERSISTENT or count == (1 if hits is Hits.ONCE else hits):
            recorder.failed[site.id] += 1
            return True
        return False


class FakeTarget:
    """Plays a Python function.

    :param interrupt: called before each play, to interrupt the exploration.
    """

    def __init__(
        self, program: Program, interrupt: Callable[[int], None] = lambda number: None
    ) -> None:
        self.recorder = FakeRecorder()
        self.recording = Recording(self.recorder, {Kind.SLAB: "x"})
        self.played: list[Attempt] = []
        self.around: Around | None = None
        self._program = program
        self._interrupt = interrupt

    def play(self, attempt: Attempt, limit: float, *, every: bool = False) -> Played:
        self._interrupt(len(self.played))
        self.played.append(attempt)
        self.recording.begin([4711], attempt, every=every)
        kernel = Kernel(self.recorder)
        ending = self._program(kernel)
        seen = self.recording.end()
        observation = Observation(ending=ending, tail=kernel.output, failed=seen.failed)
        return Played(observation, seen, kernel.output.encode())


def id_of(name: str) -> str:
    """Return the id of the site of a name."""
    return samples.site(name).id
