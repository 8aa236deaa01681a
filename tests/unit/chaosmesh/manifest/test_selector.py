"""Selectors of pods: what no object can be called is refused, as Kubernetes refuses it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chaoskernel import actions
from chaoskernel.chaosmesh.manifest import Selector, load
from chaoskernel.chaosmesh.manifest.arguments import selected_by
from chaoskernel.errors import InvalidManifest
from tests.unit.chaosmesh.manifest.documents import as_json, document, schedule

NO_LABEL_VALUES = [
    *("cart|stock", "cart,stock", "in (cart, stock)", "-web", "web-", ".a", "a/b", "a b", "é"),
    *("a\n", " ", "x" * 64),
]
NO_LABEL_KEYS = [
    *(
        "app in (cart)",
        "app|x",
        "",
        "-a",
        "a-",
        "a b",
        "/a",
        "a/",
        "A.example/x",
        "a..b/x",
        "a/b/c",
    ),
    *("x" * 64, f"{'x' * 254}/a"),
]


def problems(selector: Any) -> list[str]:
    """Return what is wrong with a selector: the same in a document and as arguments."""
    with pytest.raises(InvalidManifest) as caught:
        load(as_json(document(selector=selector)))
    with pytest.raises(InvalidManifest) as as_arguments:
        selected_by("all", "", None, selector)
    lines = [re.sub(r"^\d+:\d+: spec\.", "", line) for line in caught.value.problems]
    assert sorted(as_arguments.value.problems) == sorted(lines)
    return lines


def selected(selector: Any) -> Selector:
    (found,) = load(as_json(document(selector=selector)))
    return found.selection.selector


@pytest.mark.parametrize("field", ["labelSelectors", "nodeSelectors"])
@pytest.mark.parametrize("value", NO_LABEL_VALUES)
def test_a_value_that_no_label_has_is_refused(field: str, value: str) -> None:
    (line,) = problems({field: {"app": value}})
    assert line.startswith(f"selector.{field}.app: {' '.join(repr(value).split())}"[:60])
    assert "is not a value that a label can have" in line
    assert "use expressionSelectors with operator In" in line


@pytest.mark.parametrize("operator", ["In", "NotIn"])
@pytest.mark.parametrize("value", ["system,edge", "system|edge", *NO_LABEL_VALUES])
def test_an_expression_with_a_value_that_no_label_has_is_refused(operator: str, value: str) -> None:
    """Such a NotIn would spare nobody."""
    expression = {"key": "tier", "operator": operator, "values": ["web", value]}
    (line,) = problems({"expressionSelectors": [expression]})
    assert line.startswith("selector.expressionSelectors[0].values[1]: ")
    assert "is not a value that a label can have" in line


@pytest.mark.parametrize("key", NO_LABEL_KEYS)
def test_a_key_that_no_label_has_is_refused(key: str) -> None:
    for field in ("labelSelectors", "nodeSelectors"):
        (line,) = problems({field: {key: "x"}})
        assert line.startswith(f"selector.{field}")
        assert "it is not the name of a label, such as app or example.com/tier" in line
    (line,) = problems({"expressionSelectors": [{"key": key, "operator": "Exists"}]})
    assert "is not the name of a label" in line


def test_what_labels_can_have_is_taken() -> None:
    labels = {"app": "", "example.com/Tier_1.x": "A-1_b.c", "a" * 63: "x" * 63, "a.b/0": "0"}
    selector = selected({"labelSelectors": labels, "nodeSelectors": labels})
    assert (selector.labels, selector.node_labels) == (labels, labels)
    expression = {"key": "a/b", "operator": "NotIn", "values": ["", "x-1"]}
    assert selected({"expressionSelectors": [expression]}).expressions[0].values == ("", "x-1")


def test_values_of_annotations_are_free_and_their_keys_are_not() -> None:
    free = {"prometheus.io/path": "/metrics, é\n", "Example.COM/x": "a|b"}
    assert selected({"annotationSelectors": free}).annotations == free
    (line,) = problems({"annotationSelectors": {"a b": "x"}})
    assert "it is not the name of an annotation" in line


@pytest.mark.parametrize("field", ["labelSelectors", "nodeSelectors"])
@pytest.mark.parametrize(
    ("below", "advice"),
    [
        ({"matchLabels": {"app": "web"}}, "matchLabels: it is not a label; write its labels "),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            "matchExpressions: it is not a label; write its list as expressionSelectors, beside ",
        ),
        ({"namespaces": ["default"]}, "namespaces: it is not a label; write it beside "),
        ({"pods": {"shop": ["web-0"]}}, "pods: it is not a label; write it beside "),
        ({"fieldSelectors": {}}, "fieldSelectors: it is not a label; write it beside "),
    ],
)
def test_what_stands_below_labels_and_belongs_elsewhere(
    field: str, below: dict[str, Any], advice: str
) -> None:
    (line,) = problems({field: {**below, "app": "proxy"}})
    assert line.startswith(f"selector.{field}.{advice}")
    assert field in line.partition(";")[2]


def test_labels_may_be_called_as_parts_of_a_selector_are() -> None:
    labels = {"namespaces": "default", "matchLabels": "x", "pods": "y"}
    assert selected({"labelSelectors": labels}).labels == labels


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("metadata.name", "a_b"),
        ("metadata.namespace", "a.b"),
        ("spec.nodeName", "Node"),
        ("spec.restartPolicy", "always"),
        ("spec.serviceAccountName", "a/b"),
        ("spec.hostNetwork", "True"),
        ("status.phase", "running"),
        ("status.podIP", "10.0.0"),
        ("status.nominatedNodeName", "a b"),
    ],
)
def test_a_field_with_a_value_that_no_pod_has_is_refused(name: str, value: str) -> None:
    (line,) = problems({"fieldSelectors": {name: value}})
    assert line.startswith(f'selector.fieldSelectors["{name}"]: {value!r} is not ')


def test_fields_with_values_that_pods_have_are_taken() -> None:
    fields = {
        "metadata.name": "web-0.example",
        "metadata.namespace": "shop-1",
        "spec.nodeName": "",
        "spec.schedulerName": "any thing",
        "spec.hostNetwork": "true",
        "status.phase": "Running",
        "status.podIP": "fd00::1",
    }
    assert selected({"fieldSelectors": fields}).fields == fields


def test_the_arguments_of_an_activity_are_held_to_the_same() -> None:
    with pytest.raises(Exception, match="'cart,stock' is not a value that a label can have"):
        actions.start_pod_injection("x", mode="all", label_selectors={"app": "cart,stock"})


@pytest.mark.parametrize("name", ["a.b", "A", "-a", "a_b", "a" * 64])
def test_the_namespace_of_an_object_is_one(name: str) -> None:
    given = {**document(), "metadata": {"name": "x", "namespace": name}}
    with pytest.raises(InvalidManifest) as caught:
        load(as_json(given))
    (line,) = caught.value.problems
    assert "metadata.namespace: " in line
    assert "is not the name of a namespace; use up to 63 small letters, digits, dashes" in line


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"labels": {"app": "a b"}}, "metadata.labels.app: 'a b' is not a value that a label"),
        ({"labels": {"a b": "x"}}, 'metadata.labels["a b"]: it is not the name of a label'),
        ({"annotations": {"a b": "x"}}, 'metadata.annotations["a b"]: it is not the name of an'),
    ],
)
def test_labels_and_annotations_of_an_object(metadata: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidManifest) as caught:
        load(as_json({**document(), "metadata": {"name": "x", **metadata}}))
    (line,) = caught.value.problems
    assert path in line


def test_a_document_of_another_kind_is_not_measured_against_a_kernel_chaos() -> None:
    workflow = {**document(), "kind": "Workflow", "spec": {"entry": "a", "templates": []}}
    with pytest.raises(InvalidManifest) as caught:
        load(as_json(workflow))
    (line,) = caught.value.problems
    assert line.endswith("kind: 'Workflow' is not KernelChaos or Schedule")
    given = schedule(type="Workflow", kernelChaos=None, workflow={"entry": "a", "templates": []})
    with pytest.raises(InvalidManifest) as caught:
        load(as_json(given))
    (line,) = caught.value.problems
    assert line.endswith("spec.type: 'Workflow' is not KernelChaos")


def test_arguments_that_nest_too_deeply_are_refused() -> None:
    value: Any = 1
    for _ in range(60):
        value = [value]
    with pytest.raises(InvalidManifest, match=r"more than 32 levels in each other"):
        selected_by(value, "", None, {})
