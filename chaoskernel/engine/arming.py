"""What arming a fault is, whichever engine compiled it.

Everything is undone when a step fails, and what an engine brings is a `Module`: the
fault's program with its entry points and tables.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from chaoskernel.bpf import abi
from chaoskernel.bpf.placement import Attach, Entry, Placement
from chaoskernel.engine import Progress, events
from chaoskernel.engine.listing import Listing, Places
from chaoskernel.engine.place import placements, warnings
from chaoskernel.engine.prove import Witness, prove
from chaoskernel.engine.seed import Follower, Groups, groups_of, seed
from chaoskernel.errors import EngineError, UnsupportedKernel
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.fault.where import Where
from chaoskernel.kernel import boottime, bpf, features, files, ftrace, processes, symbols
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.engine import mounts, sites, views
    from chaoskernel.engine.mounts import HostMounts
    from chaoskernel.engine.sites import SiteTable
    from chaoskernel.engine.views import Container, ContainerPlaces
    from chaoskernel.fault import sites as given
    from chaoskernel.kernel import podgroups
else:  # of faults with paths, with sites, and with pods
    mounts, views = Lazy("chaoskernel.engine.mounts"), Lazy("chaoskernel.engine.views")
    sites, given = Lazy("chaoskernel.engine.sites"), Lazy("chaoskernel.fault.sites")
    podgroups = Lazy("chaoskernel.kernel.podgroups")


class Module(Witness, Places, Protocol):
    """A fault's program on this kernel, and its tables; closing is its maker's."""

    @property
    def sites(self) -> SiteTable | None:
        """The sites that it records; None where the fault asks for none."""

    @property
    def entries(self) -> Sequence[Entry]:
        """The entry points, in the order in which they are to be attached."""

    @property
    def near(self) -> Sequence[Entry]:
        """Those that count what is near the fault's calls: of each of `Placement.near`, or none."""

    @property
    def cleanups(self) -> Sequence[Entry]:
        """Those that follow what must not fail; see `trust_cleanups`."""

    @property
    def programs(self) -> Sequence[int]:
        """Ids of the loaded programs."""

    def load(self, entry: Entry) -> int:
        """Load an entry point, once, and return its descriptor."""

    def attach(self, entry: Entry) -> Callable[[], object]:
        """Attach an entry point; return what detaches it."""

    def set_deadline(self, until: int) -> None:
        """Let the program inject until then (CLOCK_BOOTTIME, ns); 0 ends it."""

    def trust_cleanups(self) -> None:
        """Let the program ask no stack while nothing is known to be in what must not fail."""

    def counters(self) -> Mapping[str, int]:
        """Return the counters, summed over the CPUs."""

    def frame(self, number: int) -> Mapping[str, int]:
        """Return how often a frame's function was `entered`, and `matched`."""

    def calls_near(self, number: int) -> int:
        """Return how many calls the scope made of one of `Placement.near`."""

    def pod(self, number: int) -> int:
        """Return how many requests of the scope's pod failed; 0 is its first."""

    def hits(self) -> Sequence[Mapping[str, Any]]:
        """Return the processes that were hit, the first one first, and how often."""

    def events(self, limit: int) -> tuple[Sequence[abi.Event], int]:
        """Return the latest events, and how many have made room for them."""


Open = Callable[[Fault, Placement], AbstractContextManager[Module]]
"""Makes the module of a fault for the places that were found for it."""


def full(symbol: str) -> UnsupportedKernel:
    """Return the error of a function that takes no further trampoline program (E2BIG).

    Nothing else is tried then: a kprobe's override has no effect where a trampoline is.
    """
    return UnsupportedKernel(
        f"{symbol} has as many BPF programs as this kernel attaches to one function",
        needs="end another fault on it first; on x86-64 there can be 38 (BPF_MAX_TRAMP_LINKS)",
    )


def arm(fault: Fault, opened: Open, progress: Progress) -> Armed:
    """Arm a fault at the first of its placements that the kernel takes; see `Engine.arm`."""
    processes.require_kernels_ids()
    progress("looking at the kernel")
    ftrace.require_on()
    kernel_symbols, kernel_features = symbols.running(), features.running()
    groups = groups_of(fault.scope)
    refused: EngineError | None = None
    for placement in placements(fault, kernel_symbols, kernel_features, groups.hierarchy):
        if refused and ftrace.kprobes_are_off():
            break  # why the better placement was refused is of more use than that
        _require_kprobes(placement)
        try:
            return _arm_at(fault, placement, groups, opened, progress)
        except EngineError as error:
            refused = refused or error
            progress(f"{placement.mechanism.value} was refused: {error.message}")
    assert refused is not None, "there is at least one placement"
    features.require_traceable(kernel_symbols.resolve(frame.funcname) for frame in fault.callchain)
    raise refused


def _require_kprobes(placement: Placement) -> None:
    """Check that kprobes are on where the placement has one."""
    for probe in (*(placed.probe for placed in placement.hooks), *placement.frames):
        if probe.mechanism is Mechanism.KPROBE:
            ftrace.require_kprobes(probe.symbol)


def _arm_at(
    fault: Fault,
    placement: Placement,
    groups: Groups,
    opened: Open,
    progress: Progress,
) -> Armed:
    with contextlib.ExitStack() as undo:
        progress("compiling")
        module = undo.enter_context(opened(fault, placement))
        progress("attaching")
        trackers = [e for e in module.entries if e.attach is Attach.RAW_TRACEPOINT]
        probes = [e for e in module.entries if e.attach is not Attach.RAW_TRACEPOINT]
        for entry in probes:  # what the verifier refuses is refused before anything is attached
            module.load(entry)
        # Whoever forks must be seen before the processes are listed, and who is
        # in scope must be settled before anything can be overridden.
        for entry in trackers:
            undo.callback(module.attach(entry))
        follower = None
        if fault.scope.pods and groups.hierarchy:
            follower = Follower(module, fault.scope.pods, groups.hierarchy.directory)
        here = _of_host(fault)
        places, listing = undo.enter_context(files.opened(here)), Listing(module)
        listing.enter(places, "this host")
        targets = seed(module, fault.scope, groups.named, follower)
        looked_at = _views(fault, listing, groups, follower)
        if here.paths:
            looked_at = mounts.HostMounts(listing, here.paths, places[: len(here.paths)])
        if looked_at:
            undo.callback(looked_at.close)
            looked_at.begin()
        if module.sites and fault.sites:
            module.sites.set_phase(given.Phase.WORK)
            module.sites.begin(fault.sites)
        near = _counted(module, placement, undo)
        _follow_cleanups(module, undo)
        for entry in probes:
            undo.callback(module.attach(entry))
        progress("proving that the hook is alive")
        proof = prove(module, fault, placement)
        expires = boottime.now() + round(fault.limits.duration * 1e9)
        module.set_deadline(expires)
        follows = Follows(follower, looked_at, near)
        return Armed(fault, placement, targets, module, undo.pop_all(), expires, proof, follows)


def _counted(
    module: Module, placement: Placement, undo: contextlib.ExitStack
) -> list[tuple[int, str]]:
    """Attach what counts the calls near the fault's; return which are counted, by their numbers.

    What the kernel refuses is not counted: the fault is none the worse for it.
    """
    found = []
    for number, (entry, near) in enumerate(zip(module.near, placement.near, strict=False)):
        with contextlib.suppress(EngineError, UnsupportedKernel):
            undo.callback(module.attach(entry))
            found.append((number, near.call))
    return found


def _follow_cleanups(module: Module, undo: contextlib.ExitStack) -> None:
    """Follow what must not fail where all of it can be; else each request's stack tells."""
    if not module.cleanups or ftrace.kprobes_are_off():
        return
    with contextlib.suppress(EngineError, UnsupportedKernel), contextlib.ExitStack() as attached:
        for entry in module.cleanups:
            attached.callback(module.attach(entry))
        module.trust_cleanups()
        undo.push(attached.pop_all())


def _of_host(fault: Fault) -> Where:
    """Return what is meant of the host's own files: a container has its own paths."""
    inside = fault.scope.has_views
    return dataclasses.replace(fault.to_open, paths=(), peers=()) if inside else fault.to_open


def _views(
    fault: Fault, listing: Listing, groups: Groups, follower: Follower | None
) -> ContainerPlaces | HostMounts | None:
    """Return the places of the scope's containers, where the fault has paths in them."""
    scope, sockets = fault.scope, fault.to_open.sockets
    paths = sockets or fault.where.paths
    if not paths or not scope.has_views:
        return None
    # A scope of containers with paths names no other control groups.
    alone = [
        views.Container(f"container {given}", group)
        for given, group in zip(scope.containers, groups.named, strict=True)
    ]

    def containers() -> Iterator[Container]:
        yield from alone
        for pod, found in follower.found.items() if follower else ():
            for group in podgroups.containers_in(found):
                yield views.Container(f"pod {pod}", group)

    owners = [*(each.owner for each in alone), *(f"pod {pod}" for pod in scope.pods)]
    return views.ContainerPlaces(
        listing, "peers" if sockets else "paths", paths, owners, containers
    )


class Follows(NamedTuple):
    """What is looked at again while a fault is in force, and what is counted beside it.

    :param near: calls near the fault's, by their number in the program.
    """

    follower: Follower | None = None
    views: ContainerPlaces | HostMounts | None = None
    near: Sequence[tuple[int, str]] = ()


class Armed:
    """A fault that is attached; see `ArmedFault`."""

    def __init__(
        self,
        fault: Fault,
        placement: Placement,
        targets: Sequence[Mapping[str, Any]],
        module: Module,
        undo: contextlib.ExitStack,
        expires: int,
        proof: str,
        follows: Follows,
    ) -> None:
        self._follower, self._views, self._near = follows
        self.placement = placement
        self._fault = fault
        self._boot = time.time() - boottime.now() / 1e9
        self.targets = targets
        self.warnings = warnings(placement)
        self.programs = module.programs
        self.expires = expires
        self.proof = proof
        self._module = module
        self._undo = undo
        self._final: dict[str, Any] | None = None
        self._last: tuple[Sequence[abi.Event], int] = ((), 0)
        self.recorder = sites.Recorder(module.sites, module) if module.sites else None

    def counters(self) -> dict[str, Any]:
        """See `ArmedFault.counters`."""
        return dict(self._final) if self._final is not None else self._count()

    def totals(self) -> Mapping[str, int]:
        """See `ArmedFault.totals`."""
        return self._final if self._final is not None else self._module.counters()

    def events(self, limit: int) -> dict[str, Any]:
        """See `ArmedFault.events`."""
        found, dropped = self._last if self._final is not None else self._module.events(limit)
        kept = found[max(0, len(found) - limit) :]
        hooks = [placed.probe.symbol for placed in self.placement.hooks]
        return {
            "events": events.to_json(
                kept, self._fault.kind, hooks, symbols.running().kernel_text, boot=self._boot
            ),
            "dropped": dropped,
        }

    def follow(self) -> None:
        """See `ArmedFault.follow`."""
        if self._final is not None:
            return
        if self._follower:
            self._follower.look()
        if self._views:
            self._views.look()

    def hold(self) -> None:
        """See `ArmedFault.hold`."""
        if self._final is None:  # else the module's memory may be gone
            self._module.set_deadline(0)

    def disarm(self) -> list[int]:
        """See `ArmedFault.disarm`."""
        if self._final is None:
            # One store ends the injections, but a CPU may have read the deadline before it and
            # not have counted yet: only then are the last counters final.
            self._module.set_deadline(0)
            bpf.wait_for_programs()
            self._last = self._module.events(events.KEPT)
            if self.recorder:
                self.recorder.close()
            self._final = self._count()
        self._undo.close()
        return bpf.still_loaded(self.programs)

    def _count(self) -> dict[str, Any]:
        return {
            **self._module.counters(),
            "hooks": [
                {"symbol": placed.probe.symbol, **self._module.hook(number)}
                for number, placed in enumerate(self.placement.hooks)
            ],
            "frames": [
                {"symbol": probe.symbol, **self._module.frame(number)}
                for number, probe in enumerate(self.placement.frames)
            ],
            "processes": self._module.hits(),
            **({"near": self._calls_near()} if self._near else {}),
            **(self._views.counts() if self._views else {}),
            **({"pods": self._pods()} if self._fault.scope.pods else {}),
        }

    def _calls_near(self) -> list[dict[str, Any]]:
        return [
            {"call": call, "count": self._module.calls_near(number)} for number, call in self._near
        ]

    def _pods(self) -> list[dict[str, Any]]:
        return [
            {"pod": str(pod), "injected": self._module.pod(number)}
            for number, pod in enumerate(self._fault.scope.pods)
        ]
