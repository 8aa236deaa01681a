"""What an exploration has found so far: built from the store's records, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from chaoskernel.explore.observation import Attempt, Baseline, Observation
from chaoskernel.explore.outcome import Outcome, severity
from chaoskernel.explore.plan import Plan
from chaoskernel.explore.typed import checked
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Phase, Site, hits_of, phase_of
from chaoskernel.fault.spec import kind_named


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A site, and how it was met.

    :param phases: in which phases; empty where that is not known.
    :param count: requests at it in the first run that met it.
    :param steady: every baseline run met it.
    :param under: the site that failed when this one was met first; empty for a baseline.
    """

    site: Site
    fault: Kind
    phases: tuple[Phase, ...] = ()
    count: int = 0
    steady: bool = True
    under: str = ""

    @property
    def failing(self) -> tuple[str, ...]:
        """The sites that fail where this one is tried: what it was met under, and itself."""
        return (self.under, self.site.id) if self.under else (self.site.id,)

    def to_json(self) -> dict[str, Any]:
        """Return it as a document of JSON types."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        phases = [phase.value for phase in self.phases]
        return {**own, "site": self.site.to_json(), "fault": self.fault.value, "phases": phases}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Found:
        """Return what `to_json` made a document of.

        :raises ValueError: it is something else.
        """
        given = dict(document)
        given["site"] = Site.from_json(given["site"])
        given["fault"] = kind_named(given["fault"])
        given["phases"] = tuple(map(phase_of, given["phases"]))
        return checked(cls(**given))


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What one attempt came to.

    :param outcome: the worst, where several tries came to different ones.
    :param flaky: they did, or not every try reached the site.
    :param tries: the outcome of each.
    """

    attempt: Attempt
    outcome: Outcome
    detail: str = ""
    leaks: tuple[str, ...] = ()
    flaky: bool = False
    tries: tuple[Outcome, ...] = ()
    seconds: float = 0.0
    tail: str = ""
    kernel: tuple[str, ...] = ()
    log: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as a document of JSON types."""
        return {**dataclasses.asdict(self), "tries": list(self.tries)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Result:
        """Return what `to_json` made a document of.

        :raises ValueError: it is something else.
        """
        given = dict(document)
        given["attempt"] = attempt_of(given["attempt"])
        given["outcome"] = Outcome(given["outcome"])
        given["tries"] = tuple(map(Outcome, given["tries"]))
        for key in ("leaks", "kernel", "log"):
            given[key] = tuple(map(str, given[key]))
        return checked(cls(**given))


def attempt_of(document: Mapping[str, Any]) -> Attempt:
    """Return the attempt that a document describes."""
    return Attempt(tuple(map(str, document["sites"])), hits_of(document["hits"]))


@dataclasses.dataclass(slots=True)
class Findings:
    """What is known so far.

    :param kernel: release, build and machine of the kernel, whose sites these are.
    :param results: by the id of their attempt.
    :param trying: an attempt that has begun, and has no result.
    :param end: why the exploration ended; empty while it goes on.
    """

    plan: Plan
    kernel: Mapping[str, str]
    versions: Mapping[str, str]
    begun: str = ""
    sites: dict[str, Found] = dataclasses.field(default_factory=dict)
    baseline: Baseline = dataclasses.field(default_factory=lambda: Baseline(()))
    baseline_facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    results: dict[str, Result] = dataclasses.field(default_factory=dict)
    trying: Attempt | None = None
    seconds: float = 0.0
    end: str = ""

    @classmethod
    def begun_by(cls, record: Mapping[str, Any]) -> Findings:
        """Return what is known from the first record of a store.

        :raises ValueError: it is something else.
        """
        plan = Plan.from_json(record["plan"])
        return cls(plan, dict(record["kernel"]), dict(record["versions"]), str(record["at"]))

    def take(self, record: Mapping[str, Any]) -> None:
        """Take in the next record.

        :raises ValueError: it is something else.
        """
        kind = record["record"]
        if kind == "site":
            found = Found.from_json(record["found"])
            self.sites.setdefault(found.site.id, found)
        elif kind == "baseline":
            runs = tuple(map(Observation.from_json, record["runs"]))
            self.baseline = Baseline(runs, int(record["masked"]))
            self.baseline_facts = dict(record["facts"])
        elif kind == "trying":
            self.trying, self.end = attempt_of(record["attempt"]), ""
        elif kind == "result":
            result = Result.from_json(record["result"])
            if not result.attempt.sites or not self.sites.keys() >= {*result.attempt.sites}:
                raise ValueError(f"a result of an unknown site: {result.attempt.id}")
            self.results[result.attempt.id] = result
            self.trying = None
        elif kind == "end":
            self.end, self.trying = str(record["why"]), None
        self.seconds = max(self.seconds, float(record.get("seconds", 0.0)))

    def of_site(self, site: str) -> list[Result]:
        """Return the results in which a site failed as the last of its attempt, the worst first."""
        mine = [each for each in self.results.values() if each.attempt.sites[-1] == site]
        return sorted(mine, key=lambda each: -severity(each.outcome))

    def counts(self) -> dict[Outcome, int]:
        """Return how many attempts came to each outcome, the worst first."""
        every = [each.outcome for each in self.results.values()]
        return {kind: every.count(kind) for kind in reversed(Outcome) if kind in every}
