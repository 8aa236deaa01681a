"""The examples of BCC's inject documentation, in today's spelling, on a real kernel."""

from __future__ import annotations

import errno
from pathlib import Path

from chaoskernel.engine import ArmedFault
from chaoskernel.fault import syntax
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits
from tests.functional.conftest import Arm
from tests.functional.names import BTRFS_MOUNT, here
from tests.victim import Victim


def armed(
    arm: Arm, victim: Victim, kind: Kind, spec: str, *headers: str, percent: float = 100
) -> ArmedFault:
    chain = syntax.spec(spec)
    return arm(
        Fault(
            name="spec",
            kind=kind,
            scope=Scope(pids=(victim.pid,)),
            callchain=chain.frames,
            predicate=chain.predicate,
            headers=headers,
            limits=Limits(percent, duration=600),
        )
    )


def test_all_mounts(arm: Arm, victim: Victim) -> None:
    fault = armed(arm, victim, Kind.SLAB, "SyS_mount()")
    assert victim.does("mount", 3) == [errno.ENOMEM] * 3
    assert fault.counters()["injected"] == 3
    assert fault.disarm() == []


def test_one_mount_of_a_hundred(arm: Arm, victim: Victim) -> None:
    fault = armed(arm, victim, Kind.SLAB, "SyS_mount()", percent=1)
    failed = victim.does("mount", 1000).count(errno.ENOMEM)
    # Ten, give or take five standard deviations of 3.1.
    assert 1 <= failed <= 26
    assert fault.counters()["injected"] == failed
    assert fault.disarm() == []


def test_btrfs_alone(arm: Arm, victim: Victim, file_systems: dict[str, str]) -> None:
    fault = armed(arm, victim, Kind.SLAB, f"mount_subtree() => {here(BTRFS_MOUNT)}()")
    assert victim.does("mountfs", file_systems["btrfs"], "btrfs", 1) == [errno.ENOMEM]
    assert victim.does("mountfs", file_systems["ext4"], "ext4", 1) == [0]
    assert fault.disarm() == []


def test_ext4_alone_and_no_btrfs(arm: Arm, victim: Victim, file_systems: dict[str, str]) -> None:
    fault = armed(arm, victim, Kind.SLAB, "ext4_get_tree()")
    assert victim.does("mountfs", file_systems["ext4"], "ext4", 1) == [errno.ENOMEM]
    assert victim.does("mountfs", file_systems["btrfs"], "btrfs", 1) == [0]
    assert fault.disarm() == []


def test_closing_a_btrfs_device_allocates_none_any_more(
    arm: Arm, victim: Victim, file_systems: dict[str, str]
) -> None:
    """The example of 2018 hit a BUG_ON; this kernel comes through the one without the other."""
    fault = armed(arm, victim, Kind.SLAB, "btrfs_alloc_device() => btrfs_close_devices()")
    assert victim.does("mountfs", file_systems["btrfs"], "btrfs", 2) == [0, 0]
    close, allocate = fault.counters()["frames"]
    assert close["matched"] == 2
    assert allocate["entered"] >= 1
    assert allocate["matched"] == 0
    assert fault.disarm() == []


def test_the_look_up_of_bananas(arm: Arm, victim: Victim, tmp_path: Path) -> None:
    fault = armed(
        arm,
        victim,
        Kind.SLAB,
        "d_alloc_parallel(struct dentry *parent, const struct\nqstr *name)"
        "(STRCMP(name->name, 'bananas0'))",
        "linux/dcache.h",
    )
    assert victim.does("look", tmp_path, "bananas", 2) == [errno.ENOMEM, errno.ENOENT]
    assert victim.does("look", tmp_path, "apples", 2) == [errno.ENOENT] * 2
    assert fault.disarm() == []


def test_one_sector_of_one_disk(arm: Arm, victim: Victim, ram_disk: Path) -> None:
    fault = armed(
        arm,
        victim,
        Kind.BIO,
        "(bio->bi_bdev->bd_dev == MKDEV(1, 0) && bio->bi_iter.bi_sector == 128)",
        "linux/blkdev.h",
    )
    assert victim.does("read", ram_disk, 1, 128 * 512) == [errno.EIO]
    assert victim.does("read", ram_disk, 1, 136 * 512) == [0]
    assert fault.disarm() == []
