"""Paths in a container's root, with trees of files in place of /proc."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from chaoskernel.kernel import files, views
from chaoskernel.kernel.cgroups import Cgroup


def open_files() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Host:
    """A /proc, with the root of the host and those of containers."""

    def __init__(self, top: Path) -> None:
        self.proc = top / "proc"
        self.top = top
        self.root = top / "host"
        self.root.mkdir()
        self.group = Cgroup("/box", top / "cgroup")
        self.group.directory.mkdir()
        self.process(1, self.root)

    def process(self, pid: int, root: Path, mounts: str = "") -> None:
        root.mkdir(exist_ok=True)
        (self.proc / str(pid)).mkdir(parents=True)
        (self.proc / str(pid) / "root").symlink_to(root)
        (self.proc / str(pid) / "mountinfo").write_text(mounts)

    def contain(self, *pids: int) -> None:
        (self.group.directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def see(self, *paths: str) -> views.Seen:
        root = views.root_of(self.group, self.proc)
        assert root
        try:
            return views.look(root, paths)
        finally:
            root.close()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def mount(point: str, propagation: str = "") -> str:
    return f"36 35 0:98 / {point} rw,noatime {propagation}- tmpfs none rw\n"


def files_of(seen: views.Seen) -> list[str]:
    places = (*seen.places, *seen.mounted)
    found = [str(Path(f"/proc/self/fd/{each.descriptor}").readlink()) for each in places]
    seen.close()
    return found


def test_a_path_is_that_of_the_containers_root(host: Host) -> None:
    host.process(7, host.top / "box")
    host.contain(7)
    (host.top / "box/data").mkdir()
    (host.root / "only").mkdir()
    seen = host.see("/data", "/only")
    assert seen.missing == {"/only": "No such file or directory"}
    assert files_of(seen) == [str(host.top / "box/data")]


@pytest.mark.parametrize("target", ["{host}", "../../../../../..{host}", "/proc/self/root{host}"])
def test_a_link_never_leads_out_of_the_root(host: Host, target: str) -> None:
    host.process(7, host.top / "box")
    host.contain(7)
    (host.top / "box/link").symlink_to(target.format(host=host.root))
    seen = host.see("/link", "/../../host")
    assert (files_of(seen), set(seen.missing)) == ([], {"/link", "/../../host"})


def test_a_link_within_the_root_is_followed_there(host: Host) -> None:
    host.process(7, host.top / "box")
    host.contain(7)
    (host.top / "box/data").mkdir()
    (host.top / "box/link").symlink_to("/data")
    assert files_of(host.see("/link")) == [str(host.top / "box/data")]


def test_a_process_with_the_hosts_root_is_not_looked_through(host: Host) -> None:
    host.process(6, host.root)
    host.contain(6)
    assert views.root_of(host.group, host.proc) is None
    host.process(7, host.top / "box")
    host.contain(6, 7)
    (host.top / "box/data").mkdir()
    assert files_of(host.see("/data")) == [str(host.top / "box/data")]


def test_a_process_that_ends_meanwhile_is_passed_over(host: Host) -> None:
    host.process(7, host.top / "box")
    host.contain(5, 7)
    root = views.root_of(host.group, host.proc)
    assert root
    root.close()
    host.contain(5)
    assert views.root_of(host.group, host.proc) is None


def test_an_id_that_is_anothers_by_now_is_not_believed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.process(7, host.top / "box")
    listed = iter([[7], []])
    monkeypatch.setattr(views, "_processes", lambda group: iter(next(listed)))
    assert views.root_of(host.group, host.proc) is None


def test_what_is_mounted_below_is_seen_by_the_processs_own_mountinfo(host: Host) -> None:
    points = ["/", "/data", "/data/one", "/database", "/data/with\\040space", "/data/hidden"]
    host.process(7, host.top / "box", "".join(map(mount, [*points, "/data/one"])))
    host.contain(7)
    for name in ("one", "with space"):
        (host.top / "box/data" / name).mkdir(parents=True)
    found = [Path(each) for each in files_of(host.see("/data"))]
    assert found == [host.top / "box/data" / name for name in ("", "one", "with space")]


def test_what_comes_and_goes_with_the_hosts_mounts_is_left_alone_unless_it_is_named(
    host: Host,
) -> None:
    names = {"one": "master:1 ", "two": "shared:4 master:2 ", "three": "shared:5 "}
    lines = [mount(f"/data/{name}", propagation) for name, propagation in names.items()]
    host.process(7, host.top / "box", "".join(lines))
    host.contain(7)
    for name in names:
        (host.top / "box/data" / name).mkdir(parents=True)
    assert files_of(host.see("/data")) == [str(host.top / "box/data")]
    assert files_of(host.see("/data/one")) == [str(host.top / "box/data/one")]


def test_a_mountinfo_of_100_000_lines_is_read_and_too_many_below_are_reported(host: Host) -> None:
    elsewhere = "".join(mount(f"/elsewhere/{number}") for number in range(100_000))
    host.process(7, host.top / "box", elsewhere + mount("/data/one"))
    host.contain(7)
    (host.top / "box/data/one").mkdir(parents=True)
    (host.top / "box/elsewhere").mkdir()
    assert len(files_of(host.see("/data"))) == 2
    before = open_files()
    seen = host.see("/elsewhere", "/data")
    assert not seen.places
    assert "more than 512 file systems" in seen.missing["/elsewhere"]
    assert open_files() == before


def test_a_mountinfo_without_end_is_not_read_to_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "_MAX_BYTES", 1000)
    host.process(7, host.top / "box", mount("/elsewhere") * 50)
    host.contain(7)
    (host.top / "box/data").mkdir()
    seen = host.see("/data")
    assert (list(seen.places), "longer than" in seen.missing["/data"]) == ([], True)


def test_a_fifo_holds_nobody_up(host: Host) -> None:
    host.process(7, host.top / "box")
    host.contain(7)
    os.mkfifo(host.top / "box/fifo")
    assert files_of(host.see("/fifo")) == [str(host.top / "box/fifo")]


def test_who_takes_too_long_is_left_and_closes_what_comes_late(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.process(7, host.top / "box")
    host.contain(7)
    root = views.root_of(host.group, host.proc)
    assert root
    answer = threading.Event()
    real = files.open_in

    def slow(directory: int, path: str) -> int:
        answer.wait(10)
        return real(directory, path)

    before = open_files()
    monkeypatch.setattr(files, "open_in", slow)
    look = views.Look(root, ["/"])
    look.start()
    assert look.result(0.01) is None
    answer.set()
    look.join(10)
    assert open_files() == before - 2


def test_an_identity_is_that_of_stat(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_PATH)
    try:
        seen = tmp_path.stat()
        assert files.identity(descriptor) == (
            seen.st_ino,
            os.major(seen.st_dev),
            os.minor(seen.st_dev),
        )
    finally:
        os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.identity(descriptor)
