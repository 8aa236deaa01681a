"""Disks, copies and ports of a guest."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from chaoskernel.cli import lab
from chaoskernel.errors import LabError
from chaoskernel.lab import disks, guest, script
from chaoskernel.lab.disks import Disk
from chaoskernel.lab.kernel import Kernel
from chaoskernel.lab.script import Extras, Job, Port

KERNEL = Kernel(Path("/cache/boot/vmlinuz-6.1"), "6.1", None, "cached")


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        ("256M", Disk(256 << 20, "ext4")),
        ("1G:xfs", Disk(1 << 30, "xfs")),
        ("512M:btrfs", Disk(512 << 20, "btrfs")),
    ],
)
def test_a_disk_is_a_size_and_a_file_system(text: str, disk: Disk) -> None:
    assert disks.disk_of(text) == disk


@pytest.mark.parametrize("text", ["", "256", "0M", "1T", "1G:", "1G:vfat", "1G:ext4:", "-1M"])
def test_what_is_no_disk_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 256M or 1G:ext4"):
        disks.disk_of(text)


def test_a_disk_has_its_file_system_before_the_guest_starts(tmp_path: Path) -> None:
    disks.make([Disk(16 << 20, "ext4")], tmp_path)
    image = (tmp_path / "disk0").read_bytes()
    assert len(image) == 16 << 20
    assert image[1080:1082] == b"\x53\xef"  # EXT4_SUPER_MAGIC


def test_a_disk_that_is_too_small_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="--disk: no btrfs of 1M: .*larger"):
        disks.make([Disk(1 << 20, "btrfs")], tmp_path)


def test_the_guest_is_given_its_disks_and_ports() -> None:
    extras = Extras((Disk(1 << 20, "ext4"),), (), (Port(18000, 8000),))
    job = Job(("true",), Path("/work"), extras=extras)
    line = guest.command_line(KERNEL, job, guest.Machine(), "tcg", Path("/mail"))
    assert "--qemu-opt=file=/mail/disk0,format=raw,if=none,cache=unsafe,id=lab0" in line
    network = "user,id=lab,restrict=on,hostfwd=tcp:127.0.0.1:18000-10.0.2.15:8000"
    assert f"--qemu-opt={network}" in line
    text = script.text(job, "dumb")
    assert "mkdir -p /srv/disk && mount -t ext4 /dev/vda /srv/disk ||" in text
    assert "ip address add 10.0.2.15/24" in text
    plain = guest.command_line(KERNEL, Job(("true",), Path("/")), guest.Machine(), "tcg", Path("/"))
    assert not [word for word in plain if "netdev" in word or "drive" in word]


def test_a_copy_is_taken_before_tmp_hides_it() -> None:
    job = Job(("true",), Path("/"), extras=Extras(copies=(Path("/tmp/a b"),)))
    lines = script.text(job, "dumb").splitlines()
    fresh = lines.index("mount -t tmpfs -o mode=1777 tmpfs /tmp")
    assert lines[fresh - 1].endswith("mount --bind '/tmp/a b' /run/chaoskernel/copy0")
    assert [line for line in lines[fresh:] if line.endswith("overlay '/tmp/a b'")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--disk", "256"], "'256' is not a disk"),
        (["--port", "80:"], "'80:' is not a port; write it as 8000 or 18000:8000"),
        (["--port", "70000"], "the last one is 65535"),
        (["--copy", "/nowhere"], "does not exist"),
    ],
)
def test_what_a_guest_cannot_be_given_is_said_at_once(options: list[str], said: str) -> None:
    ended = CliRunner().invoke(lab.command, ["run", *options, "--", "true"])
    assert ended.exit_code == 2
    assert said in " ".join(ended.output.split())
