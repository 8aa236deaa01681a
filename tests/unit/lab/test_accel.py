"""Hardware virtualisation is tried once per boot of the host and kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskernel.lab import accel

IMAGE = Path("/boot/vmlinuz-6.1")


class Host:
    """A host with a KVM device and a boot id, and a count of the guests tried."""

    def __init__(self, root: Path, works: bool) -> None:
        self.root = root
        self.works = works
        self.device = root / "kvm"
        self.device.touch()
        self.boot_id = root / "boot_id"
        self.boot_id.write_text("first\n")
        self.tried = 0

    def verdict(self, image: Path = IMAGE) -> str:
        return accel.verdict(
            self.root, image, self.attempt, device=self.device, boot_id=self.boot_id
        )

    def attempt(self) -> bool:
        self.tried += 1
        return self.works


@pytest.mark.parametrize(("works", "expected"), [(True, "kvm"), (False, "tcg")])
def test_the_verdict_is_remembered(tmp_path: Path, works: bool, expected: str) -> None:
    host = Host(tmp_path, works)
    assert [host.verdict(), host.verdict()] == [expected, expected]
    assert host.tried == 1


def test_another_boot_or_kernel_is_tried_anew(tmp_path: Path) -> None:
    host = Host(tmp_path, works=True)
    host.verdict()
    host.verdict(Path("/boot/vmlinuz-6.12"))
    host.boot_id.write_text("second\n")
    host.verdict(Path("/boot/vmlinuz-6.12"))
    assert host.tried == 3


def test_two_kernels_in_turn_are_tried_once_each(tmp_path: Path) -> None:
    host = Host(tmp_path, works=True)
    for image in (IMAGE, Path("/boot/vmlinuz-6.12"), IMAGE):
        host.verdict(image)
    assert host.tried == 2


def test_without_the_device_nothing_is_tried(tmp_path: Path) -> None:
    host = Host(tmp_path, works=True)
    host.device.unlink()
    assert host.verdict() == "tcg"
    assert host.tried == 0


@pytest.mark.parametrize("record", ["{", "[]", "{}", '{"boot": "first", "verdicts": 3}'])
def test_a_damaged_record_is_no_verdict(tmp_path: Path, record: str) -> None:
    host = Host(tmp_path, works=True)
    (tmp_path / "acceleration.json").write_text(record)
    assert accel.known(tmp_path, IMAGE, device=host.device, boot_id=host.boot_id) is None
