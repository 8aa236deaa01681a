"""Who is entered into a program's tables when a fault starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from chaoskernel.bpf.abi import EXEMPT, IN_SCOPE
from chaoskernel.engine.seed import Follower, seed
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.kernel import processes
from chaoskernel.kernel.processes import Process


class FakeTables:
    """A program's tables."""

    def __init__(self) -> None:
        self.processes: dict[int, int] = {}
        self.cgroups: set[int] = set()
        self.pods: dict[int, int] = {}
        self.commands: set[str] = set()

    def list_processes(self, pids: Iterable[int], membership: int) -> None:
        self.processes |= dict.fromkeys(pids, membership)

    def unlist_processes(self, pids: Iterable[int]) -> None:
        for pid in pids:
            self.processes.pop(pid, None)

    def list_cgroups(self, identities: Iterable[int], pod: int = 0) -> None:
        identities = set(identities)
        self.cgroups |= identities
        self.pods |= dict.fromkeys(identities, pod)

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


def test_a_pods_control_groups_are_entered_with_its_number_and_followed(tmp_path: Path) -> None:
    tables = FakeTables()
    pods = [PodScope("shop", f"db-{n}", f"{n:08d}") for n in range(2)]
    places = [tmp_path / f"kubepods/pod{pod.uid}" for pod in pods]
    for place in places:
        place.mkdir(parents=True)
    follower = Follower(tables, pods, tmp_path)
    targets = seed(tables, Scope(pods=tuple(pods)), (), follower)
    assert targets == [
        {"pod": "shop/db-0", "containers": []},
        {"pod": "shop/db-1", "containers": []},
    ]
    assert tables.pods == {place.stat().st_ino: n for n, place in enumerate(places, 1)}
    new = places[1] / ("a" * 64)
    new.mkdir()
    assert follower.look()
    assert tables.pods[new.stat().st_ino] == 2
    assert not follower.look()


def looks(monkeypatch: pytest.MonkeyPatch, *rounds: dict[int, tuple[int, int]]) -> FakeTables:
    """Seed from 100 what is seen in each look: pid, its parent and when it was started."""
    snapshots = [
        {
            pid: Process(pid, parent, started, f"p{pid}", False)
            for pid, (parent, started) in each.items()
        }
        for each in rounds
    ]
    last = snapshots[-1]
    queue = list(snapshots)
    monkeypatch.setattr(processes, "snapshot", lambda: queue.pop(0) if queue else last)
    monkeypatch.setattr(processes, "own_line", lambda _: {os.getpid()})
    tables = FakeTables()
    seed(tables, Scope(pids=(100,)))
    return tables


ROOT = {100: (1, 5)}


def test_an_id_that_a_stranger_has_taken_is_not_in_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, strangers = {**ROOT, 101: (100, 6)}, {**ROOT, 101: (1, 90)}
    tables = looks(monkeypatch, mine, mine, strangers)
    assert tables.having(IN_SCOPE) == {100}


def test_a_strangers_children_are_not_in_scope_either(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {**ROOT, 101: (100, 6)}
    strangers = {**ROOT, 101: (1, 90), 102: (101, 91)}
    tables = looks(monkeypatch, mine, mine, strangers)
    assert tables.having(IN_SCOPE) == {100}


def test_the_roots_own_id_may_be_a_strangers_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = {100: (1, 90), 101: (100, 91)}
    tables = looks(monkeypatch, ROOT, stranger)
    assert tables.having(IN_SCOPE) == set()


def test_an_id_that_a_descendant_has_taken_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, again = {**ROOT, 101: (100, 6)}, {**ROOT, 101: (100, 90)}
    tables = looks(monkeypatch, mine, mine, again)
    assert tables.having(IN_SCOPE) == {100, 101}


def test_a_child_of_one_whose_parent_has_ended_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """102's parent has ended, so that it is nobody's descendant any more; 103 is its child."""
    first = {**ROOT, 101: (100, 6), 102: (101, 7)}
    later = {**ROOT, 102: (1, 7), 103: (102, 8)}
    tables = looks(monkeypatch, first, first, later)
    assert tables.having(IN_SCOPE) == {100, 102, 103}


def test_one_that_has_ended_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = looks(monkeypatch, {**ROOT, 101: (100, 6)}, {**ROOT, 101: (100, 6)}, ROOT)
    assert tables.having(IN_SCOPE) == {100}
