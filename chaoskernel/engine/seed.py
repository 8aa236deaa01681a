"""Who is in scope when a fault starts; from then on its program follows by itself.

The program's trackers (fork, exec, exit, mkdir of a cgroup) are attached before this
runs.  Whoever was forked or made by one that was not listed yet is found by looking
again, until nothing is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from chaoskernel.bpf.abi import EXEMPT, IN_SCOPE
from chaoskernel.fault.scope import Scope
from chaoskernel.kernel import cgroups, processes
from chaoskernel.kernel.cgroups import Cgroup, Hierarchy
from chaoskernel.kernel.processes import Process
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.fault.pods import PodScope
    from chaoskernel.kernel import podgroups
else:
    podgroups = Lazy("chaoskernel.kernel.podgroups")

_ROUNDS = 20


class Tables(Protocol):
    """The program's tables of who is in scope."""

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        """Enter processes."""

    def unlist_processes(self, pids: Iterable[int]) -> None:
        """Take processes out; one that is not there is no error."""

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        """Enter control groups.

        :param pod: whose they are: 1 is the scope's first; 0 is nobody's.
        """

    def list_commands(self, names: Iterable[str]) -> None:
        """Enter names of commands."""


class Groups(NamedTuple):
    """The control groups that a scope names.

    :param hierarchy: that has them, and those of its pods; None where it names neither.
    """

    hierarchy: Hierarchy | None
    named: Sequence[Cgroup]


def groups_of(scope: Scope) -> Groups:
    """Return the control groups that a scope names.

    :raises InvalidFault: one of them, or a pod, is not here.
    :raises UnsupportedKernel: this host has no hierarchy with all of them.
    """
    pods = scope.pods
    hierarchy, named = cgroups.scoped(
        scope.cgroups,
        scope.containers,
        needed=(lambda each: podgroups.require(pods, each.directory)) if pods else None,
    )
    return Groups(hierarchy, named)


class Follower:
    """Enters the control groups of a scope's pods, as their containers come and go."""

    def __init__(self, tables: Tables, pods: Sequence[PodScope], root: Path) -> None:
        self._tables = tables
        self._pods = pods
        self._root = root
        self._names = podgroups.ContainerNames()
        self._listed: set[int] = set()
        self.found: dict[PodScope, list[Cgroup]] = {}
        """The control groups that were there at the last look."""

    def look(self) -> bool:
        """Enter those that are new; tell whether there were any."""
        before = len(self._listed)
        for number, pod in enumerate(self._pods, 1):
            groups = podgroups.groups_of(pod, self._root, self._names)
            self.found[pod] = groups
            found = {identity for group in groups for identity in cgroups.with_descendants(group)}
            self._tables.list_cgroups(found - self._listed, number)
            self._listed |= found
        return len(self._listed) > before


def seed(
    tables: Tables,
    scope: Scope,
    groups: Sequence[Cgroup] = (),
    follower: Follower | None = None,
) -> list[Mapping[str, Any]]:
    """Enter whoever is in scope, and who is exempt; return what the scope names.

    :param groups: the control groups that the scope names.
    :param follower: of its pods.
    :raises InvalidFault: the scope names what is not there or must not be hit.
    """
    seen = processes.snapshot()
    own = processes.own_line(seen)
    roots = processes.roots_of(scope, seen)
    tables.list_processes(own, EXEMPT)
    if scope.system_wide:
        return [{"system_wide": True}]
    tables.list_commands(scope.commands)
    _seed_cgroups(tables, groups)
    rounds = _ROUNDS if follower else 0
    while follower and rounds and follower.look():
        rounds -= 1
    _seed_processes(tables, roots, scope.commands, own)
    return [
        *({"pid": root.pid, "command": root.command} for root in roots),
        *({"command": command} for command in scope.commands),
        *({"cgroup": group.path} for group in groups),
        *(
            {"pod": str(pod), "containers": [container.name for container in pod.containers]}
            for pod in scope.pods
        ),
    ]


def _seed_cgroups(tables: Tables, groups: Sequence[Cgroup]) -> None:
    listed: set[int] = set()
    for _ in range(_ROUNDS):
        found = {identity for group in groups for identity in cgroups.with_descendants(group)}
        if found <= listed:
            break
        tables.list_cgroups(found - listed)
        listed |= found


def _seed_processes(
    tables: Tables, roots: Iterable[Process], commands: tuple[str, ...], exempt: set[int]
) -> None:
    """Enter the processes that are named, and whoever descends from one of them.

    From then on the program's tracker follows their forks.  What a process forks in the moment
    before it is entered is found by looking again, unless that process has ended by then: a child
    whose parent has gone could be anybody's, and is not entered.
    """
    listed: dict[int, int] = {}  # when each of them was started
    named = {root.pid: root.started for root in roots}
    for _ in range(_ROUNDS):
        seen = processes.snapshot()
        named |= {p.pid: p.started for p in seen.values() if p.command in commands}
        # Those that were entered before, too: a parent may have ended since.
        found = _in_scope({**named, **listed}, seen, exempt)
        new = {pid: started for pid, started in found.items() if listed.get(pid) != started}
        if not new:
            break
        tables.list_processes(new, IN_SCOPE)
        listed |= new
    # One that ended before it was entered leaves its id to a stranger, who may have taken it.
    seen = processes.snapshot()
    there = _in_scope({**named, **listed}, seen, exempt)
    tables.unlist_processes(pid for pid in listed if pid not in there)


def _in_scope(
    known: Mapping[int, int], seen: dict[int, Process], exempt: set[int]
) -> dict[int, int]:
    """Return those of known processes that run, and their descendants, with their starts.

    :param known: when each was started: an id alone may be that of another by now.
    """
    there = [pid for pid, started in known.items() if pid in seen and seen[pid].started == started]
    return {
        pid: seen[pid].started
        for pid in processes.with_descendants(there, seen)
        if pid not in exempt
    }
