"""Which containers' files are in a program's table, as containers come and go."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from chaoskernel.engine import listing, views
from chaoskernel.engine.listing import Listing
from chaoskernel.engine.views import Container, ContainerPlaces
from chaoskernel.errors import EngineError, InvalidFault
from chaoskernel.kernel import files
from chaoskernel.kernel import views as roots
from chaoskernel.kernel.cgroups import Cgroup
from chaoskernel.kernel.files import Place
from tests.unit.engine.places import Places, open_files

PATH = "/data"


class FakeTable(Places):
    """A program's places, and the containers whose they are."""

    def __init__(self, top: Path) -> None:
        super().__init__()
        self.top = top
        self.there: dict[str, Container] = {}
        self.mountinfo = Path("/dev/null")

    def run(self, name: str, owner: str = "pod shop/db-0", path: str = PATH) -> Path:
        """Start a container; return the directory that it sees at the path."""
        group = self.top / "cgroup" / name
        group.mkdir(parents=True)
        (group / "cgroup.events").write_text("populated 1\n")
        self.there[name] = Container(owner, Cgroup(f"/{name}", group))
        found = self.top / name / path[1:]
        found.mkdir(parents=True)
        return found

    def containers(self) -> Iterable[Container]:
        return list(self.there.values())

    def root_of(self, group: Cgroup) -> roots.Root:
        root = os.open(self.top / group.directory.name, os.O_PATH)
        return roots.Root(root, os.open(self.mountinfo, os.O_RDONLY))

    def places(self, *owners: str, others: Iterable[int] = ()) -> ContainerPlaces:
        named = owners or ("pod shop/db-0",)
        listed = Listing(self)
        listed._listed.update(others)
        return ContainerPlaces(listed, "paths", [PATH], named, self.containers)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTable]:
    before = open_files()
    found = FakeTable(tmp_path)
    monkeypatch.setattr(roots, "root_of", found.root_of)
    yield found
    assert open_files() <= before


def counted(places: ContainerPlaces) -> tuple[int, int]:
    """Return how many places are listed and how many containers have none, when mounts are."""
    counts = places.counts()
    assert counts["unfollowed_mounts"] == 0
    return counts["places"], counts["containers_without_paths"]


def inode(place: Path) -> int:
    return place.stat().st_ino


def test_each_container_has_its_own_and_one_that_has_none_is_counted(table: FakeTable) -> None:
    places = table.places()
    wanted = {inode(table.run("app")), inode(table.run("log"))}
    table.run("pause", path="/else")
    places.begin()
    assert table.listed == wanted
    assert counted(places) == (2, 1)
    places.close()
    assert table.listed == set()


def test_one_that_is_made_anew_is_followed_and_one_that_went_is_let_go_of(
    table: FakeTable,
) -> None:
    table.run("app")
    places = table.places()
    places.begin()
    del table.there["app"]
    again = table.run("again")
    places.look()
    assert table.listed == {inode(again)}
    (table.there["again"].group.directory / "cgroup.events").write_text("populated 0\n")
    places.look()
    assert (table.listed, places.counts()["places"]) == (set(), 0)


def test_a_file_that_two_containers_share_stays_until_both_have_gone(table: FakeTable) -> None:
    shared = table.run("app")
    table.run("log").rmdir()
    (table.top / "log").rmdir()
    (table.top / "log").symlink_to(table.top / "app")
    places = table.places()
    places.begin()
    assert places.counts()["places"] == 1
    del table.there["app"]
    places.look()
    assert table.listed == {inode(shared)}
    places.close()
    assert table.listed == set()


def test_one_of_the_hosts_own_is_never_taken_out(table: FakeTable) -> None:
    there = inode(table.run("app"))
    table.listed.add(there)
    places = table.places(others=[there])
    places.begin()
    places.close()
    assert table.listed == {there}


def test_a_path_that_is_made_later_is_found_then(table: FakeTable) -> None:
    table.run("app")
    places = table.places()
    places.begin()
    late = table.run("again", path="/else")
    places.look()
    assert places.counts()["containers_without_paths"] == 1
    made = late.parent / "data"
    made.mkdir()
    places.look()
    assert inode(made) in table.listed
    assert places.counts()["containers_without_paths"] == 0
    places.close()


@pytest.mark.parametrize("owner", ["pod shop/db-1", "container abc"])
def test_who_has_no_such_path_is_named(table: FakeTable, owner: str) -> None:
    table.run("app")
    table.run("other", owner, path="/else")
    places = table.places("pod shop/db-0", owner)
    with pytest.raises(InvalidFault, match=f"^paths: '/data' is not there in {owner}: No such"):
        places.begin()
    places.close()


def test_an_owner_without_a_container_is_named(table: FakeTable) -> None:
    with pytest.raises(InvalidFault, match="'/data' is not there in pod shop/db-0: none of its"):
        table.places().begin()


def test_more_places_than_the_program_has_room_for(
    table: FakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_PLACES", 1)
    table.run("app")
    places = table.places()
    places.begin()
    table.run("again")
    places.look()
    assert counted(places) == (1, 1)
    places.close()
    places = table.places()
    with pytest.raises(EngineError, match="more than 1 files"):
        places.begin()
    places.close()


@pytest.mark.parametrize(
    ("later", "room", "retried"), [(513, 1024, False), (2, 2, True)], ids=["mounts", "places"]
)
def test_too_many_mounts_that_come_later_are_counted_and_leave_those_that_are_listed(
    table: FakeTable, monkeypatch: pytest.MonkeyPatch, later: int, room: int, retried: bool
) -> None:
    """What there is no room for is tried again: another container may have gone."""

    def mount(names: Iterable[object]) -> None:
        lines = [f"36 35 0:98 / {PATH}/{name} rw - tmpfs none rw\n" for name in names]
        table.mountinfo.write_text("".join(lines))

    table.mountinfo = table.top / "mountinfo"
    data = table.run("app")
    (data / "0").mkdir()
    (data / "1").mkdir()
    mount([0])
    places = table.places()
    places.begin()
    wanted = {inode(data), inode(data / "0")}
    assert table.listed == wanted
    changes = iter([True])
    monkeypatch.setattr(roots.Watch, "has_changed", lambda self: next(changes, False))
    monkeypatch.setattr(listing, "MAX_PLACES", room)
    mount(range(later))
    for _ in range(2):
        places.look()
        assert table.listed == wanted
        assert places.counts()["unfollowed_mounts"] == 1
    monkeypatch.setattr(listing, "MAX_PLACES", 1024)
    places.look()
    assert places.counts()["unfollowed_mounts"] == (not retried)
    places.close()


@pytest.mark.parametrize("trouble", [OSError(5, "Input/output error"), EngineError("table")])
def test_what_cannot_be_entered_ends_a_start_and_no_fault(
    table: FakeTable, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def refuse(places: Iterable[Place]) -> Sequence[int]:
        raise trouble

    table.run("app")
    monkeypatch.setattr(table, "list_places", refuse)
    places = table.places()
    places.look()
    assert counted(places) == (0, 1)
    with pytest.raises(EngineError):
        places.begin()


def test_without_a_thread_to_be_had_it_is_tried_again(
    table: FakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(look: roots.Look) -> None:
        raise RuntimeError("can't start new thread")

    table.run("app")
    places = table.places()
    with monkeypatch.context() as refusing:
        refusing.setattr(roots.Look, "start", refuse)
        places.look()
        assert counted(places) == (0, 1)
    places.look()
    assert counted(places) == (1, 0)
    places.close()


def test_one_whose_files_do_not_answer_is_not_asked_again_meanwhile(
    table: FakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And however many there are, few are waited for."""
    answer, asked = threading.Event(), []
    real = files.open_in

    def slow(directory: int, path: str) -> int:
        asked.append(path)
        answer.wait(10)
        return real(directory, path)

    monkeypatch.setattr(files, "open_in", slow)
    monkeypatch.setattr(views, "_PATIENCE", 0.01)
    places = table.places()
    for number in range(20):
        table.run(str(number))
    places.look()
    places.look()
    assert len(asked) <= views._MOST_WAITING
    assert counted(places) == (0, 20)
    answer.set()
    for look in places._looking:
        look.join(10)
    monkeypatch.setattr(views, "_PATIENCE", 5)
    places.look()
    assert counted(places) == (20, 0)
    places.close()


def test_one_whose_files_do_not_answer_leaves_time_to_those_behind_it(
    table: FakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    real = files.open_in

    def slow(directory: int, path: str) -> int:
        if Path(f"/proc/self/fd/{directory}").readlink().name.startswith("silent"):
            answer.wait(30)
        else:
            time.sleep(0.05)
        return real(directory, path)

    monkeypatch.setattr(files, "open_in", slow)
    monkeypatch.setattr(views, "_PATIENCE_AT_START", 2.0)
    for name in ("silent-1", "silent-2", "app"):
        table.run(name)
    places = table.places()
    places.begin()
    assert counted(places) == (1, 2)
    answer.set()
    for look in places._looking:
        look.join(10)
    places.close()
