"""Selected pods -> what is meant on each node; pure, on documents of the API.

What must not be hit by accident is refused here: the cluster's own pods, the experiment's
own, and more nodes than were allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from chaoskernel.chaosmesh import selection as rules
from chaoskernel.chaosmesh.manifest import Phase, Selection
from chaoskernel.chaosmesh.selection import Pod
from chaoskernel.errors import InvalidFault, NothingSelected
from chaoskernel.fault.limits import MAX_NODES
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.k8s.connection import Self

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")

_MIRROR = "kubernetes.io/config.mirror"
"""What a kubelet puts on the copy of a static pod: the uid that it has on the node."""

_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_SYSTEM_CLASSES = ("system-node-critical", "system-cluster-critical")


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """What a selection may reach.

    :param max_nodes: most nodes.
    :param system_pods: the cluster's own pods may be hit.
    :param own: the pod of the experiment, which may not be, unless they may.
    """

    max_nodes: int = MAX_NODES
    system_pods: bool = False
    own: Self | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A pod of the cluster, and what a node has to know of it.

    :param uid: as the node's control groups have it.
    :param running: ids of the containers that run, by name.
    :param system: why it is one of the cluster's own; empty when it is not.
    """

    pod: Pod
    uid: str
    running: Mapping[str, str]
    system: str = ""
    leaving: bool = False


def read(document: Mapping[str, Any]) -> Seen:
    """Return what a Pod document of the API says."""
    metadata, spec = document["metadata"], document.get("spec") or {}
    status = document.get("status") or {}
    annotations = metadata.get("annotations") or {}
    pod = Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=spec.get("nodeName") or "",
        phase=_phase(status.get("phase")),
        labels=metadata.get("labels") or {},
        annotations=annotations,
        containers=_names(spec.get("containers")),
        sidecars=(
            *_names(_native_sidecars(spec)),
            *_names(spec.get("ephemeralContainers")),
        ),
        fields={
            "spec.restartPolicy": spec.get("restartPolicy") or "",
            "spec.schedulerName": spec.get("schedulerName") or "",
            "spec.serviceAccountName": spec.get("serviceAccountName") or "",
            "spec.hostNetwork": str(bool(spec.get("hostNetwork"))).lower(),
            "status.podIP": status.get("podIP") or "",
            "status.podIPs": ",".join(each.get("ip") or "" for each in status.get("podIPs") or []),
            "status.nominatedNodeName": status.get("nominatedNodeName") or "",
        },
    )
    return Seen(
        pod=pod,
        uid=annotations.get(_MIRROR) or metadata["uid"],
        running={
            each["name"]: each.get("containerID") or ""
            for key in _STATUSES
            for each in status.get(key) or []
            if "running" in (each.get("state") or {})
        },
        system=_system(pod, spec),
        leaving=bool(metadata.get("deletionTimestamp")),
    )


def _names(containers: Iterable[Mapping[str, Any]] | None) -> tuple[str, ...]:
    return tuple(container["name"] for container in containers or ())


def _phase(text: str | None) -> Phase:
    """Return a phase; one that is not known here is one in which nothing is hit."""
    return Phase(text) if text in list(Phase) else Phase.UNKNOWN


def _native_sidecars(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the init containers that run beside the others (Kubernetes: sidecar containers)."""
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            yield container


def check_namespaces(selection: Selection, bounds: Bounds) -> None:
    """Check that a selection looks into no namespace of the cluster's own.

    :raises InvalidFault: it does.
    """
    named = (*selection.selector.pods, *selection.selector.namespaces)
    for namespace in named:
        if namespace in SYSTEM_NAMESPACES and not bounds.system_pods:
            raise InvalidFault(
                "namespaces",
                namespace,
                "allowed: it is the cluster's own",
                hint="name another one, or say system_pods: true",
            )


def chosen(
    selection: Selection,
    pods: Collection[Seen],
    nodes: Mapping[str, Mapping[str, str]],
    bounds: Bounds,
    *,
    all_containers: bool = False,
    seed: int | None = None,
) -> tuple[PodScope, ...]:
    """Return the pods that are hit, with the containers that are meant.

    :param pods: those of the cluster, or at least of the namespaces that are selected from.
    :param nodes: the labels of each node; needed where the selector asks for them.
    :param all_containers: all of each pod are meant, also those that come later.
    :param seed: the same one selects the same of the same pods.
    :raises NothingSelected: there is none, or it has not the containers.
    :raises InvalidFault: one of them must not be hit, or they are on too many nodes.
    """
    by_name = {(seen.pod.namespace, seen.pod.name): seen for seen in pods if _can_be_hit(seen)}
    candidates = [seen.pod for seen in by_name.values()]
    if pods and not candidates:
        raise NothingSelected(
            f"none of {len(pods)} pods is running", hint="kubectl get pods shows what they wait for"
        )
    found = rules.select(selection, candidates, nodes, seed=seed)
    scopes = [
        _scope(selection, by_name[pod.namespace, pod.name], bounds, all_containers) for pod in found
    ]
    count = len({scope.node for scope in scopes})
    if count > bounds.max_nodes:
        raise InvalidFault(
            "max_nodes",
            bounds.max_nodes,
            f"enough: the {len(scopes)} selected pods are on {count} nodes",
            hint="select fewer, or raise max_nodes",
        )
    return tuple(scopes)


def by_node(pods: Iterable[PodScope]) -> dict[str, Sequence[PodScope]]:
    """Return the pods of each node, the nodes by name."""
    found: dict[str, list[PodScope]] = {}
    for pod in pods:
        found.setdefault(pod.node, []).append(pod)
    return dict(sorted(found.items()))


def _can_be_hit(seen: Seen) -> bool:
    return bool(seen.pod.node) and seen.pod.phase is Phase.RUNNING and not seen.leaving


def _scope(selection: Selection, seen: Seen, bounds: Bounds, all_containers: bool) -> PodScope:
    _check(seen, bounds)
    pod = seen.pod
    names = () if all_containers else rules.containers_of(selection, pod)
    for name in names:
        if name not in seen.running:
            raise NothingSelected(
                f"container {name} of pod {pod.namespace}/{pod.name} is not running",
                hint=f"running are: {', '.join(seen.running)}; wait until it is ready"
                if seen.running
                else "wait until it is ready",
            )
    return PodScope(
        pod.namespace,
        pod.name,
        seen.uid,
        pod.node,
        tuple(PodContainer(name, seen.running[name]) for name in names),
    )


def _check(seen: Seen, bounds: Bounds) -> None:
    pod = seen.pod
    if bounds.system_pods:
        return
    why = seen.system
    if bounds.own == Self(pod.namespace, pod.name):
        why = "the experiment itself runs in it"
    if why:
        raise InvalidFault(
            "pods",
            f"{pod.namespace}/{pod.name}",
            f"allowed: {why}",
            hint="narrow the selector, or say system_pods: true",
        )


def _system(pod: Pod, spec: Mapping[str, Any]) -> str:
    if pod.namespace in SYSTEM_NAMESPACES:
        return f"{pod.namespace} is the cluster's own"
    if _MIRROR in pod.annotations:
        return "it is a static pod of its node"
    if spec.get("priorityClassName") in _SYSTEM_CLASSES:
        return f"its priority class is {spec['priorityClassName']}"
    return ""
