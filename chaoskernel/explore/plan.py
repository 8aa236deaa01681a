"""What is explored, and how: the user's wishes, checked; JSON both ways, for the store."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.explore.typed import checked
from chaoskernel.fault.checks import check_count, is_int, is_number
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Hits, Phase, Site, hits_of, phase_of
from chaoskernel.fault.spec import kind_named

MAX_FAULTS = 8
_LONGEST = 24 * 3600.0


class Mode(enum.StrEnum):
    """What kind of thing is run."""

    COMMAND = "command"
    SERVICE = "service"
    EXPERIMENT = "experiment"


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is explored, and how.

    :param command: the program in scope, with its arguments.
    :param workload: of a service: a command that makes it work, by a shell; never in scope.
    :param experiment: the file of an experiment that takes the workload's and the check's place.
    :param fixture: prepares the empty directory of each run, by a shell.
    :param ready: of a service: exits with 0 once it is up, by a shell.
    :param check: exits with 0 when all is well afterwards; of a service, while it lives.
    :param stop: of a service: what stops it, by a shell; SIGTERM where empty.
    :param verify: exits with 0 when the data is whole; a service is started anew for it.
    :param directory: where the program runs; empty is an empty directory for each run.
    :param faults: kinds of fault, whose sites are failed one at a time; none is what the kernel
        has of slab and page, else allocation.
    :param hits: which requests at a site fail; each is tried.
    :param phases: where sites are failed; empty is everywhere but in exec.
    :param depth: 2 fails pairs of sites, too.
    :param baselines: how often it is played without a fault first.
    :param retries: how often a flaky site is tried again.
    :param patience: a run hangs after this many times the baseline's longest.
    :param timeout: how long a run may take before there is a baseline, in seconds.
    :param canary: after so many runs that survived, the baseline is played.
    :param budget: seconds for all; 0 is no limit.
    :param sites: how many attempts at most; 0 is no limit.
    :param seed: decides the order among equals.
    :param shard: of several that share the sites, the number of this one, from 0, and how many.
    """

    command: tuple[str, ...]
    workload: str = ""
    experiment: str = ""
    fixture: str = ""
    ready: str = ""
    check: str = ""
    stop: str = ""
    verify: str = ""
    directory: str = ""
    faults: tuple[Kind, ...] = ()
    hits: tuple[Hits | int, ...] = (Hits.ONCE,)
    phases: tuple[Phase, ...] = ()
    depth: int = 1
    baselines: int = 3
    retries: int = 2
    patience: float = 10.0
    timeout: float = 60.0
    canary: int = 25
    budget: float = 0.0
    sites: int = 0
    seed: int = 1
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if not self.command:
            raise InvalidFault(
                "command", "", problem="missing", hint="write it after --, or give --start"
            )
        check_count("fault", len(self.faults), MAX_FAULTS, "faults", hint="explore them in turn")
        for kind in self.faults:
            if kind is Kind.FUNCTION:
                raise InvalidFault(
                    "fault", kind.value, problem="not to be explored", hint="name another kind"
                )
        self._check_numbers()
        needs_service = {
            "ready": self.ready,
            "stop": self.stop,
            "workload": self.workload,
            "experiment": self.experiment,
        }
        given = [key for key, value in needs_service.items() if value]
        if given and not self.ready:
            raise InvalidFault(
                "ready",
                "",
                problem="missing for a service",
                hint="--ready is a command that exits with 0 once the service is up",
            )

    def _check_numbers(self) -> None:
        wholes = (
            ("depth", self.depth, 1, 2),
            ("baselines", self.baselines, 2, 100),
            ("retries", self.retries, 0, 20),
            ("canary", self.canary, 1, 10_000),
            ("sites", self.sites, 0, 1 << 20),
            ("seed", self.seed, 0, 2**63 - 1),
        )
        for key, value, least, most in wholes:
            if not is_int(value) or not least <= value <= most:
                raise InvalidFault(key, value, f"a whole number from {least} to {most}")
        times = (
            ("patience", self.patience, 1.5, 1000.0),
            ("timeout", self.timeout, 0.1, _LONGEST),
            ("budget", self.budget, 0.0, _LONGEST),
        )
        for key, time, low, high in times:
            if not is_number(time) or not low <= time <= high:
                raise InvalidFault(key, time, f"a number from {low:g} to {high:g}")

    @property
    def mode(self) -> Mode:
        """What kind of thing is run."""
        if self.experiment:
            return Mode.EXPERIMENT
        return Mode.SERVICE if self.ready else Mode.COMMAND

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a document of JSON types."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_json` made a document of.

        :raises InvalidFault: a value is impossible.
        :raises ValueError: it is something else.
        """
        try:
            given = dict(document)
            given["command"] = tuple(map(str, given["command"]))
            given["faults"] = tuple(map(kind_named, given["faults"]))
            given["hits"] = tuple(map(hits_of, given["hits"]))
            given["phases"] = tuple(map(phase_of, given["phases"]))
            number, of = given["shard"]
            return checked(cls(**{**given, "shard": (int(number), int(of))}))
        except (KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(f"not a plan: {wrong}") from None


def why_left_out(plan: Plan, site: Site, seen_in: tuple[Phase, ...]) -> str:
    """Return why a site is not failed; empty where it is.

    :param seen_in: the phases in which it was reached; empty where that is not known.
    """
    if site.in_exec:
        if Phase.EXEC in plan.phases:
            return ""
        return "in exec, before the program's first instruction"
    if plan.phases and seen_in and not set(plan.phases) & set(seen_in):
        return f"not reached in {', '.join(plan.phases)}"
    return ""


def in_shard(plan: Plan, site: Site) -> bool:
    """Tell whether a site is this one's to fail, of several that share them."""
    number, of = plan.shard
    return int(site.id, 16) % of == number
