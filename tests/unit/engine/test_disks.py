"""What is read to provoke a bio, and that a disk which hangs holds nobody up."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.engine import disks
from chaoskernel.engine.disks import Reader
from tests.waiting import within

HANGS = """
import sys, time
print(flush=True)
for line in sys.stdin:
    if line.startswith("/dev/hangs"):
        time.sleep(1000)
    print(int(line.startswith("/dev/good")), flush=True)
"""
"""A reader of disks that are not there."""


class Here:
    """Files and disks of a host, and what becomes of reading them."""

    def __init__(self) -> None:
        self.witnesses: list[int] = []
        self.readers: list[Reader] = []

    @contextlib.contextmanager
    def witness(self, pid: int) -> Iterator[None]:
        self.witnesses.append(pid)
        yield

    def reader(self) -> Reader:
        self.readers.append(Reader(HANGS, seconds=0.3))
        return self.readers[-1]

    def provoke(self, *places: str, seen: bool = False) -> bool:
        found = [(place, place.startswith("/dev/")) for place in places]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disks, "_places", lambda: iter(found))
            return disks.provoke(self.witness, lambda: seen, self.reader)


@pytest.fixture
def here() -> Iterator[Here]:
    made = Here()
    yield made
    for reader in made.readers:
        assert within(5, lambda pid=reader.pid: _is_gone(pid))  # type: ignore[misc]


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_reading_ends_with_the_first_bio_that_is_seen(here: Here) -> None:
    assert here.provoke("/bin/sh", "/dev/hangs0", seen=True)
    assert here.witnesses == [here.readers[0].pid]


def test_a_disk_that_can_be_read_is_enough_to_tell(here: Here) -> None:
    assert here.provoke("/bin/sh", "/dev/bad0", "/dev/good0", "/dev/hangs0")


def test_a_file_that_can_be_read_tells_nothing(here: Here) -> None:
    assert not here.provoke("/bin/sh", "/dev/bad0")


def test_a_disk_that_hangs_is_left_to_its_reader_and_the_next_is_tried(here: Here) -> None:
    began = time.monotonic()
    assert here.provoke("/dev/hangs0", "/dev/good0")
    assert time.monotonic() - began < 5
    assert len(set(here.witnesses)) == 2


def test_after_two_that_hang_no_more_are_tried(here: Here) -> None:
    assert not here.provoke("/dev/hangs0", "/dev/hangs1", "/dev/good0")
    assert len(here.readers) == 2


def test_a_reader_has_no_descriptor_of_the_agents() -> None:
    """With one, it would keep attached what the agent has attached."""
    kept, _ = ends = os.pipe()
    os.set_inheritable(kept, True)
    reader = Reader()
    try:
        links = {str(link.readlink()) for link in Path(f"/proc/{reader.pid}/fd").iterdir()}
        assert str(Path(f"/proc/self/fd/{kept}").readlink()) not in links
    finally:
        reader.close()
        for end in ends:
            os.close(end)


def test_a_file_is_read_around_the_page_cache(tmp_path: Path) -> None:
    reader = Reader()
    try:
        assert reader.reads("/bin/sh") in (True, False)  # some file systems do not have that
        assert reader.reads(str(tmp_path / "none")) is False
        assert reader.reads(str(tmp_path)) is False
    finally:
        reader.close()


def test_disks_that_may_hang_or_have_nothing_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "_BLOCK_DEVICES", tmp_path)
    monkeypatch.setattr(disks, "_MODULES", tmp_path / "none")
    read = ("sda", "nvme0n1", "vdb", "ram0", "mmcblk0", "cciss!c0d0")
    for name in (*read, "loop0", "zram0"):
        disk(tmp_path / name)
    for name in ("dm-0", "nbd0", "fd0", "sr0", "md127", "rbd0", "drbd1", "zd16", "mtdblock0"):
        disk(tmp_path / name)
    disk(tmp_path / "loop1", size="0")
    disk(tmp_path / "sdb", removable="1")
    disk(tmp_path / "sdc", state="offline")
    disk(tmp_path / "sdd", state="transport-offline")
    disk(tmp_path / "nvme1n1", state="connecting")
    disk(tmp_path / "sde", state="running")
    disk(tmp_path / "nvme2n1", state="live")
    found = [place for place, is_disk in disks._places() if is_disk]
    first = sorted(
        ["/dev/sde", "/dev/nvme2n1", *(f"/dev/{name.replace('!', '/')}" for name in read)]
    )
    assert found == [*first, "/dev/loop0", "/dev/zram0"]


def disk(place: Path, *, size: str = "2048", removable: str = "0", state: str = "") -> None:
    place.mkdir()
    (place / "size").write_text(f"{size}\n")
    (place / "removable").write_text(f"{removable}\n")
    if state:
        (place / "device").mkdir()
        (place / "device/state").write_text(f"{state}\n")
