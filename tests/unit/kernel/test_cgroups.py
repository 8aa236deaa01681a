"""Control groups and containers, in the layouts that hosts have."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.kernel import cgroups

ID = "0123456789ab" + "c" * 52
OTHER = "0123456789ab" + "d" * 52


class Host:
    """A tree like that of a cgroup file system, and a /proc that tells of it."""

    def __init__(self, root: Path, mount: str = "cgroup") -> None:
        self.tree = root / mount
        self.tree.mkdir(parents=True)
        self.proc = root / "proc"
        (self.proc / "self").mkdir(parents=True)
        self.mounts(f"cgroup2 {self.tree} cgroup2 rw 0 0\n")
        (self.proc / "cgroups").write_text("#subsys_name\thierarchy\nmemory\t7\t9\t1\n")
        self.own("/user.slice/shell")

    def mounts(self, text: str) -> None:
        (self.proc / "self/mounts").write_text(f"proc /proc proc rw 0 0\n{text}")

    def own(self, path: str) -> None:
        (self.proc / "self/cgroup").write_text(f"12:memory:/elsewhere\n0::{path}\n")

    def make(self, path: str, *, populated: bool = True) -> Path:
        directory = self.tree / path
        directory.mkdir(parents=True)
        (directory / "cgroup.events").write_text(f"populated {int(populated)}\nfrozen 0\n")
        return directory

    def scoped(self, *paths: str, containers: tuple[str, ...] = ()) -> list[str]:
        _, found = cgroups.scoped(paths, containers, proc=self.proc)
        return [group.path for group in found]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_cgroup_is_named_within_the_hierarchy_or_in_the_file_system(host: Host) -> None:
    directory = host.make("a.slice/b.service")
    assert host.scoped("/a.slice/b.service", str(directory)) == ["/a.slice/b.service"] * 2


def test_it_comes_with_all_that_lie_below_it(host: Host) -> None:
    top = host.make("a.slice")
    below = [host.make("a.slice/b"), host.make("a.slice/b/c")]
    host.make("other.slice")
    _, (group,) = cgroups.scoped(["/a.slice"], [], proc=host.proc)
    assert cgroups.with_descendants(group) == {path.stat().st_ino for path in (top, *below)}


def test_a_hybrid_hosts_unified_hierarchy_is_found(tmp_path: Path) -> None:
    host = Host(tmp_path, "unified")
    host.mounts(
        f"cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 {host.tree} cgroup2 rw 0 0\n"
    )
    host.make("a.slice")
    assert host.scoped("/a.slice") == ["/a.slice"]


def test_a_container_of_a_hybrid_host_may_be_in_the_hierarchies_of_v1_alone(host: Host) -> None:
    first = Host(host.tree.parent / "v1", "memory")
    (first.tree / f"docker/{ID}/inner").mkdir(parents=True)
    (first.tree / f"docker/{ID}/inner/cgroup.procs").write_text("812\n")
    host.mounts(
        f"cgroup2 {host.tree} cgroup2 rw 0 0\n"
        f"cgroup {first.tree} cgroup rw,nosuid,memory 0 0\n"
        "cgroup /nowhere cgroup rw,xattr,name=systemd 0 0\n"
    )
    hierarchy, (group,) = cgroups.scoped([], [ID], proc=host.proc)
    assert hierarchy == cgroups.Hierarchy(first.tree, "memory", 7)
    assert group.path == f"/docker/{ID}"
    host.make(f"docker/{ID}")
    hierarchy, _ = cgroups.scoped([], [ID], proc=host.proc)
    assert hierarchy == cgroups.Hierarchy(host.tree)


def test_the_experiments_own_cgroup_is_looked_up_in_the_same_hierarchy(host: Host) -> None:
    (host.tree / "elsewhere").mkdir()
    (host.tree / "elsewhere/cgroup.procs").write_text("1\n")
    host.mounts(f"cgroup {host.tree} cgroup rw,memory 0 0\n")
    with pytest.raises(InvalidFault, match="the experiment itself runs in it"):
        host.scoped("/elsewhere")


def test_a_host_without_any_hierarchy_is_unsupported(host: Host) -> None:
    host.mounts("cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n")
    with pytest.raises(UnsupportedKernel, match="no cgroup hierarchy; `mount -t cgroup2"):
        host.scoped("/a.slice")


def test_paths_are_found_by_ids(host: Host) -> None:
    place = host.make("a.slice/b")
    ids = {host.tree.stat().st_ino: "/", place.stat().st_ino: "/a.slice/b"}
    assert cgroups.paths_of({*ids, 1}, proc=host.proc) == ids


def test_nothing_is_asked_of_a_host_whose_cgroups_are_not_named(tmp_path: Path) -> None:
    assert cgroups.scoped([], [], proc=tmp_path) == (None, [])


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/", "cgroups: '/' is not below the root; system_wide: true hits every process"),
        ("/a.slice/../b", "cgroups: '/a.slice/../b' is not a path without ..; write it in full"),
        ("/a.slise", "cgroups: '/a.slise' is not a control group below .*; near: /a.slice"),
        ("/empty", "cgroups: '/empty' is not a control group with a process in it; start .*"),
        ("/user.slice", "cgroups: '/user.slice' is not allowed: the experiment itself runs in it"),
        ("/user.slice/shell", "cgroups: .* is not allowed: the experiment itself runs in it; run"),
    ],
)
def test_a_cgroup_that_cannot_be_meant_is_refused(host: Host, path: str, line: str) -> None:
    host.make("a.slice")
    host.make("empty", populated=False)
    host.make("user.slice")
    host.make("user.slice/shell")
    with pytest.raises(InvalidFault, match=f"^{line}"):
        host.scoped(path)


POD = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod7.slice"


@pytest.mark.parametrize(
    "given", [ID, f"containerd://{ID}", f"cri-o://{ID}", f"docker://{ID[:20]}"]
)
@pytest.mark.parametrize(
    "place",
    [
        f"{POD}/cri-containerd-{ID}.scope",
        f"{POD}/crio-{ID}.scope",
        f"{POD}/docker-{ID}.scope",
        f"system.slice/docker-{ID}.scope",
        f"machine.slice/libpod-{ID}.scope",
        f"kubepods/burstable/pod7/{ID}",
        f"kubepods/burstable/pod7/crio-{ID}",
        f"docker/{ID}",
        f"libpod_parent/libpod-{ID}",
        f"system.slice/redis.service/libpod-payload-{ID}",
        f"user.slice/user-1000.slice/user@1000.service/app.slice/redis.service/libpod-payload-{ID}",
        f"docker/{OTHER}/kubelet/kubepods/burstable/pod7/{ID}",
        f"system.slice/docker-{OTHER}.scope/kubelet.slice/{POD}/cri-containerd-{ID}.scope",
        f"docker/{OTHER}/docker/{ID}",
        f"lxc.payload.web/docker/{ID}",
    ],
)
def test_a_container_is_found_wherever_its_runtime_puts_it(
    host: Host, place: str, given: str
) -> None:
    host.make(place)
    host.make(f"{place}/inner")
    host.make(f"machine.slice/libpod-conmon-{ID}.scope")
    host.make(f"{Path(place).parent}/runtime")
    assert host.scoped(containers=(given,)) == [f"/{place}"]


def test_of_a_container_that_appears_inside_itself_the_outer_group_is_meant(host: Host) -> None:
    host.make(f"docker/{ID}")
    host.make(f"docker/{ID}/system.slice/docker/{ID}")
    assert host.scoped(containers=(ID,)) == [f"/docker/{ID}"]


def test_an_outer_container_is_found_beside_those_inside_it(host: Host) -> None:
    host.make(f"docker/{OTHER}")
    host.make(f"docker/{OTHER}/kubelet/kubepods/besteffort/pod7/{ID}")
    assert host.scoped(containers=(OTHER, ID)) == [
        f"/docker/{OTHER}",
        f"/docker/{OTHER}/kubelet/kubepods/besteffort/pod7/{ID}",
    ]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("redis-1", "default/redis-1"),
        ("web", "lxc.payload.web"),
        ("lxc.payload.web", "lxc.payload.web"),
        ("web", "machine.slice/machine-web.scope"),
        (ID, f"system.slice/balena-{ID}.scope"),
    ],
)
def test_one_that_a_name_alone_tells_is_proposed_by_its_path(
    host: Host, name: str, place: str
) -> None:
    host.make(place)
    host.make(f"machine.slice/libpod-conmon-{name}.scope")
    host.make(f"machine.slice/\x1b[2J-{name}")
    with pytest.raises(InvalidFault) as refused:
        host.scoped(containers=(name,))
    assert refused.value.hint == f"name its control group: cgroups (--cgroup) /{place}"


@pytest.mark.parametrize("name", ["redis-1", "/", "..", "f" * 64])
def test_the_refusal_of_what_is_not_found_names_the_way_by_path(host: Host, name: str) -> None:
    host.make("a.slice")
    with pytest.raises(InvalidFault, match=r"cgroups \(--cgroup\)"):
        host.scoped(containers=(name,))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("web", "containers: 'web' is not a container's id of 12 to 64 hexadecimal digits; .*"),
        (ID[:11], "containers: .* is not a container's id of 12 to 64 hexadecimal digits; .*"),
        ("f" * 64, "containers: .* is not a container of this host; is it running still.*"),
        (ID[:12], f"containers: .* one container's id only; it is that of {ID}, {OTHER}"),
        ("e" * 64, "containers: .* is not a control group with a process in it; .*"),
    ],
)
def test_a_container_that_cannot_be_meant_is_refused(host: Host, given: str, line: str) -> None:
    host.make(f"docker/{ID}")
    host.make(f"docker/{OTHER}")
    host.make(f"docker/{'e' * 64}", populated=False)
    with pytest.raises(InvalidFault, match=f"^{line}"):
        host.scoped(containers=(given,))


def test_a_mount_at_a_place_with_blanks_is_found(tmp_path: Path) -> None:
    host = Host(tmp_path, "c group")
    host.mounts(f"cgroup2 {str(host.tree).replace(' ', chr(92) + '040')} cgroup2 rw 0 0\n")
    host.make("a.slice")
    assert host.scoped("/a.slice") == ["/a.slice"]


@pytest.mark.parametrize("blank", ["\u2003", "\u00a0"])
@pytest.mark.parametrize("end", ["\r", "\f", "\x1c", "\x85", "\u2028"])
def test_a_mount_that_a_user_has_named_is_one_mount(host: Host, end: str, blank: str) -> None:
    """FUSE mounts are users' to make: the kernel escapes no blanks and line ends but its own."""
    fake = host.proc.parent / "fake"
    (fake / "a.slice").mkdir(parents=True)
    (fake / "a.slice/cgroup.events").write_text("populated 1\n")
    evil = end + blank.join(("", "x", str(fake), "cgroup2", "rw", "0", "0")) + end
    host.mounts(f"sshfs /home/u/{evil} fuse rw 0 0\ncgroup2 {host.tree} cgroup2 rw 0 0\n")
    assert [each.directory for each in cgroups.hierarchies(host.proc)] == [host.tree]


def test_names_of_mounts_and_of_our_own_group_may_be_any_bytes(host: Host) -> None:
    host.make("a.slice")
    mounts = host.proc / "self/mounts"
    mounts.write_bytes(b"sshfs /home/\xff\x85 fuse rw 0 0\nshort\n\n" + mounts.read_bytes())
    (host.proc / "self/cgroup").write_bytes(b"\nx\n0::/user.slice/\xff\n")
    assert host.scoped("/a.slice") == ["/a.slice"]
