"""A pod's control groups, in the layouts of kubelets and runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.kernel import podgroups

UID = "0c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d"
OTHER = "1c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d"
APP, LOG, PAUSE, AGAIN = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)


def systemd(uid: str, prefix: str = "cri-containerd") -> tuple[str, str]:
    name = f"kubepods-burstable-pod{uid.replace('-', '_')}.slice"
    return f"kubepods.slice/kubepods-burstable.slice/{name}", f"{prefix}-{{}}.scope"


LAYOUTS = {
    "containerd, cgroupfs": (f"kubepods/burstable/pod{UID}", "{}"),
    "containerd, cgroupfs, guaranteed": (f"kubepods/pod{UID}", "{}"),
    "containerd, cgroupfs, below another root": (f"node2/kubepods/besteffort/pod{UID}", "{}"),
    "containerd, systemd": systemd(UID),
    "cri-o, systemd": systemd(UID, "crio"),
    "cri-o, cgroupfs": (f"kubepods/burstable/pod{UID}", "crio-{}"),
}


class Node:
    """A hierarchy of control groups, and a /proc that tells of the processes in them."""

    def __init__(self, root: Path) -> None:
        self.root = root / "cgroup"
        self.proc = root / "proc"
        self.names = podgroups.ContainerNames(self.proc)
        self.root.mkdir()
        self._pid = 100

    def run(self, path: str, name: str = "", uid: str = UID) -> str:
        """Run a process in a control group; it is in a container of that name."""
        self._pid += 1
        directory = self.root / path
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.procs").write_text(f"{self._pid}\n")
        (self.proc / str(self._pid)).mkdir(parents=True)
        mounts = f"812 5 8:1 /var/lib/kubelet/pods/{uid}/containers/{name}/01ab /dev/t rw - ext4\n"
        (self.proc / str(self._pid) / "mountinfo").write_text(mounts if name else "1 0 / / rw\n")
        return f"/{path}"

    def groups(self, *containers: PodContainer, uid: str = UID) -> list[str]:
        pod = PodScope("shop", "db-0", uid, "n", containers)
        found = podgroups.groups_of(pod, self.root, self.names)
        return sorted(group.path for group in found)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_container_is_found_by_its_id_and_neighbours_are_not(node: Node, layout: str) -> None:
    pod, container = LAYOUTS[layout]
    app = node.run(f"{pod}/{container.format(APP)}")
    node.run(f"{pod}/{container.format(LOG)}", "log")
    node.run(f"{pod.replace(UID, OTHER)}x/{container.format(AGAIN)}", "app", OTHER)
    assert node.groups(PodContainer("app", f"containerd://{APP}")) == [app]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_that_was_made_anew_is_found_by_its_name(node: Node, layout: str) -> None:
    pod, container = LAYOUTS[layout]
    node.run(f"{pod}/{container.format(PAUSE)}")
    node.run(f"{pod}/{container.format(LOG)}", "log")
    again = node.run(f"{pod}/{container.format(AGAIN)}", "app")
    assert node.groups(PodContainer("app", f"cri-o://{APP}")) == [again]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_containers_are_the_pods_own_group(node: Node, layout: str) -> None:
    pod, container = LAYOUTS[layout]
    node.run(f"{pod}/{container.format(APP)}", "app")
    assert node.groups() == [f"/{pod}"]


def test_a_runtime_with_the_other_driver_than_its_kubelet(node: Node) -> None:
    top = f"kubepods-burstable-pod{UID.replace('-', '_')}.slice"
    slices = f"kubepods.slice/kubepods-burstable.slice/{top}"
    (node.root / slices).mkdir(parents=True)
    app = node.run(f"system.slice/containerd.service/{top}:cri-containerd:{APP}", "app")
    log = node.run(f"system.slice/containerd.service/{top}:cri-containerd:{LOG}", "log")
    assert node.groups(PodContainer("app", APP)) == [app]
    assert node.groups(PodContainer("app")) == [app]
    assert node.groups() == sorted([f"/{slices}", app, log])


def test_a_container_with_groups_of_its_own_below_it(node: Node) -> None:
    pod, container = LAYOUTS["cri-o, systemd"]
    place = f"{pod}/{container.format(AGAIN)}"
    node.run(f"{place}/container", "app")
    assert node.groups(PodContainer("app")) == [f"/{place}"]


def test_the_name_of_another_pods_container_is_not_believed(node: Node) -> None:
    pod, container = LAYOUTS["containerd, systemd"]
    node.run(f"{pod}/{container.format(APP)}", "app", uid=OTHER)
    assert node.groups(PodContainer("app")) == []


def test_a_static_pod_has_a_hash_for_uid(node: Node) -> None:
    uid = "f" * 32
    app = node.run(f"kubepods/burstable/pod{uid}/{APP}")
    assert node.groups(PodContainer("app", APP), uid=uid) == [app]


def test_a_pod_that_is_not_here_is_refused_by_name(node: Node) -> None:
    pod = PodScope("shop", "db-0", UID, "n", (PodContainer("app"),))
    with pytest.raises(InvalidFault, match="'shop/db-0' is not a pod with app running on this"):
        podgroups.require([pod], node.root, proc=node.proc)
    node.run(f"kubepods/pod{UID}/{APP}", "app")
    podgroups.require([pod], node.root, proc=node.proc)


def crowd(node: Node, path: str, processes: int, named: int | None, name: str = "") -> None:
    """Fill a container with processes, one of which has the mounts that tell its name."""
    node.run(path)
    pids = [str(1000 + number) for number in range(processes)]
    (node.root / path / "cgroup.procs").write_text("\n".join(pids))
    for number, pid in enumerate(pids):
        mounts = f"812 5 8:1 /pods/{UID}/containers/{name}/01 /t rw - ext4\n"
        (node.proc / pid).mkdir()
        (node.proc / pid / "mountinfo").write_text(mounts if number == named else "1 0 / / rw\n")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The processes whose mounts are read."""
    read: list[str] = []
    look = podgroups._name_of

    def counted(pid: str, uid: str, proc: Path) -> str:
        read.append(pid)
        return look(pid, uid, proc)

    monkeypatch.setattr(podgroups, "_name_of", counted)
    return read


def test_a_sidecar_with_many_processes_is_asked_once(node: Node, asked: list[str]) -> None:
    pod, container = LAYOUTS["containerd, systemd"]
    crowd(node, f"{pod}/{container.format(LOG)}", 2000, 0, "log")
    for _ in range(60):
        assert node.groups(PodContainer("app")) == []
    assert len(asked) == 1


def test_one_that_does_not_tell_its_name_is_asked_a_little_each_time(
    node: Node, asked: list[str]
) -> None:
    pod, container = LAYOUTS["containerd, systemd"]
    crowd(node, f"{pod}/{container.format(PAUSE)}", 2000, None)
    for _ in range(60):
        assert node.groups(PodContainer("app")) == []
    assert len(asked) == 60 * 4
    assert len(set(asked)) == 60 * 4


def test_a_container_is_found_though_most_of_its_processes_have_other_mounts(node: Node) -> None:
    pod, container = LAYOUTS["containerd, systemd"]
    crowd(node, f"{pod}/{container.format(AGAIN)}", 30, 29, "app")
    pods = [PodScope("shop", "db-0", UID, "n", (PodContainer("app"),))]
    podgroups.require(pods, node.root, proc=node.proc)
    looks = [node.groups(PodContainer("app")) for _ in range(10)]
    assert looks[-1] == [f"/{pod}/{container.format(AGAIN)}"]


def test_a_container_that_was_just_made_is_found_once_it_has_its_mounts(node: Node) -> None:
    pod, container = LAYOUTS["containerd, systemd"]
    place = f"{pod}/{container.format(AGAIN)}"
    crowd(node, place, 1, None)
    assert node.groups(PodContainer("app")) == []
    mounts = f"812 5 8:1 /pods/{UID}/containers/app/01 /t rw - ext4\n"
    (node.proc / "1000" / "mountinfo").write_text(mounts)
    assert node.groups(PodContainer("app")) == [f"/{place}"]
