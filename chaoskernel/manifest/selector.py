"""The part of a document that says which pods: mode, value, selector and containerNames."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chaoskernel.manifest.fields import Fields
from chaoskernel.manifest.model import Mode, Operator, Phase, Requirement, Selection, Selector

SELECTION = ("mode", "value", "selector", "containerNames")

POD_FIELDS = (
    *("metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy"),
    *("spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork"),
    *("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
)
"""What Kubernetes selects pods by (docs: Field Selectors)."""

_SELECTOR = (
    *("namespaces", "labelSelectors", "annotationSelectors", "expressionSelectors"),
    *("fieldSelectors", "podPhaseSelectors", "nodes", "nodeSelectors", "pods"),
)
_REQUIREMENT = ("key", "operator", "values")
_MAX_COUNT = 2**31 - 1


def selection(spec: Fields, namespace: str) -> Selection:
    """Return which pods a spec selects; what is wrong is noted.

    :param namespace: the object's own, where the selector names none.
    """
    mode = spec.member("mode", Mode.ONE, is_required=True)
    inner = spec.inner("selector", _SELECTOR, is_required=True)
    return Selection(
        mode=mode,
        selector=_selector(inner, namespace) if inner else Selector((namespace,)),
        value=_value(spec, mode),
        containers=spec.texts("containerNames"),
    )


def _value(spec: Fields, mode: Mode) -> int:
    """Return how many or how many per cent; 0 where the mode asks for none."""
    most = {
        Mode.FIXED: _MAX_COUNT,
        Mode.FIXED_PERCENT: 100,
        Mode.RANDOM_MAX_PERCENT: 100,
    }.get(mode, 0)
    text = spec.text("value")
    if not most:
        return 0
    item = spec.required("value", f"a whole number in quotes, for mode {mode.value}")
    if item is None or not isinstance(item.content, str):
        return 1
    if not re.fullmatch("[0-9]{1,10}", text) or not 1 <= int(text) <= most:
        spec.refuse(item, f"is not in 1..{most}")
        return 1
    return int(text)


def _selector(fields: Fields, namespace: str) -> Selector:
    phases, not_phases = _phases(fields)
    return Selector(
        namespaces=fields.texts("namespaces") or (namespace,),
        labels=fields.words("labelSelectors"),
        expressions=tuple(_requirements(fields)),
        annotations=fields.words("annotationSelectors"),
        fields=_pod_fields(fields),
        phases=phases,
        not_phases=not_phases,
        nodes=fields.texts("nodes"),
        node_labels=fields.words("nodeSelectors"),
        pods=_pods(fields),
    )


def _requirements(fields: Fields) -> Iterator[Requirement]:
    for item in fields.items("expressionSelectors"):
        inner = fields.of(item, _REQUIREMENT)
        key = inner.required("key", "the name of a label")
        operator = inner.member("operator", Operator.IN, is_required=True)
        values = inner.texts("values")
        takes_values = operator in (Operator.IN, Operator.NOT_IN)
        # With an operator that is wrong, nobody knows.
        if takes_values and inner.text("operator") == operator.value:
            inner.required("values", f"a list that {operator.value} looks in")
        elif values and not takes_values:
            inner.refuse(inner.value.content["values"], f"is not allowed with {operator.value}")
        if key is not None:
            yield Requirement(inner.text("key"), operator, values)


def _pod_fields(fields: Fields) -> dict[str, str]:
    for name, item in fields.mapping("fieldSelectors"):
        if name not in POD_FIELDS:
            fields.refuse(
                item, f"is of no field that pods are selected by: {', '.join(POD_FIELDS)}"
            )
    return fields.words("fieldSelectors")


def _phases(fields: Fields) -> tuple[tuple[Phase, ...], tuple[Phase, ...]]:
    """Return the phases that a pod may be in, and those that it may not be in."""
    wanted: list[Phase] = []
    unwanted: list[Phase] = []
    known = [phase.value for phase in Phase]
    for item in fields.text_items("podPhaseSelectors"):
        name = item.content.removeprefix("!")
        if name in known:
            (wanted if name == item.content else unwanted).append(Phase(name))
        else:
            fields.refuse(item, f"is not one of {', '.join(known)}, with or without ! before it")
    return tuple(wanted), tuple(unwanted)


def _pods(fields: Fields) -> dict[str, tuple[str, ...]]:
    """Return names of pods by namespace; any name may be that of a namespace."""
    namespaces = [name for name, _ in fields.mapping("pods")]
    inner = fields.inner("pods", namespaces) if namespaces else None
    return {name: inner.texts(name) for name in namespaces} if inner else {}
