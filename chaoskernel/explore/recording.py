"""Several faults that record sites as one: which sites a run came to, and which of them fails."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from chaoskernel.backend.local import LocalBackend
from chaoskernel.errors import ChaosKernelError, NotPermitted, UnsupportedKernel
from chaoskernel.explore.observation import Attempt
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.limits import MAX_DURATION, Limits
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Phase, Run, Site, Sites
from chaoskernel.fault.spec import Fault
from chaoskernel.fault.where import Where

_NOTHING = Attempt()
_USUAL = (Kind.SLAB, Kind.PAGE)


class Recorder(Protocol):
    """What a backend offers of a fault that records sites; see `LocalBackend`."""

    def begin_run(self, name: str, pids: Sequence[int], sites: Sites | None = None) -> None:
        """Count anew, say which sites fail, and put processes in scope."""

    def set_phase(self, name: str, phase: Phase) -> None:
        """Say what the program does from now on."""

    def end_run(self, name: str) -> Run:
        """Let nothing fail from now on; return what was seen."""


class Met(NamedTuple):
    """A site, and the fault that found it."""

    site: Site
    fault: Kind


class Seen(NamedTuple):
    """What was seen of sites in a run.

    :param counts: requests by the id of their site; see `Sites.every`.
    :param new: sites that were met for the first time.
    :param failed: how many requests failed at each site of the attempt.
    :param lost: requests whose sites were not kept.
    :param phases: in which phases each of these sites was met, in this run or an earlier one.
    """

    counts: Mapping[str, int]
    new: tuple[Met, ...]
    failed: tuple[int, ...]
    lost: int
    phases: Mapping[str, tuple[Phase, ...]] = {}


class Recording:
    """The faults of an exploration, each with its own name at a backend.

    :param names: by kind.
    """

    def __init__(self, recorder: Recorder, names: Mapping[Kind, str]) -> None:
        self._recorder = recorder
        self._names = names
        self._met: dict[str, Met] = {}
        self._attempt = _NOTHING
        self._phase: Phase | None = None  # what the faults know

    def learn(self, met: Iterable[Met]) -> None:
        """Take in sites that were met in an earlier session."""
        self._met.update({each.site.id: each for each in met})

    def begin(
        self,
        pids: Sequence[int],
        attempt: Attempt = _NOTHING,
        phases: Sequence[Phase] = (),
        *,
        every: bool = True,
    ) -> None:
        """Count anew, fail the attempt's sites, and put processes in scope that are held.

        :param every: count the requests at every site; see `Sites.every`.
        """
        self._attempt = attempt
        for kind, name in self._names.items():
            mine = [
                each
                for each in attempt.sites
                if each in self._met and self._met[each].fault is kind
            ]
            # Where another kind's site fails, all that comes of it is of interest here, too.
            all_here = every or bool(attempt.sites and not mine)
            asked = Sites(tuple(mine), attempt.hits, tuple(phases), all_here)
            self._recorder.begin_run(name, pids, asked)

    def phase(self, phase: Phase) -> None:
        """Say what the program does from now on."""
        if phase is self._phase:
            return  # a question less for each run of a command
        self._phase = phase
        for name in self._names.values():
            self._recorder.set_phase(name, phase)

    def end(self) -> Seen:
        """Let nothing fail from now on, and return what was seen."""
        counts: Counter[str] = Counter()
        new: list[Met] = []
        phases: dict[str, tuple[Phase, ...]] = {}
        failed: dict[str, int] = {}
        lost = 0
        for kind, name in self._names.items():
            run = self._recorder.end_run(name)
            counts.update(run.counts)
            phases.update(run.phases)
            lost += run.lost
            mine = [each for each in self._attempt.sites if self._fault(each) is kind]
            failed.update(zip(mine, run.failed, strict=False))
            for site in run.new:
                if site.id not in self._met:
                    self._met[site.id] = Met(site, kind)
                    new.append(self._met[site.id])
        each_failed = tuple(failed.get(each, 0) for each in self._attempt.sites)
        return Seen(counts, tuple(new), each_failed, lost, phases)

    @property
    def met(self) -> tuple[Met, ...]:
        """All sites that were met."""
        return tuple(self._met.values())

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of fault whose sites are recorded."""
        return tuple(self._names)

    def _fault(self, site: str) -> Kind | None:
        return self._met[site].fault if site in self._met else None


@contextlib.contextmanager
def recording(kinds: Sequence[Kind], backend: LocalBackend) -> Iterator[Recording]:
    """Record the sites of faults for a while.

    :param kinds: none is what the kernel has of slab and page, else allocation.
    :raises ChaosKernelError: this kernel cannot make one of them fail.
    """
    with contextlib.ExitStack() as undo:
        undo.callback(backend.stop)
        names = {kind: _start(kind, backend) for kind in kinds} or _by_default(backend)
        yield Recording(backend, names)


def _by_default(backend: LocalBackend) -> dict[Kind, str]:
    names: dict[Kind, str] = {}
    for kind in _USUAL:
        with contextlib.suppress(UnsupportedKernel):
            names[kind] = _start(kind, backend)
    return names or {Kind.ALLOCATION: _start(Kind.ALLOCATION, backend)}


def _start(kind: Kind, backend: LocalBackend) -> str:
    """Start the fault of a kind, which fails nothing yet; return its name."""
    name = f"explore-{kind.value.replace('_', '-')}"
    try:
        backend.start(
            Fault(
                name,
                kind,
                Scope(later=True),
                limits=Limits(duration=MAX_DURATION),
                where=Where(any_file=TABLE[kind].needs_place),
                sites=Sites(),
            )
        )
    except (NotPermitted, UnsupportedKernel) as error:
        raise type(error)(error.message, **_remedy(error)) from error
    return name


def _remedy(error: ChaosKernelError) -> dict[str, str]:
    """Return the remedy of an error, with the lab, which has none of it."""
    hint = f"{error.hint}; or explore in a guest: add --lab" if error.hint else "add --lab"
    return {"needs" if isinstance(error, UnsupportedKernel) else "hint": hint}
