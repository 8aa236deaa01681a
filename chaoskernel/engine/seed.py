"""Who is in scope when a fault starts; from then on its program follows by itself.

The program's trackers (fork, exec, exit, mkdir of a cgroup) are attached before this
runs.  Whoever was forked or made by one that was not listed yet is found by looking
again, until nothing is new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from chaoskernel.kernel import cgroups, processes
from chaoskernel.kernel.cgroups import Cgroup
from chaoskernel.spec import Scope

IN_SCOPE = 1
EXEMPT = 2
WITNESS = 3
"""The program's `enum membership`."""

_ROUNDS = 20


class Tables(Protocol):
    """The program's tables of who is in scope."""

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        """Enter processes."""

    def unlist_processes(self, pids: Iterable[int]) -> None:
        """Take processes out; one that is not there is no error."""

    def list_cgroups(self, identities: Iterable[int]) -> None:
        """Enter control groups."""

    def list_commands(self, names: Iterable[str]) -> None:
        """Enter names of commands."""


def seed(tables: Tables, scope: Scope, groups: Sequence[Cgroup] = ()) -> list[Mapping[str, Any]]:
    """Enter whoever is in scope, and who is exempt; return what the scope names.

    :param groups: the control groups that the scope names.
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
    _seed_processes(tables, [root.pid for root in roots], scope.commands, own)
    return [
        *({"pid": root.pid, "command": root.command} for root in roots),
        *({"command": command} for command in scope.commands),
        *({"cgroup": group.path} for group in groups),
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
    tables: Tables, roots: list[int], commands: tuple[str, ...], exempt: set[int]
) -> None:
    listed: set[int] = set()
    seen = processes.snapshot()
    for _ in range(_ROUNDS):
        named = [pid for pid, process in seen.items() if process.command in commands]
        found = processes.with_descendants([*roots, *named], seen) - exempt
        if found <= listed:
            break
        tables.list_processes(found - listed, IN_SCOPE)
        listed |= found
        seen = processes.snapshot()
    # One that ended before it was listed would leave its id to a stranger.
    tables.unlist_processes(listed - processes.snapshot().keys())
