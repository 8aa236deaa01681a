"""Which pods a selection means: pure functions on what a cluster says of its pods.

The rules are those of Chaos Mesh (pkg/selector), which are Kubernetes' where it has any.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Collection, Mapping

from chaoskernel.chaosmesh.manifest import Mode, Operator, Phase, Requirement, Selection, Selector
from chaoskernel.errors import NothingSelected


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """What a cluster says of a pod.

    :param containers: by name, in the order of its specification.
    :param sidecars: init containers that run as long as the pod, and ephemeral containers;
        they are selected by name alone.
    :param fields: beside name, namespace, node and phase, those that field selectors
        know: `spec.restartPolicy` and the like.
    """

    namespace: str
    name: str
    node: str = ""
    phase: Phase = Phase.RUNNING
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    containers: tuple[str, ...] = ()
    sidecars: tuple[str, ...] = ()
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def field(self, name: str) -> str:
        """Return a field that field selectors know; one that is not set is empty."""
        own = {
            "metadata.name": self.name,
            "metadata.namespace": self.namespace,
            "spec.nodeName": self.node,
            "status.phase": self.phase.value,
        }
        return own.get(name, self.fields.get(name, ""))


def select(
    selection: Selection,
    pods: Collection[Pod],
    nodes: Mapping[str, Mapping[str, str]],
    *,
    seed: int | None = None,
) -> list[Pod]:
    """Return the pods that are selected, by namespace and name.

    :param pods: all pods of the cluster, in any order.
    :param nodes: the labels of each node.
    :param seed: the same one selects the same of the same pods; None draws anew.
    :raises NothingSelected: there is none.
    """
    found = sorted(
        (pod for pod in pods if matches(selection.selector, pod, nodes)),
        key=lambda pod: (pod.namespace, pod.name),
    )
    if not found:
        raise NothingSelected(
            f"none of {len(pods)} pods is selected",
            hint="compare the selector with the pods' labels",
        )
    # Not for secrets; a seed is what makes an experiment repeatable.
    draw = random.Random(seed)  # noqa: S311
    chosen = draw.sample(found, _how_many(selection, len(found), draw))
    if not chosen:
        raise NothingSelected(
            f"mode {selection.mode.value} drew none of {len(found)} pods",
            hint="try again, or take another seed or mode",
        )
    return sorted(chosen, key=lambda pod: (pod.namespace, pod.name))


def containers_of(selection: Selection, pod: Pod) -> tuple[str, ...]:
    """Return which containers of a pod are selected: those that are named, else its first.

    :raises NothingSelected: the pod has none of that name.
    """
    there = (*pod.containers, *pod.sidecars)
    for name in selection.containers:
        if name not in there:
            raise NothingSelected(
                f"pod {pod.namespace}/{pod.name} has no container {name}",
                hint=f"there are: {', '.join(there)}",
            )
    return selection.containers or pod.containers[:1]


def matches(selector: Selector, pod: Pod, nodes: Mapping[str, Mapping[str, str]]) -> bool:
    """Tell whether a selector means a pod; names of pods bypass everything else."""
    if selector.pods:
        return pod.name in selector.pods.get(pod.namespace, ())
    return (
        pod.namespace in selector.namespaces
        and _has_all(pod.labels, selector.labels)
        and _has_all(pod.annotations, selector.annotations)
        and all(_meets(requirement, pod.labels) for requirement in selector.expressions)
        and all(pod.field(name) == value for name, value in selector.fields.items())
        and pod.phase not in selector.not_phases
        and (not selector.phases or pod.phase in selector.phases)
        and _is_on_a_node(selector, pod, nodes)
    )


def _is_on_a_node(selector: Selector, pod: Pod, nodes: Mapping[str, Mapping[str, str]]) -> bool:
    if not selector.nodes and not selector.node_labels:
        return True
    by_labels = bool(selector.node_labels) and _has_all(
        nodes.get(pod.node, {}), selector.node_labels
    )
    return by_labels or pod.node in selector.nodes


def _has_all(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


def _meets(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Compare as Kubernetes does: NotIn is met by a pod without the label."""
    there = requirement.key in labels
    if requirement.operator is Operator.EXISTS:
        return there
    if requirement.operator is Operator.DOES_NOT_EXIST:
        return not there
    listed = there and labels[requirement.key] in requirement.values
    return listed if requirement.operator is Operator.IN else not listed


def _how_many(selection: Selection, count: int, draw: random.Random) -> int:
    """Return how many of this many pods; per cents are rounded up."""
    if selection.mode is Mode.ALL:
        return count
    if selection.mode is Mode.ONE:
        return 1
    if selection.mode is Mode.FIXED:
        return min(selection.value, count)
    percent = selection.value
    if selection.mode is Mode.RANDOM_MAX_PERCENT:
        percent = draw.randint(0, selection.value)
    return math.ceil(count * percent / 100)
