"""Files and directories by what they are: what lies below a path is hit, what lies beside never."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from tests.caller import Caller
from tests.functional.agents import armed_agents
from tests.programs import loaded_programs
from tests.stock.conftest import Arm, Mounts
from tests.stock.kinds import BELOW_A_PATH
from tests.waiting import within

FULL = errno.ENOSPC
LEVELS = 63
"""Directories between a file and the one that is named, at most: MAX_LEVELS of logic/state.h."""


def made(file: Path) -> Path:
    """Make a file, and the directories that it lies in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * 4096)
    return file


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A file in the directory that is named."""
    return made(tmp_path / "inside" / "file")


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A file in another directory of the same file system; its name begins alike."""
    return made(tmp_path / "inside-not" / "file")


def test_every_kind_that_takes_paths_is_tried_here() -> None:
    assert {kind for kind, row in TABLE.items() if row.takes_paths} == set(BELOW_A_PATH)


@pytest.mark.parametrize("kind", BELOW_A_PATH)
def test_each_call_fails_below_the_path_at_any_depth_and_not_beside_it(
    kind: Kind, arm: Arm, victim: Caller, neighbour: Caller, inside: Path, beside: Path
) -> None:
    deep = made(inside.parent.joinpath(*map(str, range(20)), "file"))
    for file in (inside, beside, deep):  # its descriptors are from before the start
        assert victim.calls("read", file) == 0
    fault = arm(victim.pid, fault=kind.value, paths=[str(inside.parent)])
    for name in BELOW_A_PATH[kind]:
        assert victim.calls(name, inside) == TABLE[kind].error, name
        assert victim.calls(name, deep) == TABLE[kind].error, name
        assert victim.calls(name, beside) == 0, name
        assert neighbour.calls(name, inside) == 0, name
    counters = fault.counters()
    assert counters["injected"] == counters["matched"] >= 2 * len(BELOW_A_PATH[kind])
    assert {hook["symbol"] for hook in counters["hooks"]} == {
        placed.probe.symbol for placed in fault.placement.hooks
    }
    assert fault.disarm() == []
    for name in BELOW_A_PATH[kind]:
        assert victim.calls(name, inside) == 0, name


def test_what_comes_to_be_below_is_hit_and_what_leaves_is_not(
    arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    here, there = inside.parent, beside.parent
    leaves, comes = made(here / "leaves" / "file"), made(there / "comes" / "file")
    single, other = made(here / "single"), made(there / "other")
    assert [victim.calls("write", file) for file in (leaves, comes, single, other)] == [0] * 4
    arm(victim.pid, fault="write", paths=[str(here)])
    assert victim.calls("write", made(here / "new" / "file")) == FULL
    assert [victim.calls("write", file) for file in (leaves, comes)] == [FULL, 0]
    (here / "leaves").rename(there / "left")
    (there / "comes").rename(here / "come")
    single.rename(there / "single")
    other.rename(here / "other")
    # The victim has all of them open under their old names.
    assert [victim.calls("write", file) for file in (leaves, comes)] == [0, FULL]
    assert [victim.calls("write", file) for file in (single, other)] == [0, FULL]
    assert victim.calls("write", there / "left" / "file") == 0
    assert victim.calls("write", here / "come" / "file") == FULL


def test_a_file_that_takes_the_place_of_one_that_was_named_is_another_one(
    arm: Arm, victim: Caller, inside: Path
) -> None:
    arm(victim.pid, fault="write", paths=[str(inside)])
    assert victim.calls("write", inside) == FULL
    made(inside.with_name("next")).rename(inside)
    assert victim.calls("write", inside) == FULL, "it is open still"
    again = inside.parent / ".." / inside.parent.name / "file"
    assert victim.calls("write", again) == 0, "another spelling, so that it is opened anew"


def test_hard_links_are_told_by_the_name_that_was_used(
    arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    link = beside.with_name("link")
    os.link(inside, link)
    arm(victim.pid, fault="write", paths=[str(inside.parent)])
    assert victim.calls("write", inside) == FULL
    assert victim.calls("write", link) == 0


def test_a_rename_is_hit_when_either_name_lies_below(
    arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    arm(victim.pid, fault="rename", paths=[str(inside.parent)])
    assert victim.calls("rename", inside) == FULL
    assert victim.calls("rename", inside, beside.with_name("out")) == FULL
    assert victim.calls("rename", beside, inside.with_name("in")) == FULL
    assert victim.calls("rename", beside, beside.with_name("elsewhere")) == 0


def test_a_link_is_hit_where_it_is_made(
    arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    arm(victim.pid, fault="create", paths=[str(inside.parent)])
    assert victim.calls("link", beside, inside.with_name("in")) == FULL
    assert victim.calls("link", inside, beside.with_name("out")) == 0


@pytest.mark.parametrize("of", ["directory", "file"])
def test_a_path_through_a_symbolic_link_means_what_it_leads_to(
    of: str, arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    link = beside.with_name("link")
    link.symlink_to(inside if of == "file" else inside.parent)
    arm(victim.pid, fault="write", paths=[str(link)])
    assert victim.calls("write", inside) == FULL
    assert victim.calls("write", link if of == "file" else link / "file") == FULL
    assert victim.calls("write", beside) == 0


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nowhere/at/all", "No such file or directory"),
        ("/proc/self/status/below", "Not a directory"),
    ],
)
def test_a_path_that_is_not_there_is_refused_and_nothing_is_attached(
    path: str, says: str, arm: Arm, victim: Caller
) -> None:
    before = loaded_programs()
    with pytest.raises(InvalidFault, match=says) as refused:
        arm(victim.pid, fault="write", paths=[path])
    assert str(refused.value).startswith(f"paths: '{path}' is not there")
    assert "\n" not in str(refused.value)
    # A test before this one may have left some that the kernel frees a moment later.
    assert loaded_programs() <= before


def test_a_device_that_is_not_mounted_is_refused(arm: Arm, victim: Caller) -> None:
    before = loaded_programs()
    for device in ("/dev/loop7", "/dev/nothing"):
        with pytest.raises(InvalidFault, match=f"^devices: '{device}' is not mounted") as refused:
            arm(victim.pid, fault="write", devices=[device])
        assert "\n" not in str(refused.value)
    assert loaded_programs() == before


def test_a_bind_mount_of_what_lies_below_is_hit(
    arm: Arm, victim: Caller, inside: Path, beside: Path, mounts: Mounts
) -> None:
    below = made(inside.parent / "sub" / "file").parent
    before = mounts.bind(below, beside.parent / "before")
    arm(victim.pid, fault="write", paths=[str(inside.parent)])
    after = mounts.bind(below, beside.parent / "after")
    assert victim.calls("write", before / "file") == FULL
    assert victim.calls("write", after / "file") == FULL
    assert victim.calls("write", beside) == 0


def test_a_bind_mount_that_is_named_is_what_it_shows(
    arm: Arm, victim: Caller, inside: Path, beside: Path, mounts: Mounts
) -> None:
    sub = made(inside.parent / "sub" / "file")
    bound = mounts.bind(sub.parent, beside.parent / "bound")
    arm(victim.pid, fault="write", paths=[str(bound)])
    assert victim.calls("write", bound / "file") == FULL
    assert victim.calls("write", sub) == FULL
    assert victim.calls("write", inside) == 0


def test_file_systems_that_are_mounted_below_at_the_start_are_hit(
    arm: Arm, victim: Caller, inside: Path, beside: Path, mounts: Mounts
) -> None:
    """One in another, one through a bind mount, and a name with a space in it."""
    outer = mounts.tmpfs(inside.parent / "outer mount")
    inner = mounts.tmpfs(outer / "deeper" / "inner")
    bound = mounts.bind(beside.parent, inside.parent / "bound")
    other = mounts.tmpfs(beside.parent / "other")
    files = [made(place / "sub" / "file") for place in (outer, inner, bound)]
    arm(victim.pid, fault="create", paths=[str(inside.parent)])
    assert [victim.calls("mkdir", file) for file in files] == [FULL] * 3
    assert victim.calls("mkdir", made(other / "file")) == 0


def test_file_systems_that_are_mounted_later_are_hit_once_the_agent_has_looked(
    arm: Arm, victim: Caller, inside: Path, beside: Path, mounts: Mounts
) -> None:
    fault = arm(victim.pid, fault="create", paths=[str(inside.parent)])
    later = mounts.tmpfs(inside.parent / "later mount")
    nested = mounts.tmpfs(later / "nested")
    bound = mounts.bind(beside.parent, inside.parent / "bound")
    other = mounts.tmpfs(beside.parent / "other")
    files = [made(place / "sub" / "file") for place in (later, nested, bound)]
    assert [victim.calls("mkdir", file) for file in files] == [0] * 3
    fault.follow()
    assert [victim.calls("mkdir", file) for file in files] == [FULL] * 3
    assert victim.calls("mkdir", made(other / "file")) == 0
    assert fault.counters()["places"] == 4


def test_a_file_system_that_is_mounted_below_can_be_unmounted_and_is_let_go_of(
    arm: Arm, victim: Caller, tmp_path: Path, mounts: Mounts
) -> None:
    device, point = mounts.ext4(tmp_path / "victim" / "image")
    mounted = Path("/sys/fs/ext4") / device.name
    fault = arm(victim.pid, fault="create", paths=[str(tmp_path / "victim")])
    assert fault.counters()["places"] == 2
    subprocess.run(["umount", str(point)], check=True)
    assert mounted.exists()
    fault.follow()
    assert not mounted.exists()
    assert fault.counters()["places"] == 1
    assert victim.calls("mkdir", made(point / "file")) == FULL


def test_an_agent_follows_mounts_by_itself(victim: Caller, tmp_path: Path, mounts: Mounts) -> None:
    place = tmp_path / "victim"
    scope = Scope(pids=(victim.pid,))
    fault = fault_of(name="x", fault="create", scope=scope, paths=[str(place)])
    with armed_agents({"x": fault}):
        file = made(mounts.tmpfs(place / "later") / "file")
        assert within(10, lambda: victim.calls("mkdir", file) == FULL)


@pytest.fixture
def overlay(tmp_path: Path, mounts: Mounts) -> Path:
    """An overlay with a file from below and one from above."""
    made(tmp_path / "lower" / "sub" / "lower")
    made(tmp_path / "upper" / "sub" / "upper")
    return mounts.overlay(tmp_path)


@pytest.mark.parametrize("name", ["lower", "upper"])
def test_a_file_of_an_overlay_can_be_named(
    name: str, arm: Arm, victim: Caller, overlay: Path, tmp_path: Path
) -> None:
    sub = overlay / "sub"
    other = sub / {"lower": "upper", "upper": "lower"}[name]
    layer = tmp_path / name / "sub" / name
    fault = arm(victim.pid, fault="write", paths=[str(sub / name)])
    assert victim.calls("write", sub / name) == FULL
    assert victim.calls("write", other) == 0
    assert victim.calls("write", layer) == 0, "the layer's own file is another one"
    assert fault.counters()["injected"] == 1
    assert fault.disarm() == []
    assert victim.calls("write", sub / name) == 0


@pytest.mark.parametrize("kind", [Kind.WRITE, Kind.CREATE, Kind.STAT, Kind.OPEN, Kind.REMOVE])
def test_a_directory_of_an_overlay_can_be_named(
    kind: Kind, arm: Arm, victim: Caller, overlay: Path
) -> None:
    files = [overlay / "sub" / "lower", overlay / "sub" / "upper"]
    outside = made(overlay / "file")
    assert [victim.calls("read", file) for file in (*files, outside)] == [0] * 3
    fault = arm(victim.pid, fault=kind.value, paths=[str(overlay / "sub")])
    for name in BELOW_A_PATH[kind]:
        for file in files:
            assert victim.calls(name, file) == TABLE[kind].error, (name, file)
        assert victim.calls(name, outside) == 0, name
    assert fault.counters()["injected"] == fault.counters()["matched"]


@pytest.mark.parametrize("by", ["node", "link to the node", "mount point", "bind mount"])
def test_a_device_is_its_whole_file_system(
    by: str, arm: Arm, victim: Caller, beside: Path, mounts: Mounts, tmp_path: Path
) -> None:
    device, point = mounts.ext4(tmp_path / "image")
    sub = made(point / "sub" / "file").parent
    bound = mounts.bind(sub, tmp_path / "bound")
    link = tmp_path / "link"
    link.symlink_to(device)
    named = {
        "node": device,
        "link to the node": link,
        "mount point": point,
        "bind mount": bound,
    }[by]
    arm(victim.pid, fault="create", devices=[str(named)])
    for file in (made(point / "file"), sub / "file", bound / "file"):
        assert victim.calls("mkdir", file) == FULL
    assert victim.calls("mkdir", beside) == 0


def test_as_many_paths_as_can_be(arm: Arm, victim: Caller, tmp_path: Path) -> None:
    files = [made(tmp_path / str(number) / "file") for number in range(65)]
    fault = arm(victim.pid, fault="create", paths=[str(file.parent) for file in files[:64]])
    assert [victim.calls("mkdir", file) for file in files] == [FULL] * 64 + [0]
    assert fault.counters()["injected"] == 64


def test_more_mounts_than_the_program_has_room_for_are_refused(
    arm: Arm, victim: Caller, inside: Path, mounts: Mounts
) -> None:
    before = loaded_programs()
    for number in range(513):
        mounts.tmpfs(inside.parent / str(number))
    with pytest.raises(InvalidFault, match="more than 512 file systems are mounted below it"):
        arm(victim.pid, fault="write", paths=[str(inside.parent)])
    assert loaded_programs() == before


def test_the_path_is_walked_so_many_levels_and_no_more(
    arm: Arm, victim: Caller, inside: Path
) -> None:
    last = made(inside.parent.joinpath(*["d"] * (LEVELS - 1), "file"))
    beyond = made(last.parent / "d" / "file")
    arm(victim.pid, fault="write", paths=[str(inside.parent)])
    assert victim.calls("write", last) == FULL
    assert victim.calls("write", beyond) == 0


def test_a_path_goes_with_a_call_chain(
    arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    fault = arm(victim.pid, fault="write", paths=[str(inside.parent)], callchain=["sys_pwrite64"])
    assert victim.calls("write", inside) == FULL
    assert victim.calls("writev", inside) == 0
    assert victim.calls("write", beside) == 0
    assert fault.counters()["injected"] == 1


@pytest.mark.parametrize(("mask", "ended"), [("mask & 2", FULL), ("mask == 4", 0)])
def test_a_path_goes_with_a_predicate(
    mask: str, ended: int, arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    arm(victim.pid, fault="write", paths=[str(inside.parent)], predicate=mask)
    assert victim.calls("write", inside) == ended
    assert victim.calls("write", beside) == 0


def test_a_path_goes_with_probability_and_times(
    arm: Arm, victim: Caller, inside: Path, beside: Path
) -> None:
    fault = arm(victim.pid, fault="write", paths=[str(inside.parent)], probability=50, times=20)
    ended = [victim.calls("write", inside) for _ in range(200)]
    assert [victim.calls("write", beside) for _ in range(20)] == [0] * 20
    assert ended.count(FULL) == fault.counters()["injected"] == 20
    assert 20 < 200 - ended[::-1].index(FULL) < 100  # the 20th is about the 40th try
    counters = fault.counters()
    assert counters["held_probability"] + counters["held_times"] == 180


def test_standard_streams_are_no_victims_of_a_path(
    arm: Arm, inside: Path, beside: Path, victim: Caller
) -> None:
    """A shell writes to a file elsewhere, to a pipe, and to a file below the path."""
    script = f"while read -r _; do echo out; echo err >&2; echo in >>{inside}; echo $?; done"
    with beside.open("wb") as errors:
        shell = subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    fault = arm(shell.pid, fault="write", paths=[str(inside.parent)])
    out = shell.communicate(b"1\n2\n", timeout=60)[0].decode().split()
    assert out in (["out", "1"] * 2, ["out", "2"] * 2)
    assert beside.read_text().count("err\n") == 2
    assert fault.counters()["injected"] == 2


def test_a_standard_stream_that_is_a_file_below_the_path_is_meant(
    arm: Arm, inside: Path, tmp_path: Path
) -> None:
    with inside.open("wb") as stream:
        shell = subprocess.Popen(
            ["sh", "-c", "read -r _; echo out 2>/dev/null; exit $?"],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.DEVNULL,
        )
    fault = arm(shell.pid, fault="write", paths=[str(inside.parent)])
    shell.communicate(b"\n", timeout=60)
    assert shell.returncode != 0
    assert fault.counters()["injected"] >= 1
    assert inside.read_bytes() == b""
