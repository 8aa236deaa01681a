"""Commands, control groups and containers: who is named is hit, a neighbour never."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits
from tests.functional.conftest import Arm
from tests.victim import Victim

CONTAINER = "5d1e0b7c" * 8


def fault_of(scope: Scope) -> Fault:
    return Fault(
        name="scoped",
        kind=Kind.SLAB,
        callchain=(Frame("sys_mount"),),
        scope=scope,
        limits=Limits(duration=600),
    )


def test_a_command_is_hit_whether_it_runs_or_is_started_later(
    arm: Arm, bystander: Victim, tmp_path: Path
) -> None:
    program = tmp_path / "chaosvictim"
    program.symlink_to(Path(sys.executable).resolve())
    with Victim(tmp_path, str(program)) as early:
        fault = arm(fault_of(Scope(commands=("chaosvictim",))))
        assert early.does("mount", 2) == [errno.ENOMEM] * 2
        with Victim(tmp_path, str(program)) as late:
            assert late.does("mount", 2) == [errno.ENOMEM] * 2
            assert late.does("forked", 2) == [errno.ENOMEM] * 2
        assert bystander.does("mount", 2) == [0] * 2
        assert fault.counters()["injected"] == 6
        assert list(fault.targets) == [{"command": "chaosvictim"}]
        assert fault.disarm() == []


@pytest.fixture
def slice_(lab: None) -> Iterator[Path]:
    """A cgroup of this test's own; everything below it is taken away after it."""
    top = Path("/sys/fs/cgroup/kubepods.slice")
    top.mkdir()
    yield top
    for directory in sorted(top.rglob("*/"), reverse=True):
        directory.rmdir()
    top.rmdir()


def test_cgroups_and_containers_are_hit_with_all_below_them_and_siblings_never(
    arm: Arm, slice_: Path, tmp_path: Path
) -> None:
    container = slice_ / "kubepods-pod1.slice" / f"cri-containerd-{CONTAINER}.scope"
    service, sibling = slice_ / "service", slice_ / "sibling"
    for directory in (container, service / "below", sibling):
        directory.mkdir(parents=True)
    with Victim(tmp_path) as inside, Victim(tmp_path) as below, Victim(tmp_path) as neighbour:
        move(inside, container)
        move(below, service / "below")
        move(neighbour, sibling)
        scope = Scope(
            cgroups=("/kubepods.slice/service",), containers=(f"containerd://{CONTAINER}",)
        )
        fault = arm(fault_of(scope))
        assert inside.does("mount", 2) == [errno.ENOMEM] * 2
        assert inside.does("forked", 2) == [errno.ENOMEM] * 2
        assert below.does("mount", 1) == [errno.ENOMEM]
        assert neighbour.does("mount", 2) == [0] * 2
        # `docker exec`: a stranger's child that is moved into the container; and a cgroup
        # that the container makes for itself.
        late = service / "late"
        late.mkdir()
        with Victim(tmp_path) as executed:
            assert executed.does("mount", 1) == [0]
            move(executed, late)
            assert executed.does("mount", 1) == [errno.ENOMEM]
            move(executed, sibling)
            assert executed.does("mount", 1) == [0]
        assert fault.counters()["injected"] == 6
        assert fault.disarm() == []


def test_containers_of_a_service_and_inside_containers_are_hit_and_their_neighbours_never(
    arm: Arm, slice_: Path, tmp_path: Path
) -> None:
    """Podman's Quadlet puts a helper beside its container; a node of kind is a container."""
    payload = slice_ / "redis.service" / f"libpod-payload-{CONTAINER}"
    outer, inner = "0a" * 32, "0b" * 32
    node = slice_ / f"docker-{outer}.scope"
    pod = node / "kubelet.slice" / "kubelet-kubepods.slice" / f"cri-containerd-{inner}.scope"
    helper, daemon = slice_ / "redis.service" / "runtime", node / "init.scope"
    for directory in (payload, helper, pod, daemon):
        directory.mkdir(parents=True)
    with (
        Victim(tmp_path) as service,
        Victim(tmp_path) as monitor,
        Victim(tmp_path) as inside,
        Victim(tmp_path) as beside,
    ):
        move(service, payload)
        move(monitor, helper)
        move(inside, pod)
        move(beside, daemon)
        fault = arm(fault_of(Scope(containers=(CONTAINER, f"containerd://{inner[:12]}"))))
        assert service.does("mount", 2) == [errno.ENOMEM] * 2
        assert inside.does("mount", 2) == [errno.ENOMEM] * 2
        assert monitor.does("mount", 1) == beside.does("mount", 1) == [0]
        assert fault.counters()["injected"] == 4
        assert fault.disarm() == []


def test_every_process_of_a_container_is_hit_whatever_it_does(
    arm: Arm, slice_: Path, tmp_path: Path
) -> None:
    """A dry run: nobody lives long without any memory, and every one is to be seen."""
    container, sibling = slice_ / f"cri-containerd-{CONTAINER}.scope", slice_ / "sibling"
    container.mkdir()
    sibling.mkdir()
    with Victim(tmp_path) as inside, Victim(tmp_path) as neighbour:
        move(inside, container)
        move(neighbour, sibling)
        scope = Scope(containers=(f"cri-o://{CONTAINER}",))
        fault = arm(Fault("all", Kind.SLAB, scope, limits=Limits(duration=600), dry_run=True))
        (child,) = inside.does("child")  # forked, and then another program
        assert inside.does("childs", "mount", 1) == [0]
        assert neighbour.does("mount", 1) == [0]
        hit = {process["pid"] for process in fault.counters()["processes"]}
        assert {inside.pid, child} <= hit
        assert neighbour.pid not in hit
        paths = {event["cgroup"] for event in fault.events(256)["events"]}
        assert paths == {f"/kubepods.slice/cri-containerd-{CONTAINER}.scope"}
        assert fault.disarm() == []


def test_a_cgroup_that_is_empty_and_a_container_that_is_gone_are_refused(
    arm: Arm, slice_: Path
) -> None:
    (slice_ / "empty").mkdir()
    with pytest.raises(InvalidFault, match=r"cgroups: '/kubepods.slice/empty' is not"):
        arm(fault_of(Scope(cgroups=("/kubepods.slice/empty",))))
    with pytest.raises(InvalidFault, match="containers: "):
        arm(fault_of(Scope(containers=(CONTAINER,))))


def move(victim: Victim, cgroup: Path) -> None:
    (cgroup / "cgroup.procs").write_text(str(victim.pid))


def test_a_container_that_v1_alone_knows_is_hit_and_a_sibling_never(
    arm: Arm, devices: Path, tmp_path: Path
) -> None:
    container, sibling = devices / "docker" / CONTAINER, devices / "docker" / "sibling"
    container.mkdir(parents=True)
    sibling.mkdir()
    with Victim(tmp_path) as inside, Victim(tmp_path) as neighbour:
        move(inside, container)
        move(neighbour, sibling)
        fault = arm(fault_of(Scope(containers=(CONTAINER,))))
        assert inside.does("mount", 2) == [errno.ENOMEM] * 2
        assert inside.does("forked", 2) == [errno.ENOMEM] * 2
        assert neighbour.does("mount", 2) == [0] * 2
        late = container / "late"
        late.mkdir()
        move(neighbour, late)
        assert neighbour.does("mount", 1) == [errno.ENOMEM]
        move(neighbour, sibling)
        assert neighbour.does("mount", 1) == [0]
        assert fault.counters()["injected"] == 5
        assert fault.disarm() == []
