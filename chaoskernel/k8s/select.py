"""A selection -> the pods of a cluster that are hit, with as few questions as there can be."""

from __future__ import annotations

from collections.abc import Mapping

from chaoskernel.chaosmesh.manifest import Selection, Selector
from chaoskernel.fault.pods import PodScope
from chaoskernel.k8s import nodes
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.nodes import Bounds, Seen


def select(
    selection: Selection,
    cluster: Cluster,
    bounds: Bounds,
    *,
    all_containers: bool = False,
    seed: int | None = None,
) -> tuple[PodScope, ...]:
    """Return the pods that are hit, with the containers that are meant; see nodes.chosen().

    :raises ChaosKernelError: there is none, one must not be hit, or the cluster refuses to say.
    """
    nodes.check_namespaces(selection, bounds)
    selector = selection.selector
    labels = "" if selector.pods else _labels(selector)
    namespaces = selector.pods or selector.namespaces
    seen: list[Seen] = [
        nodes.read(document)
        for namespace in dict.fromkeys(namespaces)
        for document in cluster.pods(namespace, labels)
    ]
    return nodes.chosen(
        selection,
        seen,
        _node_labels(cluster) if selector.node_labels else {},
        bounds,
        all_containers=all_containers,
        seed=seed,
    )


def _labels(selector: Selector) -> str:
    """Return the label selector by which the server leaves out most of the others."""
    return ",".join(f"{key}={value}" for key, value in selector.labels.items())


def _node_labels(cluster: Cluster) -> dict[str, Mapping[str, str]]:
    found = (document["metadata"] for document in cluster.nodes())
    return {metadata["name"]: metadata.get("labels") or {} for metadata in found}
