"""Pods: their containers are hit, anew when they restart, and each pod is counted."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.backend.launch import agent_python
from chaoskernel.fault.assignment import FAULT_VARIABLE, Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits
from chaoskernel.k8s.job import CAPABILITIES
from tests.functional.conftest import Arm
from tests.victim import Victim

UIDS = ("0c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d", "1c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d")
APP, LOG, AGAIN, NEW = (letter * 64 for letter in "abcd")


def fault_of(*pods: PodScope) -> Fault:
    return Fault(
        name="pods",
        kind=Kind.SLAB,
        callchain=(Frame("sys_mount"),),
        scope=Scope(pods=pods),
        limits=Limits(duration=600),
    )


@pytest.fixture
def pods(lab: None) -> Iterator[list[Path]]:
    """The control groups of two pods, as systemd's driver names them."""
    top = Path("/sys/fs/cgroup/kubepods.slice")
    names = [f"kubepods-pod{uid.replace('-', '_')}.slice" for uid in UIDS]
    for name in names:
        (top / name).mkdir(parents=True)
    yield [top / name for name in names]
    for directory in sorted(top.rglob("*/"), reverse=True):
        directory.rmdir()
    top.rmdir()


def contain(victim: Victim, pod: Path, identity: str) -> None:
    place = pod / f"cri-containerd-{identity}.scope"
    place.mkdir(exist_ok=True)
    (place / "cgroup.procs").write_text(str(victim.pid))


def program(directory: Path, uid: str, name: str) -> str:
    """Return a Python that sees a termination log, where a kubelet has it."""
    log = directory / "pods" / uid / "containers" / name / "0123abcd"
    log.mkdir(parents=True)
    script = directory / f"{name}-{uid}"
    script.write_text(
        f"#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {log} {log} && "
        f'exec {sys.executable} "$@"\' sh "$@"\n'
    )
    script.chmod(0o755)
    return str(script)


def test_a_container_is_hit_again_when_it_restarts_and_its_neighbours_never(
    arm: Arm, pods: list[Path], tmp_path: Path
) -> None:
    app, log = program(tmp_path, UIDS[0], "app"), program(tmp_path, UIDS[0], "log")
    scope = PodScope("shop", "db-0", UIDS[0], "n", (PodContainer("app", f"containerd://{APP}"),))
    with Victim(tmp_path, app) as first, Victim(tmp_path, log) as sidecar:
        contain(first, pods[0], APP)
        contain(sidecar, pods[0], LOG)
        fault = arm(fault_of(scope))
        assert first.does("mount", 2) == [errno.ENOMEM] * 2
        assert first.does("forked", 1) == [errno.ENOMEM]
        assert sidecar.does("mount", 2) == [0] * 2
        with Victim(tmp_path, app) as again, Victim(tmp_path) as neighbour:
            contain(again, pods[0], AGAIN)
            contain(neighbour, pods[1], NEW)
            assert again.does("mount", 1) == [0]
            fault.follow()
            assert again.does("mount", 2) == [errno.ENOMEM] * 2
            assert neighbour.does("mount", 2) == [0] * 2
            assert sidecar.does("mount", 2) == [0] * 2
        assert fault.counters()["pods"] == [{"pod": "shop/db-0", "injected": 5}]
        assert list(fault.targets) == [{"pod": "shop/db-0", "containers": ["app"]}]
        assert fault.disarm() == []


def test_all_containers_are_hit_also_new_ones_and_each_pod_is_counted(
    arm: Arm, pods: list[Path], tmp_path: Path
) -> None:
    scopes = [PodScope("shop", f"db-{n}", uid) for n, uid in enumerate(UIDS)]
    with Victim(tmp_path) as first, Victim(tmp_path) as second, Victim(tmp_path) as late:
        contain(first, pods[0], APP)
        contain(second, pods[1], LOG)
        fault = arm(fault_of(*scopes))
        assert first.does("mount", 3) == [errno.ENOMEM] * 3
        assert second.does("mount", 1) == [errno.ENOMEM]
        assert late.does("mount", 1) == [0]
        contain(late, pods[1], NEW)
        assert late.does("mount", 1) == [errno.ENOMEM]
        assert fault.counters()["pods"] == [
            {"pod": "shop/db-0", "injected": 3},
            {"pod": "shop/db-1", "injected": 2},
        ]
        assert fault.disarm() == []


def test_a_pod_that_v1_alone_knows_is_hit_and_another_one_never(
    arm: Arm, devices: Path, tmp_path: Path
) -> None:
    app, other = (devices / f"node2/kubepods/burstable/pod{uid}" / APP for uid in UIDS)
    for place in (app, other):
        place.mkdir(parents=True)
    with Victim(tmp_path) as inside, Victim(tmp_path) as neighbour:
        (app / "cgroup.procs").write_text(str(inside.pid))
        (other / "cgroup.procs").write_text(str(neighbour.pid))
        scope = PodScope("shop", "db-0", UIDS[0], "n", (PodContainer("app", f"cri-o://{APP}"),))
        fault = arm(fault_of(scope))
        assert inside.does("mount", 2) == [errno.ENOMEM] * 2
        assert neighbour.does("mount", 2) == [0] * 2
        assert fault.counters()["pods"] == [{"pod": "shop/db-0", "injected": 2}]
        assert fault.disarm() == []


def test_an_agent_needs_no_more_than_the_capabilities_of_its_job(
    lab: None, pods: list[Path], tmp_path: Path
) -> None:
    allowed = ",".join(f"+{capability.lower()}" for capability in CAPABILITIES)
    fault = fault_of(PodScope("shop", "db-0", UIDS[0]))
    start = f"import runpy, sys; sys.path.append({str(Path.cwd())!r}); "
    start += "runpy.run_module('chaoskernel.agent', run_name='__main__')"
    with Victim(tmp_path) as victim:
        contain(victim, pods[0], APP)
        agent = subprocess.Popen(
            ["setpriv", f"--bounding-set=-all,{allowed}", agent_python(), "-I", "-c", start],
            env={**os.environ, FAULT_VARIABLE: json.dumps(Assignment(fault).to_json())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert agent.stdout
        try:
            kinds: list[str] = []
            for line in agent.stdout:
                message = json.loads(line)
                kinds.append(message["type"])
                assert message["type"] != "error", message
                if message["type"] == "armed":
                    assert victim.does("mount", 2) == [errno.ENOMEM] * 2
                if message["type"] == "counters" and message["counters"]["injected"] == 2:
                    agent.terminate()
            assert (message["type"], message["reason"]) == ("disarmed", "SIGTERM")
            assert message["counters"]["pods"] == [{"pod": "shop/db-0", "injected": 2}]
            assert message["leftovers"] == []
            assert "counters" in kinds
            assert victim.does("mount", 1) == [0]
        finally:
            agent.kill()
            agent.communicate()
