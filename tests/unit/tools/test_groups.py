"""Control groups of a test cluster, on a tree of plain directories."""

from __future__ import annotations

from pathlib import Path

from chaoskernel import process
from tools.cluster import groups
from tools.cluster.groups import Hierarchy

MOUNTS = """\
24 30 0:22 / /sys rw - sysfs sysfs rw
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime shared:9 - cgroup cgroup rw,cpuset
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""


def test_hierarchies_are_those_that_are_mounted_with_what_tells_them_apart(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    top = Path("/sys/fs/cgroup")
    assert groups.hierarchies(mounts) == [
        Hierarchy(top / "cpuset", "cgroup", "cpuset"),
        Hierarchy(top / "systemd", "cgroup", "xattr,name=systemd"),
        Hierarchy(top / "unified", "cgroup2", ""),
    ]


def test_a_command_joins_each_group_before_it_runs(tmp_path: Path) -> None:
    places = [tmp_path / "memory", tmp_path / "pids"]
    for place in places:
        place.mkdir()
    command = [*groups.joining(places), "sh", "-c", "echo $$ $1", "sh", "a b"]
    pid, *rest = process.run(command, seconds=10).stdout.split(" ", 1)
    assert rest == ["a b\n"]
    assert [(place / "cgroup.procs").read_text() for place in places] == [f"{pid}\n"] * 2
