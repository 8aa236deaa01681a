"""The loop: baselines, then each site in a run of its own, each result on disk before the next."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.findings import Findings, Found, Result
from chaoskernel.explore.mask import Mask, mask_of
from chaoskernel.explore.observation import Attempt, Baseline, Observation
from chaoskernel.explore.order import Queue, pairs
from chaoskernel.explore.outcome import FINE, Outcome, Verdict, differences, judge, severity
from chaoskernel.explore.plan import Mode, Plan, in_shard, why_left_out
from chaoskernel.explore.recording import Met, Recording
from chaoskernel.explore.store import Store
from chaoskernel.explore.target import Played, Target
from chaoskernel.fault.sites import Site

_LEAST_LIMIT = 5.0
"""No run hangs within so many seconds, however short the baseline is: machines are busy."""

_BARE = Attempt()


class Damaged(ChaosKernelError):
    """Not even the baseline works any more; the results are kept."""


class Watch(Protocol):
    """Whoever looks on."""

    def baseline(self, number: int, of: int) -> None:
        """A baseline begins, the first being 1."""

    def progress(self, findings: Findings, waiting: int, left: float | None) -> None:
        """A run has ended.

        :param waiting: attempts whose turn is still to come.
        :param left: seconds until the budget is used up, if there is one, or all were tried.
        """


class Spent:
    """What of a session's budget is spent; it goes on in fresh surroundings."""

    def __init__(self, plan: Plan) -> None:
        self.tried = 0
        self._plan = plan
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the session has taken."""
        return time.monotonic() - self._begun

    def why_over(self) -> str:
        """Return which limit is reached; empty while none is."""
        if self._plan.sites and self.tried >= self._plan.sites:
            return "sites"
        return "budget" if self._plan.budget and self.seconds >= self._plan.budget else ""

    def left(self, waiting: int) -> float | None:
        """Return how many seconds are left; None while nothing tells.

        :param waiting: attempts whose turn is still to come.
        """
        rest = max(0.0, self._plan.budget - self.seconds) if self._plan.budget else None
        if not self.tried:
            return rest
        left = self.seconds / self.tried * waiting
        return left if rest is None else min(left, rest)


class Explorer:
    """Explores as a store's plan says, from where the store stands."""

    def __init__(
        self,
        store: Store,
        target: Target,
        recording: Recording,
        watch: Watch,
        spent: Spent | None = None,
    ) -> None:
        self._store = store
        self._findings = store.findings
        self._plan = store.findings.plan
        self._target = target
        self._recording = recording
        self._watch = watch
        self._queue = Queue(self._plan.seed)
        self._mask = Mask()
        self._baseline = Baseline(())
        self._limit = self._plan.timeout
        self._since_canary = 0
        self._spent = spent or Spent(self._plan)
        recording.learn(Met(each.site, each.fault) for each in self._findings.sites.values())

    def run(self) -> str:
        """Explore until all is tried, or the budget is used up; return which it was.

        :raises ChaosKernelError: the baseline does not work, or the disk is full.
        :raises Damaged: the baseline does not work any more.
        """
        self._play_baselines()
        for found in list(self._findings.sites.values()):
            self._consider(found)
        for result in self._findings.results.values():
            self._queue.skip(result.attempt, self._sites(result.attempt))
        while (why := self._why_over()) == "":
            self._try(self._queue.pop())
            waiting = len(self._queue)
            self._watch.progress(self._findings, waiting, self._spent.left(waiting))
        self._store.add("end", why=why)
        return why

    def baseline(self) -> Baseline:
        """Play the baselines alone, and return what was seen of them."""
        self._play_baselines()
        return self._baseline

    def judged(self, attempt: Attempt, *, every: bool = False) -> tuple[Played, Verdict]:
        """Play an attempt once, and say what came of it.

        :param every: count the requests at every site; see `Sites.every`.
        """
        played = self._play(attempt, every=every)
        return played, judge(played.observation, self._baseline)

    def _why_over(self) -> str:
        if why := self._spent.why_over():
            return why
        if not self._queue and self._plan.depth > 1:
            for attempt in pairs(self._fine_alone(), self._plan.hits):
                self._queue.add(attempt, self._sites(attempt))
        return "" if self._queue else "complete"

    def _fine_alone(self) -> list[Site]:
        """Return the sites of the baseline that a program survives alone."""
        return [
            found.site
            for found in self._findings.sites.values()
            if not found.under
            and (mine := self._findings.of_site(found.site.id))
            and all(each.outcome in FINE for each in mine)
        ]

    # Baselines.

    def _play_baselines(self) -> None:
        plan, runs = self._plan, list[Played]()
        for number in range(plan.baselines):
            self._watch.baseline(number + 1, plan.baselines)
            played = self._target.play(_BARE, plan.timeout, every=True)
            if trouble := trouble_of(played.observation, plan.mode, plan.timeout):
                raise ChaosKernelError(trouble[0], hint=trouble[1])
            runs.append(played)
        self._mask = mask_of([each.output for each in runs])
        seen = tuple(self._masked(each) for each in runs)
        self._baseline = Baseline(seen, self._mask.parts)
        self._limit = max(_LEAST_LIMIT, plan.patience * self._baseline.seconds)
        self._keep_sites(runs)
        if not self._findings.sites:
            raise ChaosKernelError(
                "the program came to no site: it made no request that could fail",
                hint="name other kinds by --fault; `chaoskernel faults` lists them",
            )
        facts = {
            "requests": max(sum(each.seen.counts.values()) for each in runs),
            "lost": max(each.seen.lost for each in runs),
        }
        documents = [each.to_json() for each in seen]
        self._store.add("baseline", runs=documents, masked=self._mask.parts, facts=facts)

    def _keep_sites(self, runs: Sequence[Played]) -> None:
        """Keep the sites of baselines; a site that not every run met is unsteady."""
        met = {each.site.id: each for played in runs for each in played.seen.new}
        phases = {site: found for each in runs for site, found in each.seen.phases.items()}
        found = []
        for site, each in met.items():
            counts = [played.seen.counts.get(site, 0) for played in runs]
            found.append(
                Found(each.site, each.fault, phases.get(site, ()), max(counts), all(counts))
            )
        self._keep(found)

    def _keep(self, found: Iterable[Found]) -> None:
        known = self._findings.sites
        new = [{"found": each.to_json()} for each in found if each.site.id not in known]
        if new:
            self._store.add_each("site", new)

    # Attempts.

    def _consider(self, found: Found) -> None:
        """Queue what is to be tried of a site."""
        if why_left_out(self._plan, found.site, found.phases):
            return
        if not found.under and not in_shard(self._plan, found.site):
            return
        for hits in self._plan.hits:
            attempt = Attempt(found.failing, hits)
            self._queue.add(attempt, self._sites(attempt), late=not found.steady)

    def _sites(self, attempt: Attempt) -> list[Site]:
        return [self._findings.sites[each].site for each in attempt.sites]

    def _try(self, attempt: Attempt) -> None:
        """Fail an attempt's sites, as often as it takes to be sure, and keep the result."""
        self._store.add("trying", attempt=dataclasses.asdict(attempt))
        begun = time.monotonic()
        tries: list[tuple[Played, Verdict]] = []
        while not tries or self._is_unsure(attempt, [verdict.outcome for _, verdict in tries]):
            # The first one spares requests that seem to be of other sites; no other one does.
            tries.append(self.judged(attempt, every=bool(tries)))
            self._keep_new(tries[-1][0], attempt)
        result = result_of(attempt, tries)
        damage = self._damage(result.outcome)
        if damage and result.outcome is not Outcome.KERNEL:
            detail = f"{damage}; before: {result.outcome} {result.detail}".strip()
            result = dataclasses.replace(result, outcome=Outcome.DAMAGED, detail=detail)
        seconds = round(time.monotonic() - begun, 3)
        self._store.add("result", result=dataclasses.replace(result, seconds=seconds).to_json())
        self._spent.tried += 1
        if damage:
            raise Damaged(f"the surroundings are damaged: {damage}")

    def _is_unsure(self, attempt: Attempt, outcomes: Sequence[Outcome]) -> bool:
        """Tell whether an attempt is to be tried again."""
        if len(outcomes) > self._plan.retries:
            return False
        if outcomes[-1] is Outcome.HUNG:
            return len(outcomes) < 2  # once more: it may have been a busy machine
        unsteady = not all(self._findings.sites[each].steady for each in attempt.sites[:1])
        return unsteady or Outcome.NOT_REACHED in outcomes or len(set(outcomes)) > 1

    def _keep_new(self, played: Played, attempt: Attempt) -> None:
        """Keep sites that came up under a failure, and queue them: both fail then."""
        deepest = len(attempt.sites) > 1
        for each in played.seen.new:
            under = attempt.sites[0] if attempt.sites else ""
            found = Found(
                each.site,
                each.fault,
                played.seen.phases.get(each.site.id, ()),
                played.seen.counts.get(each.site.id, 0),
                bool(under),
                under,
            )
            self._keep([found])
            if not deepest:
                self._consider(found)

    def _damage(self, outcome: Outcome) -> str:
        """Play the baseline where that is due; return what is wrong with it now."""
        self._since_canary += 1
        harmless = outcome in (Outcome.SURVIVED, Outcome.NOT_REACHED)
        if harmless and self._since_canary < self._plan.canary:
            return ""
        self._since_canary = 0
        wrong: list[str] = []
        for _ in range(2):  # the baseline has its own whims
            played = self._play(_BARE)
            self._keep_new(played, _BARE)
            wrong = differences(played.observation, self._baseline)
            if not wrong:
                return ""
        return f"the baseline differs now: {', '.join(wrong)}"

    def _play(self, attempt: Attempt, *, every: bool = False) -> Played:
        played = self._target.play(attempt, self._limit, every=every)
        return played._replace(observation=self._masked(played))

    def _masked(self, played: Played) -> Observation:
        return dataclasses.replace(played.observation, output=self._mask.digest(played.output))


def result_of(attempt: Attempt, tries: Sequence[tuple[Played, Verdict]]) -> Result:
    """Return what the tries of an attempt come to: the worst; flaky where they differ."""
    outcomes = tuple(verdict.outcome for _, verdict in tries)
    played, verdict = max(tries, key=lambda each: severity(each[1].outcome))
    flaky = len(set(outcomes)) > 1
    detail = verdict.detail
    if flaky:
        same = outcomes.count(verdict.outcome)
        detail = f"{detail} ({same} of {len(tries)} tries)".strip()
    seen = played.observation
    return Result(
        attempt,
        verdict.outcome,
        detail,
        verdict.leaks,
        flaky,
        outcomes,
        0.0,
        seen.tail,
        seen.kernel,
        seen.log,
    )


def trouble_of(seen: Observation, mode: Mode, limit: float) -> tuple[str, str] | None:
    """Return why a run cannot be a baseline, and what to do about it; None where it can."""
    ending, said = seen.ending, _last_line(seen.tail)
    fails = mode is Mode.COMMAND and (ending.signal or ending.status)
    how = ending.signal or f"exit status {ending.status}"
    first = "make it succeed first"
    troubles = (
        (ending.not_started, f"the program cannot be started: {said}", first),
        (seen.ready is False, f"--ready does not exit with 0: {said}", "try both commands first"),
        (ending.hung, f"it does not end within {limit:g} s without a fault", "raise --timeout"),
        (fails, f"the command fails without a fault: {how}: {said}", first),
        (seen.workload, f"the workload fails without a fault: {said}", first),
        (seen.steady is False, f"--check fails without a fault: {seen.detail}", first),
        (seen.intact is False, f"--verify fails without a fault: {seen.detail}", first),
    )
    return next(((what, remedy) for wrong, what, remedy in troubles if wrong), None)


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it wrote nothing"
