"""The part of a document that says which pods: mode, value, selector and containerNames."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from chaoskernel.chaosmesh.manifest import names
from chaoskernel.chaosmesh.manifest.document import Value
from chaoskernel.chaosmesh.manifest.fields import Fields
from chaoskernel.chaosmesh.manifest.model import (
    Mode,
    Operator,
    Phase,
    Requirement,
    Selection,
    Selector,
)
from chaoskernel.chaosmesh.manifest.names import SUBDOMAIN
from chaoskernel.fault.checks import DNS_LABEL

SELECTION = ("mode", "value", "selector", "containerNames")

_Problem = Callable[[str], str]
"""Returns why no object can have a value; empty where one can."""


def _name_of(form: re.Pattern[str]) -> _Problem:
    return lambda text: "" if form.fullmatch(text) else f"is not a name; use {_FORMS[form]}"


def _one_of(*words: str) -> _Problem:
    return lambda text: "" if text in words else f"is not one of {', '.join(words)}"


def _any(_: str) -> str:
    return ""


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return "is not an IP address"
    return ""


_POD_FIELDS: dict[str, _Problem] = {
    "metadata.name": _name_of(SUBDOMAIN),
    "metadata.namespace": _name_of(DNS_LABEL),
    "spec.nodeName": _name_of(SUBDOMAIN),
    "spec.restartPolicy": _one_of("Always", "OnFailure", "Never"),
    "spec.schedulerName": _any,
    "spec.serviceAccountName": _name_of(SUBDOMAIN),
    "spec.hostNetwork": _one_of("true", "false"),
    "status.phase": _one_of(*Phase),
    "status.podIP": _address,
    "status.podIPs": _any,
    "status.nominatedNodeName": _name_of(SUBDOMAIN),
}
POD_FIELDS = tuple(_POD_FIELDS)
"""What Kubernetes selects pods by (docs: Field Selectors)."""

_SELECTOR = (
    *("namespaces", "labelSelectors", "annotationSelectors", "expressionSelectors"),
    *("fieldSelectors", "podPhaseSelectors", "nodes", "nodeSelectors", "pods"),
)
_REQUIREMENT = ("key", "operator", "values")

_FORMS = {
    DNS_LABEL: "up to 63 small letters, digits, dashes, with no dash at either end",
    SUBDOMAIN: "up to 253 small letters, digits, dots, dashes, with no dash at either end",
}
_SEVERAL = "to select one of several values, use expressionSelectors with operator In"
# Members of a Kubernetes label selector, and what belongs beside labels.
_MISPLACED = {
    "matchLabels": "write its labels directly below {name}",
    "matchExpressions": "write its list as expressionSelectors, beside {name}",
    **dict.fromkeys(_SELECTOR, "write it beside {name}, and not below it"),
}
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
        labels=label_map(fields, "labelSelectors"),
        expressions=tuple(_requirements(fields)),
        annotations=annotation_map(fields, "annotationSelectors"),
        fields=_pod_fields(fields),
        phases=phases,
        not_phases=not_phases,
        nodes=_names(fields, "nodes", SUBDOMAIN),
        node_labels=label_map(fields, "nodeSelectors"),
        pods=_pods(fields),
    )


def label_map(fields: Fields, name: str) -> dict[str, str]:
    """Return a field that maps labels to their values, and note what no label can have."""
    found = {}
    for key, item in fields.mapping(name):
        if not isinstance(item.content, str) and key in _MISPLACED:
            fields.refuse_name(item, f"is not a label; {_MISPLACED[key].format(name=name)}")
        elif why := names.label_key_problem(key):
            fields.refuse_name(item, why)
        elif fields.is_text(item):
            if why := names.label_value_problem(item.content):
                fields.refuse(item, f"{why}; {_SEVERAL}")
            found[key] = item.content
    return found


def annotation_map(fields: Fields, name: str) -> dict[str, str]:
    """Return a field that maps annotations to their values, which may be any text."""
    for key, item in fields.mapping(name):
        if why := names.annotation_key_problem(key):
            fields.refuse_name(item, why)
    return fields.words(name)


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
        if isinstance(key.content, str) and (why := names.label_key_problem(name)):
            inner.refuse(key, why)
        yield Requirement(name, operator, values)


def _values(requirement: Fields, operator: Operator) -> tuple[str, ...]:
    """Return what an operator compares with; as in Kubernetes, In and NotIn need some."""
    items = list(requirement.text_items("values"))
    for each in items:
        if why := names.label_value_problem(each.content):
            requirement.refuse(each, f"{why}; write each value as an item of the list")
    values = tuple(each.content for each in items)
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
        if name not in _POD_FIELDS:
            fields.refuse(
                item, f"is of no field that pods are selected by: {', '.join(POD_FIELDS)}"
            )
        elif _is_set(item) and (why := _POD_FIELDS[name](item.content)):
            fields.refuse(item, why)
    return fields.words("fieldSelectors")


def _is_set(item: Value) -> bool:
    """Tell whether a field is compared with a text that is not empty, as an unset field is."""
    return isinstance(item.content, str) and item.content != ""


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
    return {name: _names(inner, name, SUBDOMAIN) for name in namespaces}
