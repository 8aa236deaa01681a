"""The engine `none`: a rehearsal, which finds who is in scope and attaches nothing.

Selection, rights, Jobs, deadlines and clean-up of an experiment can be tried where no kernel can
be made to fail.  What counts is the same as of any fault, and stays 0.  Of pods it tells their
control groups as they come and go; ids of processes are those of the namespace that it is in,
which need not be the kernel's own: a node that is a container will do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chaoskernel.bpf.abi import COUNTERS, HOOK_COUNTERS
from chaoskernel.bpf.placement import PlacedHook, Placement, Probe
from chaoskernel.engine import Progress
from chaoskernel.engine.seed import Follower, groups_of, seed
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.kernel import boottime, podgroups


class RehearsalEngine:
    """Looks for the scope, and leaves the kernel alone; see `Engine`."""

    name = "none"

    def arm(self, fault: Fault, *, progress: Progress) -> Rehearsed:
        """See `Engine.arm`: of its errors only those of a scope can come."""
        progress("looking for the scope; nothing is attached")
        return Rehearsed(fault)


class Rehearsed:
    """A fault that is in force nowhere; see `ArmedFault`."""

    programs: Sequence[int] = ()
    warnings: Sequence[str] = ()
    proof = ""
    recorder = None

    def __init__(self, fault: Fault) -> None:
        groups = groups_of(fault.scope)
        pods = fault.scope.pods
        self._pods = pods
        self._names = podgroups.ContainerNames()
        self._hooks = fault.hooks
        self._root = groups.hierarchy.directory if groups.hierarchy else None
        self._follower = Follower(_NoTables(), pods, self._root) if pods and self._root else None
        self.targets: Sequence[Mapping[str, Any]] = seed(
            _NoTables(), fault.scope, groups.named, self._follower
        )
        self.placement = Placement(
            hooks=tuple(
                PlacedHook(Probe(hook.symbol, Mechanism.AUTO), hook.value, hook)
                for hook in fault.hooks
            ),
            frames=tuple(Probe(frame.funcname, Mechanism.AUTO) for frame in fault.callchain),
        )
        self.expires = boottime.now() + round(fault.limits.duration * 1e9)

    def counters(self) -> dict[str, Any]:
        """See `ArmedFault.counters`."""
        pods = [*map(self._counted, self._pods)]
        return {
            **dict.fromkeys(COUNTERS, 0),
            "hooks": [
                {"symbol": hook.symbol, **dict.fromkeys(HOOK_COUNTERS, 0)} for hook in self._hooks
            ],
            "frames": [
                {"symbol": probe.symbol, "entered": 0, "matched": 0}
                for probe in self.placement.frames
            ],
            "processes": [],
            **({"pods": pods} if pods else {}),
        }

    def totals(self) -> dict[str, int]:
        """See `ArmedFault.totals`."""
        return dict.fromkeys(COUNTERS, 0)

    def _counted(self, pod: PodScope) -> dict[str, Any]:
        """Return what is told of a pod: nothing was injected, and where it would have been."""
        found = podgroups.groups_of(pod, self._root, self._names) if self._root else []
        return {"pod": str(pod), "injected": 0, "control_groups": [group.path for group in found]}

    def events(self, limit: int) -> dict[str, Any]:
        """See `ArmedFault.events`."""
        return {"events": [], "dropped": 0}

    def follow(self) -> None:
        """See `ArmedFault.follow`."""
        if self._follower:
            self._follower.look()

    def hold(self) -> None:
        """See `ArmedFault.hold`."""

    def disarm(self) -> list[int]:
        """See `ArmedFault.disarm`."""
        return []


class _NoTables:
    """There is no program; see `Tables`."""

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        """See `Tables.list_processes`."""

    def unlist_processes(self, pids: Iterable[int]) -> None:
        """See `Tables.unlist_processes`."""

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        """See `Tables.list_cgroups`."""

    def list_commands(self, names: Iterable[str]) -> None:
        """See `Tables.list_commands`."""
