"""What is mounted below a fault's directories is listed as it comes, and let go of as it goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.engine import listing, mounts
from chaoskernel.engine.listing import Listing
from chaoskernel.engine.mounts import HostMounts
from chaoskernel.errors import EngineError, InvalidFault
from chaoskernel.kernel import views
from chaoskernel.kernel.files import Place
from tests.unit.engine.places import Places, open_files


class Host(Places):
    """A directory, what a file says to be mounted below it, and the program's places."""

    def __init__(self, top: Path) -> None:
        super().__init__()
        self.top = top / "data"
        self.top.mkdir()
        self.mountinfo = top / "mountinfo"
        self.mountinfo.touch()

    def mount(self, *names: str) -> set[int]:
        """Have these directories be mounted and no others; return what is to be listed."""
        points = [self.top / name for name in names]
        for point in points:
            point.mkdir(exist_ok=True)
        lines = [f"36 35 0:98 / {point} rw shared:7 - tmpfs none rw\n" for point in points]
        self.mountinfo.write_text("".join(lines))
        return {point.stat().st_ino for point in points}

    def root(self) -> views.Root:
        return views.Root(os.open("/", os.O_PATH), os.open(self.mountinfo, os.O_RDONLY), own=True)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    found = Host(tmp_path)
    monkeypatch.setattr(views, "own_root", found.root)
    # A file has no event; whoever looks has been told of one.
    monkeypatch.setattr(views.Watch, "has_changed", lambda self: True)
    before = open_files()
    yield found
    assert open_files() == before


@pytest.fixture
def below(host: Host) -> Iterator[HostMounts]:
    descriptor = os.open(host.top, os.O_PATH)
    found = HostMounts(Listing(host), [str(host.top)], [Place(descriptor, whole=False)])
    yield found
    found.close()
    os.close(descriptor)
    assert host.listed == set()


def test_what_is_mounted_is_listed_as_it_comes_and_goes(host: Host, below: HostMounts) -> None:
    wanted = host.mount("one")
    below.begin()
    assert host.listed == wanted
    for names in (("one", "two"), ("two",), (), ("three",)):
        wanted = host.mount(*names)
        below.look()
        assert (host.listed, below.counts()) == (
            wanted,
            {"places": len(names), "unfollowed_mounts": 0},
        )


def test_too_many_are_refused_at_the_start(host: Host, below: HostMounts) -> None:
    host.mount(*map(str, range(513)))
    with pytest.raises(InvalidFault, match="^paths: .*more than 512 file systems are mounted"):
        below.begin()


def test_too_many_that_come_later_leave_those_that_are_listed(
    host: Host, below: HostMounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = host.mount("one")
    below.begin()
    monkeypatch.setattr(listing, "MAX_PLACES", 2)
    host.mount("one", "two")
    below.look()
    assert (host.listed, below.counts()) == (wanted, {"places": 1, "unfollowed_mounts": 1})
    host.mount(*map(str, range(513)))
    below.look()
    assert (host.listed, below.counts()) == (wanted, {"places": 1, "unfollowed_mounts": 2})


def test_a_change_is_not_followed_while_a_file_system_does_not_answer(
    host: Host, below: HostMounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.mount("one")
    below.begin()
    wanted = host.mount("one", "two")
    with monkeypatch.context() as silent:
        silent.setattr(views.Look, "result", lambda self, seconds: None)
        below.look()
    assert below.counts()["unfollowed_mounts"] == 1
    look = below._look
    assert look
    look.join(10)
    assert look._seen
    look._seen.close()
    below.look()
    assert (host.listed, below.counts()["unfollowed_mounts"]) == (wanted, 0)


def test_a_file_system_that_does_not_answer_is_one_line_at_the_start(
    host: Host, below: HostMounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "_PATIENCE_AT_START", 0)
    monkeypatch.setattr(views.Look, "result", lambda self, seconds: None)
    host.mount("one")
    with pytest.raises(EngineError, match="does not answer; unmount it"):
        below.begin()
    look = below._look
    assert look
    look.join(10)
    seen = look._seen
    assert seen
    seen.close()
