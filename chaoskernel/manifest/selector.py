"""The part of a document that says which pods: mode, value, selector and containerNames."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chaoskernel.checks import DNS_LABEL
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

# What the API server lets such an object be called (docs: Object Names and IDs, Labels).
_SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
_FORMS = {
    DNS_LABEL: "up to 63 small letters, digits, dashes, with no dash at either end",
    _SUBDOMAIN: "up to 253 small letters, digits, dots, dashes, with no dash at either end",
}
_LABEL_KEY = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?"
    r"(?=.{1,63}\Z)[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
)
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
        containers=_names(spec, "containerNames", DNS_LABEL),
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
        namespaces=_names(fields, "namespaces", DNS_LABEL) or (namespace,),
        labels=fields.words("labelSelectors"),
        expressions=tuple(_requirements(fields)),
        annotations=fields.words("annotationSelectors"),
        fields=_pod_fields(fields),
        phases=phases,
        not_phases=not_phases,
        nodes=_names(fields, "nodes", _SUBDOMAIN),
        node_labels=fields.words("nodeSelectors"),
        pods=_pods(fields),
    )


def _names(fields: Fields, name: str, form: re.Pattern[str]) -> tuple[str, ...]:
    """Return a list of names, and note those that nothing of a cluster can have."""
    items = list(fields.text_items(name))
    for item in items:
        if not form.fullmatch(item.content):
            fields.refuse(item, f"is not a name; use {_FORMS[form]}")
    return tuple(item.content for item in items)


def _requirements(fields: Fields) -> Iterator[Requirement]:
    for item in fields.items("expressionSelectors"):
        inner = fields.of(item, _REQUIREMENT)
        key = inner.required("key", "the name of a label")
        operator = inner.member("operator", Operator.IN, is_required=True)
        values = _values(inner, operator)
        if key is None:
            continue
        name = inner.text("key")
        if isinstance(key.content, str) and not _LABEL_KEY.fullmatch(name):
            inner.refuse(key, "is not the name of a label, such as app or example.com/tier")
        yield Requirement(name, operator, values)


def _values(requirement: Fields, operator: Operator) -> tuple[str, ...]:
    """Return what an operator compares with; as in Kubernetes, In and NotIn need some."""
    values = requirement.texts("values")
    takes_values = operator in (Operator.IN, Operator.NOT_IN)
    # With an operator that is wrong, nobody knows.
    if takes_values and requirement.text("operator") == operator.value:
        item = requirement.required("values", f"a list that {operator.value} looks in")
        if item is not None and item.content == []:
            requirement.refuse(item, f"is empty; name what {operator.value} looks for")
    elif values and not takes_values:
        item = requirement.value.content["values"]
        requirement.refuse(item, f"is not allowed with {operator.value}")
    return values


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
    """Return names of pods by namespace."""
    namespaces = dict(fields.mapping("pods"))
    inner = fields.inner("pods", namespaces) if namespaces else None
    if inner is None:
        return {}
    for name, item in namespaces.items():
        if not DNS_LABEL.fullmatch(name):
            fields.refuse_name(item, f"is not the name of a namespace; use {_FORMS[DNS_LABEL]}")
    return {name: _names(inner, name, _SUBDOMAIN) for name in namespaces}
