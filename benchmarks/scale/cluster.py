"""A real control plane, whose nodes are all one stand-in; see kubelet.py."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.scale import documents
from chaoskernel import process
from chaoskernel.errors import LabError, TimeLimit
from chaoskernel.lab.progress import Progress
from tools.cluster import source, spaces
from tools.cluster.control import ADMINISTRATORS, ControlPlane

_PORT = 10250
_CALM_SECONDS = 120.0
_MEASURE_SECONDS = 600.0
_LOOK_SECONDS = 0.2

CALM = ("--controllers=*,-nodelifecycle",)
"""Flags of the controller-manager: nobody reports for the nodes, and none misses it."""

UNLIMITED = (*CALM, "--kube-api-qps=1000", "--kube-api-burst=1000")
"""As shipped, a controller's own limit of 20 requests a second is all that would be seen."""


class Cluster:
    """What measurements are made on."""

    def __init__(self, plane: ControlPlane, kubelets: subprocess.Popen[str]) -> None:
        from kubernetes import client, config  # noqa: PLC0415

        settings = client.Configuration()
        config.load_kube_config(str(plane.kubeconfig), client_configuration=settings)
        api = client.ApiClient(settings)
        self._plane = plane
        self._kubelets = kubelets
        self._core, self._batch = client.CoreV1Api(api), client.BatchV1Api(api)

    def make_namespaces(self) -> None:
        """Make those of the pods and the Jobs, and wait for their accounts."""
        for name in (documents.TARGETS, documents.JOBS):
            self._core.create_namespace({"metadata": {"name": name}})
        for name in (documents.TARGETS, documents.JOBS):
            # Without an account of that name no pod can be made.
            ask = functools.partial(self._core.list_namespaced_service_account, name)
            _await(ask, bool, f"namespace {name} has no account")

    def register(self, nodes: int, tell: Callable[[int], None]) -> None:
        """Have that many nodes, with their pods.

        :param tell: called with how many there are, for each that is new.
        """
        assert self._kubelets.stdin
        self._kubelets.stdin.write(json.dumps({"nodes": nodes}) + "\n")
        self._kubelets.stdin.flush()
        while (said := _said(self._kubelets)).get("nodes") != nodes:
            tell(said["made"])

    def measure(self, contender: str, nodes: int) -> Mapping[str, Any]:
        """Return what a contender took, in a process of its own, on a cluster that is calm.

        :raises CommandFailed: it did not do what is measured.
        """
        self._await_calm()
        command = [sys.executable, "-m", "benchmarks.scale.contenders", contender, str(nodes)]
        environment = {**os.environ, "KUBECONFIG": str(self._plane.kubeconfig)}
        done = process.run(command, seconds=_MEASURE_SECONDS, env=environment)
        found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def _await_calm(self) -> None:
        for kind in (self._batch.list_namespaced_job, self._core.list_namespaced_pod):
            ask = functools.partial(kind, documents.JOBS, limit=1)
            _await(ask, operator.not_, f"namespace {documents.JOBS} is not empty")


@contextlib.contextmanager
def running(progress: Progress, controller_options: Sequence[str]) -> Iterator[Cluster]:
    """Bring a cluster without nodes up, in namespaces that are its own already."""
    programs = source.binaries(progress)
    plane = ControlPlane(
        spaces.STATE,
        programs,
        scheduler=False,
        controller_options=controller_options,
        progress=progress,
    )
    with plane, _kubelets(plane) as kubelets:
        cluster = Cluster(plane, kubelets)
        cluster.make_namespaces()
        yield cluster


@contextlib.contextmanager
def _kubelets(plane: ControlPlane) -> Iterator[subprocess.Popen[str]]:
    own = plane.authority.issue("kubelets", groups=[ADMINISTRATORS])
    serving = plane.authority.issue("nodes", hosts=[plane.address])
    options = {
        "server": plane.url,
        "authority": str(plane.authority.pair.certificate),
        "certificate": str(own.certificate),
        "key": str(own.key),
        "serving_certificate": str(serving.certificate),
        "serving_key": str(serving.key),
        "address": plane.address,
        "port": _PORT,
    }
    command = [sys.executable, "-m", "benchmarks.scale.kubelet", json.dumps(options)]
    pipe = subprocess.PIPE
    with process.spawn(command, stdin=pipe, stdout=pipe) as kubelets:
        _said(kubelets)
        yield kubelets


def _said(kubelets: subprocess.Popen[str]) -> Mapping[str, Any]:
    assert kubelets.stdout
    line = kubelets.stdout.readline()
    if not line:
        raise LabError("the kubelets' stand-in has ended", hint="what it printed tells why")
    found: Mapping[str, Any] = json.loads(line)
    return found


def _await(ask: Callable[[], Any], until: Callable[[Any], bool], otherwise: str) -> None:
    """Ask for a list until it has, or has not, any items."""
    end = time.monotonic() + _CALM_SECONDS
    while not until(ask().items):
        if time.monotonic() > end:
            raise TimeLimit(f"{otherwise} after {_CALM_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)
