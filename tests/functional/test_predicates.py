"""Predicates on frames and on the hook's own arguments, on a real kernel."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import syntax
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.functional.conftest import Arm
from tests.functional.names import BTRFS_MOUNT, ENTRY, here
from tests.programs import loaded_programs
from tests.victim import Victim

LOOK_UP = {
    "funcname": "d_alloc_parallel",
    "parameters": "struct dentry *parent, const struct qstr *name",
}


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
@pytest.mark.parametrize(
    "test", ['STRNCMP(name->name, "bananas", 7)', "STRCMP(name->name, 'bananas0')"]
)
def test_one_file_name_cannot_be_looked_up(
    arm: Arm, victim: Victim, tmp_path: Path, mechanism: Mechanism, test: str
) -> None:
    fault = arm(
        Fault(
            name="bananas",
            kind=Kind.SLAB,
            callchain=syntax.frames([LOOK_UP | {"predicate": test}]),
            headers=syntax.headers(["linux/dcache.h"]),
            scope=Scope(pids=(victim.pid,)),
            limits=Limits(duration=600),
            mechanism=mechanism,
        )
    )
    assert victim.does("look", tmp_path, "apples", 2) == [errno.ENOENT] * 2
    hit = 2 if "STRNCMP" in test else 1
    assert victim.does("look", tmp_path, "bananas", 2).count(errno.ENOMEM) == hit
    assert fault.counters()["injected"] == hit
    assert fault.disarm() == []


def test_pages_are_refused_by_their_order(arm: Arm, victim: Victim) -> None:
    fault = arm(
        Fault(
            name="order-1",
            kind=Kind.PAGE,
            predicate=syntax.expression("order == 1"),
            scope=Scope(pids=(victim.pid,)),
            limits=Limits(duration=600),
        )
    )
    before = fault.counters()
    # Two pages of data are asked for at once, and one by one when that is refused.
    assert victim.does("send", 3000 + 2 * 4096, 5) == [0] * 5
    after = fault.counters()
    assert after["injected"] - before["injected"] == 5
    assert after["reached"] > after["matched"]
    assert fault.disarm() == []


def test_one_sector_of_one_disk_cannot_be_read(arm: Arm, victim: Victim, ram_disk: Path) -> None:
    fault = arm(
        Fault(
            name="sector",
            kind=Kind.BIO,
            predicate=syntax.expression(
                "bio->bi_iter.bi_sector == 128 && bio->bi_bdev->bd_dev == MKDEV(1, 0)"
            ),
            headers=syntax.headers(["linux/blkdev.h"]),
            scope=Scope(pids=(victim.pid,)),
            limits=Limits(duration=600),
        )
    )
    assert victim.does("read", ram_disk, 2, 128 * 512) == [errno.EIO] * 2
    assert victim.does("read", ram_disk, 2, 136 * 512) == [0] * 2
    assert victim.does("read", ram_disk.with_name("ram1"), 2, 128 * 512) == [0] * 2
    assert fault.counters()["injected"] == 2
    assert fault.disarm() == []


def test_mounts_of_btrfs_fail_and_no_others(
    arm: Arm, victim: Victim, file_systems: dict[str, str]
) -> None:
    fault = arm(
        Fault(
            name="btrfs",
            kind=Kind.SLAB,
            callchain=syntax.frames([here(BTRFS_MOUNT), "mount_subtree"]),
            scope=Scope(pids=(victim.pid,)),
            limits=Limits(duration=600),
        )
    )
    assert victim.does("mountfs", file_systems["btrfs"], "btrfs", 2) == [errno.ENOMEM] * 2
    assert victim.does("mountfs", file_systems["ext4"], "ext4", 2) == [0] * 2
    assert fault.counters()["injected"] == 2
    assert fault.disarm() == []
    assert victim.does("mountfs", file_systems["btrfs"], "btrfs", 1) == [0]


@pytest.mark.parametrize(
    ("frame", "key", "line"),
    [
        (
            Frame("d_alloc_parallel", "struct dentry *parent", "parent->d_nmae != 0"),
            "callchain[0].predicate",
            "no member named 'd_nmae'",
        ),
        (
            Frame("d_alloc_parallel", "struct inode *parent", "parent != 0"),
            "callchain[0].parameters",
            "number 1 is struct dentry *parent",
        ),
        (
            Frame("sys_mount", "char *device", "device != 0"),
            "callchain[0].parameters",
            f"what {ENTRY}mount takes: const struct pt_regs *regs",
        ),
    ],
)
def test_what_the_kernel_does_not_have_is_named_at_its_place(
    arm: Arm, victim: Victim, frame: Frame, key: str, line: str
) -> None:
    fault = Fault(
        name="wrong",
        kind=Kind.SLAB,
        callchain=(frame,),
        headers=("linux/dcache.h",),
        scope=Scope(pids=(victim.pid,)),
    )
    before = loaded_programs()
    with pytest.raises(InvalidFault) as refused:
        arm(fault)
    assert refused.value.key == key
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert loaded_programs() == before
