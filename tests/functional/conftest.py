"""An engine in the test's own process."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaoskernel.compiler.objects import assigned
from chaoskernel.engine import ArmedFault, Engine
from chaoskernel.engine.bcc import BccEngine
from chaoskernel.engine.choice import engine_for
from chaoskernel.engine.core import CoreEngine
from chaoskernel.engine.events import KEPT
from chaoskernel.fault.spec import EngineName, Fault
from tests import sums

DIST_PACKAGES = "/usr/lib/python3/dist-packages"
"""bcc is the distribution's and pure Python: a virtual environment's Python can import it."""

Arm = Callable[[Fault], ArmedFault]


@pytest.fixture(scope="module", params=[BccEngine, CoreEngine], ids=["bcc", "core"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each of the engines: the same tests are the contract of both."""
    if DIST_PACKAGES not in sys.path:
        sys.path.append(DIST_PACKAGES)
    made: Engine = request.param()
    return made


@pytest.fixture(scope="module")
def arm(lab: None, engine: Engine) -> Iterator[Arm]:
    """Arm faults in this process.

    After its module each is disarmed, if the test has not done so, and its
    counters have to add up.
    """
    armed: list[ArmedFault] = []

    def arm_one(fault: Fault) -> ArmedFault:
        given = assigned(dataclasses.replace(fault, engine=EngineName(engine.name)))
        made = engine_for(given.fault, given.object)
        armed.append(made.arm(given.fault, progress=lambda step: print(step, flush=True)))
        return armed[-1]

    yield arm_one
    for fault in armed:
        counters, hits = sums.of_disarmed(fault)
        assert counters["untracked"] == 0
        found = fault.events(KEPT)
        assert len(found["events"]) + found["dropped"] == hits


@pytest.fixture(scope="session")
def ram_disk() -> Path:
    """A block device without a file system (CONFIG_BLK_DEV_RAM)."""
    return Path("/dev/ram0")


@pytest.fixture
def file_systems(lab: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Loop devices with each file system that this kernel has, by its kind."""
    devices: dict[str, str] = {}
    here = Path("/proc/filesystems").read_text().split()
    try:
        for kind, size in (("btrfs", 128 << 20), ("ext4", 16 << 20)):
            if kind not in here:
                continue
            image = tmp_path / kind
            with image.open("wb") as file:
                file.truncate(size)
            _run(f"mkfs.{kind}", "-q", str(image))
            devices[kind] = _run("losetup", "--find", "--show", str(image)).strip()
        yield devices
    finally:
        for device in devices.values():
            _run("losetup", "--detach", device)


@pytest.fixture
def devices(lab: None, tmp_path: Path) -> Iterator[Path]:
    """A hierarchy of v1, beside that of v2: its controller is one that v2 has not."""
    place = tmp_path / "devices"
    place.mkdir()
    command = ["mount", "-t", "cgroup", "-o", "devices", "devices", str(place)]
    subprocess.run(command, check=True, timeout=60)
    yield place
    for directory in sorted(place.rglob("*/"), reverse=True):
        directory.rmdir()
    subprocess.run(["umount", str(place)], check=True, timeout=60)


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout
