"""Faults on the nodes of a fake cluster."""

from __future__ import annotations

import pytest

from chaoskernel.errors import (
    ChaosKernelError,
)
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.backend import ClusterBackend
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.job import Settings
from tests.unit.k8s.fake_cluster import FakeCluster

QUICK = Waits(start=2.0, stop=0.5, retry=0.01)


def a_fault(*nodes: str, name: str = "x") -> Fault:
    pods = tuple(
        PodScope("shop", f"db-{n}", f"{n:08x}-00", node, (PodContainer("app"),))
        for n, node in enumerate(nodes or ("worker-1", "worker-2"))
    )
    return Fault(name=name, kind=Kind.SLAB, scope=Scope(pods=pods))


def target(cluster: FakeCluster, waits: Waits = QUICK) -> ClusterBackend:
    return ClusterBackend(cluster, Settings("chaoskernel", "an-image"), waits=waits)


def refused(cluster: FakeCluster, waits: Waits = QUICK) -> ChaosKernelError:
    """Start a fault that cannot be armed, and check that nothing stays of it."""
    here = target(cluster, waits)
    with pytest.raises(ChaosKernelError) as caught:
        here.start(a_fault())
    assert sorted(cluster.deleted) == sorted(cluster.manifests)
    assert here.records() == []
    return caught.value
