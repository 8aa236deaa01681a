"""Paths as containers see them: theirs are hit, and nothing of the host or of others."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.backend.launch import agent_python
from chaoskernel.compiler.objects import assigned
from chaoskernel.engine import ArmedFault
from chaoskernel.engine.core import CoreEngine
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.assignment import FAULT_VARIABLE
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.k8s.job import CAPABILITIES
from tests.caller import Caller
from tests.container import Container, TalkingContainer
from tests.stock.test_peers import connected, served
from tests.talker import Talker

TOP = Path("/sys/fs/cgroup/kubepods.slice")
UID = "0c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d"
POD = PodScope("shop", "db-0", UID, "n")
SLICE = TOP / f"kubepods-pod{UID.replace('-', '_')}.slice"
SAME = "/tmp/same"
APP, LOG, AGAIN = (letter * 64 for letter in "abc")


def group(identity: str) -> Path:
    return SLICE / f"cri-containerd-{identity}.scope"


@pytest.fixture(autouse=True)
def groups(lab: None) -> Iterator[None]:
    """What a test makes of control groups goes with it."""
    yield
    for directory in sorted(TOP.rglob("*/"), reverse=True):
        directory.rmdir()
    TOP.rmdir()


@pytest.fixture
def start(lab: None) -> Iterator[list[ArmedFault]]:
    """Faults that are disarmed in the end; nothing may be left."""
    started: list[ArmedFault] = []
    yield started
    for fault in started:
        assert fault.disarm() == []


def arm(started: list[ArmedFault], scope: Scope, **arguments: object) -> ArmedFault:
    given = {"name": "x", "duration": "10m", "fault": "write", "paths": ["/data"], **arguments}
    wanted = assigned(fault_of(scope=scope, **given))
    started.append(
        CoreEngine(wanted.object).arm(wanted.fault, progress=lambda step: print(step, flush=True))
    )
    return started[-1]


def named_pod(container: str) -> PodScope:
    """Return the pod with one of its containers alone."""
    return PodScope("shop", "db-0", UID, "n", (PodContainer("app", f"containerd://{container}"),))


def run(*command: str) -> int:
    return subprocess.run(command, check=False, timeout=60).returncode


def test_a_containers_path_is_its_own_and_the_hosts_of_that_name_is_another(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    with (
        Container(tmp_path / "app", group(APP), data=SAME) as app,
        Container(tmp_path / "log", group(LOG), data=SAME) as other,
        Caller(Path(SAME)) as on_the_host,
    ):
        fault = arm(start, Scope(containers=(APP,)), paths=[SAME])
        # It is in scope, and writes to the host's directory of that name.
        (group(APP) / "cgroup.procs").write_text(str(on_the_host.pid))
        assert app.calls("write") == errno.ENOSPC
        assert other.calls("write") == 0
        assert on_the_host.calls("write") == 0
        assert fault.counters()["injected"] == 1
        assert fault.counters()["places"] == 1


def test_a_link_out_of_the_root_leads_to_nothing_of_the_host(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    host = tmp_path / "host"
    links = {"/absolute": str(host), "/up": "../" * 9 + str(host)[1:], "/magic": "/proc/1/root"}
    with (
        Caller(host) as on_the_host,
        Container(tmp_path / "app", group(APP), links=links) as app,
    ):
        for name in links:
            with pytest.raises(InvalidFault, match=f"'{name}' is not there in container"):
                arm(start, Scope(containers=(APP,)), paths=[name])
        inside = {"/absolute": str(host)}
        with Container(
            tmp_path / "log", group(LOG), links=inside, volumes={str(host): tmp_path / "app"}
        ):
            fault = arm(start, Scope(containers=(LOG,)), paths=["/absolute"])
            (group(LOG) / "cgroup.procs").write_text(str(on_the_host.pid))
            assert on_the_host.calls("write") == 0
            assert fault.counters()["matched"] == 0
        assert app.calls("write") == 0


def test_what_is_mounted_below_and_a_volume_are_seen_as_the_container_does(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    run("mount", "-t", "tmpfs", "none", str(volume))
    with Container(tmp_path / "app", group(APP), volumes={"/srv/deep/disk": volume}) as app:
        fault = arm(start, Scope(containers=(APP,)), paths=["/srv"])
        assert fault.counters()["places"] == 2
        with Caller(volume) as on_the_host:
            assert on_the_host.calls("write") == 0
            (group(APP) / "cgroup.procs").write_text(str(on_the_host.pid))
            assert on_the_host.calls("write") == errno.ENOSPC
        assert app.calls("write") == 0
    run("umount", str(volume))


def test_a_container_of_a_pod_that_is_made_anew_is_followed(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    with (
        Container(tmp_path / "app", group(APP)) as app,
        Container(tmp_path / "log", group(LOG), links={"/other": "data"}) as other,
    ):
        fault = arm(start, Scope(pods=(POD,)), paths=["/data/file"])
        assert [app.calls("write"), other.calls("write")] == [errno.ENOSPC] * 2
        assert fault.counters()["places"] == 2
    fault.follow()
    assert fault.counters()["places"] == 0
    with Container(tmp_path / "again", group(AGAIN)) as again:
        assert again.calls("write") == 0
        fault.follow()
        assert again.calls("write") == errno.ENOSPC
        assert again.calls("mkdir") == 0
        assert fault.counters()["places"] == 1


def test_one_that_has_the_hosts_root_yet_is_looked_at_later(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    """As a runtime's process has, when it is in the control group already."""
    scope = Scope(pods=(POD,))
    group(LOG).mkdir(parents=True)
    with Caller(Path(SAME)) as early:
        (group(LOG) / "cgroup.procs").write_text(str(early.pid))
        with pytest.raises(InvalidFault, match=f"'{SAME}' is not there in pod shop/db-0: none of"):
            arm(start, scope, paths=[SAME])
        with Container(tmp_path / "app", group(APP), data=SAME) as app:
            fault = arm(start, scope, paths=[SAME])
            fault.follow()
            assert early.calls("write") == 0
            assert app.calls("write") == errno.ENOSPC
            assert fault.counters()["containers_without_paths"] == 1


def test_a_path_that_no_container_of_the_pod_has_is_refused(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    named = named_pod(APP)
    with (
        Container(tmp_path / "app", group(APP)),
        Container(tmp_path / "log", group(LOG), links={"/only-log": "data"}) as other,
    ):
        with pytest.raises(InvalidFault, match=r"'/only-log' is not there in pod shop/db-0: No su"):
            arm(start, Scope(pods=(named,)), paths=["/only-log"])
        arm(start, Scope(pods=(POD,)), paths=["/only-log"])
        assert other.calls("write") == errno.ENOSPC


def test_a_volume_of_the_host_is_unmounted_while_a_fault_is_about_it(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    """As a kubelet does when a pod ends; the container has a mount of its own of it."""
    volume = tmp_path / "volume"
    volume.mkdir()
    run("mount", "-t", "tmpfs", "none", str(volume))
    with Container(tmp_path / "app", group(APP), volumes={"/data": volume}) as app:
        fault = arm(start, Scope(pods=(POD,)))
        assert app.calls("write") == errno.ENOSPC
        assert run("umount", str(volume)) == 0
        assert app.calls("write") == errno.ENOSPC
    fault.follow()
    assert fault.counters()["places"] == 0


def test_a_device_is_free_once_its_container_has_gone(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    volume, image = tmp_path / "volume", tmp_path / "image"
    volume.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    assert run("mkfs.ext4", "-q", str(image)) == 0
    assert run("mount", "-o", "loop", str(image), str(volume)) == 0
    device = Path("/sys/fs/ext4")
    known = {each.name for each in device.iterdir()} - {"features"}
    with Container(tmp_path / "app", group(APP), volumes={"/data": volume}) as app:
        fault = arm(start, Scope(pods=(POD,)))
        assert app.calls("write") == errno.ENOSPC
        assert run("umount", str(volume)) == 0
    # The namespace has gone; what keeps the file system in use is the fault alone.
    assert {each.name for each in device.iterdir()} - {"features"} == known
    fault.follow()
    assert not {each.name for each in device.iterdir()} & known


def test_what_comes_from_the_host_by_propagation_is_held_only_where_it_is_named(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    """docs/kubernetes.md says so of hostPath volumes with HostToContainer."""
    top = tmp_path / "top"
    top.mkdir()
    run("mount", "-t", "tmpfs", "none", str(top))
    run("mount", "--make-shared", str(top))
    for name in ("named", "below"):
        (top / name).mkdir()
        run("mount", "-t", "tmpfs", "none", str(top / name))
    with Container(tmp_path / "app", group(APP), volumes={"/srv": top}, slave=True):
        fault = arm(start, Scope(pods=(POD,)), paths=["/srv", "/srv/named"])
        assert fault.counters()["places"] == 2
        assert run("umount", str(top / "below")) == 0
        assert run("umount", str(top / "named")) != 0
    fault.follow()
    assert run("umount", str(top / "named")) == 0
    assert run("umount", str(top)) == 0


def test_what_is_mounted_later_in_a_container_is_hit_once_the_agent_has_looked(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    with (
        Container(tmp_path / "app", group(APP)) as app,
        Container(tmp_path / "log", group(LOG)) as other,
    ):
        fault = arm(start, Scope(containers=(APP,)), fault="create")
        for container in (app, other):
            container.mount("/data/later")
        file = Path("/data/later/file")
        fault.follow()
        assert app.calls("mkdir", file) == errno.ENOSPC
        assert other.calls("mkdir", file) == 0
        assert fault.counters()["places"] == 2
    fault.follow()
    assert fault.counters()["places"] == 0


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_unix_peer_is_the_one_that_the_pod_has_at_the_path(
    kind: socket.SocketKind, start: list[ArmedFault], tmp_path: Path
) -> None:
    ours, hosts = tmp_path / "volume", Path("/run/chaos-shop")
    for directory in (ours, hosts):
        directory.mkdir()
    named = f"{hosts}/s"
    with (
        served("AF_UNIX", kind.name, f"{ours}/s"),
        served("AF_UNIX", kind.name, f"{ours}/t"),
        served("AF_UNIX", kind.name, named),
        TalkingContainer(tmp_path / "app", group(APP), {str(hosts): ours}) as app,
        TalkingContainer(tmp_path / "log", group(LOG), {str(hosts): ours}) as other,
        Talker(tmp_path / "host") as on_the_host,
    ):
        peers = {"fault": "connect", "peers": [f"unix:{named}"], "paths": []}
        fault = arm(start, Scope(pods=(named_pod(APP),)), **peers)
        assert connected(app, "AF_UNIX", kind.name, named) == errno.ECONNREFUSED
        assert connected(app, "AF_UNIX", kind.name, f"{hosts}/t") == 0
        assert connected(other, "AF_UNIX", kind.name, named) == 0
        assert connected(on_the_host, "AF_UNIX", kind.name, named) == 0
        assert fault.counters()["pods"] == [{"pod": "shop/db-0", "injected": 1}]
        if kind is socket.SOCK_STREAM:  # the host's own of that name is another one
            (group(APP) / "cgroup.procs").write_text(str(on_the_host.pid))
            assert connected(on_the_host, "AF_UNIX", kind.name, named) == 0
            there = connected(on_the_host, "AF_UNIX", kind.name, f"{ours}/s")
            assert there == errno.ECONNREFUSED
        missing = r"^peers: '/run/nothing' is not there in pod shop/db-0: No such file"
        with pytest.raises(InvalidFault, match=missing):
            arm(start, Scope(pods=(POD,)), **{**peers, "peers": ["unix:/run/nothing"]})
    shutil.rmtree(hosts)


def test_a_fifo_and_a_device_hold_nobody_up(start: list[ArmedFault], tmp_path: Path) -> None:
    with Container(tmp_path / "app", group(APP)) as app:
        os.mkfifo(f"/proc/{app.pid}/root/tmp/fifo")
        os.mknod(f"/proc/{app.pid}/root/tmp/device", 0o20600, os.makedev(1, 11))
        fault = arm(start, Scope(containers=(APP,)), paths=["/tmp/fifo", "/tmp/device"])
        assert fault.counters()["places"] == 2


def test_a_file_system_that_does_not_answer_holds_nobody_up(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    run("modprobe", "fuse")
    with (
        Container(tmp_path / "app", group(APP), links={"/srv/x": "/data"}) as app,
        Container(tmp_path / "log", group(LOG), silent="/srv"),
    ):
        began = time.monotonic()
        with pytest.raises(InvalidFault, match="container b{64}: a file system does not answer"):
            arm(start, Scope(containers=(LOG,)), paths=["/srv/x"])
        fault = arm(start, Scope(pods=(POD,)), paths=["/srv/x"])
        for _ in range(3):
            fault.follow()
        assert time.monotonic() - began < 60
        assert app.calls("write") == errno.ENOSPC
        assert fault.counters()["containers_without_paths"] == 1


def test_an_agent_needs_no_more_than_the_capabilities_of_its_job(
    start: list[ArmedFault], tmp_path: Path
) -> None:
    allowed = ",".join(f"+{capability.lower()}" for capability in CAPABILITIES)
    fault = fault_of(name="x", fault="write", paths=["/data"], scope=Scope(pods=(POD,)))
    start_agent = f"import runpy, sys; sys.path.append({str(Path.cwd())!r}); "
    start_agent += "runpy.run_module('chaoskernel.agent', run_name='__main__')"
    with Container(tmp_path / "app", group(APP)) as app:
        with subprocess.Popen(
            ["setpriv", f"--bounding-set=-all,{allowed}", agent_python(), "-I", "-c", start_agent],
            env={**os.environ, FAULT_VARIABLE: json.dumps(fault.to_json())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as agent:
            assert agent.stdout
            for line in agent.stdout:
                message = json.loads(line)
                assert message["type"] != "error", message
                if message["type"] == "armed":
                    assert app.calls("write") == errno.ENOSPC
                if message["type"] == "counters" and message["counters"]["injected"] == 1:
                    agent.terminate()
        assert (message["type"], message["reason"]) == ("disarmed", "SIGTERM")
        assert message["counters"]["pods"] == [{"pod": "shop/db-0", "injected": 1}]
        assert (message["counters"]["places"], message["leftovers"]) == (1, [])
        assert app.calls("write") == 0
