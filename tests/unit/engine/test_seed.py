"""Who is entered into a program's tables when a fault starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator

import pytest

from chaoskernel.engine.seed import EXEMPT, IN_SCOPE, seed
from chaoskernel.errors import InvalidFault
from chaoskernel.kernel import processes
from chaoskernel.spec import Scope


class FakeTables:
    """A program's tables."""

    def __init__(self) -> None:
        self.processes: dict[int, int] = {}
        self.cgroups: set[int] = set()
        self.commands: set[str] = set()

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        self.processes |= dict.fromkeys(pids, membership)

    def unlist_processes(self, pids: Iterable[int]) -> None:
        for pid in pids:
            self.processes.pop(pid, None)

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        self.cgroups |= set(identities)

    def list_commands(self, names: Iterable[str]) -> None:
        self.commands |= set(names)

    def having(self, membership: int) -> set[int]:
        return {pid for pid, entered in self.processes.items() if entered == membership}


@pytest.fixture
def family() -> Iterator[int]:
    """A process with a child."""
    with subprocess.Popen(
        ["sh", "-c", "sleep 60.25 & echo ready; wait"],
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        yield parent.pid
        for pid in processes.with_descendants([parent.pid], processes.snapshot()):
            os.kill(pid, 9)


def test_a_process_is_in_scope_with_its_descendants(family: int) -> None:
    tables = FakeTables()
    assert seed(tables, Scope(pids=(family,))) == [{"pid": family, "command": "sh"}]
    in_scope = tables.having(IN_SCOPE)
    assert in_scope == processes.with_descendants([family], processes.snapshot())
    assert len(in_scope) == 2


def test_a_command_is_in_scope_wherever_it_runs(family: int) -> None:
    tables = FakeTables()
    assert seed(tables, Scope(commands=("sleep",))) == [{"command": "sleep"}]
    assert tables.commands == {"sleep"}
    children = processes.with_descendants([family], processes.snapshot()) - {family}
    assert children <= tables.having(IN_SCOPE)
    assert family not in tables.having(IN_SCOPE)


@pytest.mark.parametrize("scope", [Scope(system_wide=True), Scope(commands=("nobody",))])
def test_this_process_and_its_ancestors_are_exempt_from_every_scope(scope: Scope) -> None:
    tables = FakeTables()
    seed(tables, scope)
    assert {os.getpid(), os.getppid()} <= tables.having(EXEMPT)
    assert tables.having(IN_SCOPE) == set()


def test_a_scope_that_names_nobody_enters_nobody() -> None:
    tables = FakeTables()
    with pytest.raises(InvalidFault, match="is not a running process"):
        seed(tables, Scope(pids=(4_000_000,)))
    assert tables.processes == {}
