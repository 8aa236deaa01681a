"""A kernel of 6.11 or later without the options that keep its hooks: as distributions have it."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaoskernel.errors import UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.functional.conftest import Arm
from tests.programs import loaded_programs
from tests.victim import Victim


@pytest.mark.parametrize(
    ("kind", "function", "option"),
    [
        (Kind.SLAB, "should_failslab", "CONFIG_FAILSLAB"),
        (Kind.PAGE, "should_fail_alloc_page", "CONFIG_FAIL_PAGE_ALLOC"),
    ],
)
def test_a_hook_that_is_absent_is_named_with_the_option_that_gives_it(
    arm: Arm, victim: Victim, kind: Kind, function: str, option: str
) -> None:
    before = loaded_programs()
    with pytest.raises(UnsupportedKernel) as refused:
        arm(Fault("absent", kind, Scope(pids=(victim.pid,))))
    assert refused.value.message == f"this kernel has no function {function}"
    assert refused.value.hint.startswith(f"a kernel with {option} has it")
    assert loaded_programs() == before


def test_check_tells_which_hook_is_left(lab: None) -> None:
    program = Path(sys.executable).with_name("chaoskernel")
    checked = subprocess.run(
        [program, "check", "--json"], stdout=subprocess.PIPE, text=True, check=True, timeout=300
    )
    states = {finding["subject"]: finding["state"] for finding in json.loads(checked.stdout)}
    assert states["should_failslab"] == "absent"
    assert states["should_fail_alloc_page"] == "absent"
    assert states["should_fail_bio"] == "live"


@pytest.mark.parametrize("mechanism", [Mechanism.FMOD_RET, Mechanism.KPROBE], ids=str)
def test_chains_and_predicates_are_followed_here_too(
    arm: Arm, victim: Victim, bystander: Victim, ram_disk: Path, mechanism: Mechanism
) -> None:
    fault = arm(
        Fault(
            name="here",
            kind=Kind.BIO,
            callchain=(Frame("sys_preadv2"), Frame("submit_bio")),
            predicate="bio->bi_iter.bi_sector == 8",
            headers=("linux/blkdev.h",),
            scope=Scope(pids=(victim.pid,)),
            limits=Limits(duration=600, times=2),
            mechanism=mechanism,
        )
    )
    assert victim.does("read", ram_disk, 2, 0) == [0] * 2
    assert victim.does("read", ram_disk, 3, 4096) == [errno.EIO] * 2 + [0]
    assert bystander.does("read", ram_disk, 2, 4096) == [0] * 2
    assert [frame["matched"] for frame in fault.counters()["frames"]] == [5, 5]
    stack = [place.partition("+")[0] for place in fault.events(1)["events"][0]["stack"]]
    assert stack[0] == "should_fail_bio"
    assert "submit_bio_wait" in stack
    assert fault.disarm() == []
