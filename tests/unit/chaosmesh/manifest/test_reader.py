"""What the fields of a KernelChaos mean, and what is said of those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.chaosmesh import manifest
from chaoskernel.chaosmesh.manifest import (
    Concurrency,
    KernelChaos,
    Mode,
    Operator,
    Phase,
    Requirement,
    Selection,
    Selector,
)
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.unit.chaosmesh.manifest.documents import SEED, as_json, document, schedule


def one(value: dict[str, Any]) -> KernelChaos:
    (found,) = manifest.parse(as_json(value))
    return found


def test_the_sample_of_the_original_is_read_as_it_is() -> None:
    assert manifest.parse(SEED) == (
        KernelChaos(
            name="kernel-chaos-example",
            namespace="chaos-testing",
            selection=Selection(Mode.ONE, Selector(namespaces=("chaos-mount",))),
            kind=Kind.SLAB,
            callchain=(Frame("__x64_sys_mount"),),
        ),
    )


REQUEST = {
    "failtype": 1,
    "headers": ["linux/mm.h", "linux/dcache.h"],
    "callchain": [
        {"funcname": "sys_mkdir"},
        {
            "funcname": "d_alloc_parallel",
            "parameters": "struct dentry *parent, const struct qstr *name",
            "predicate": 'STRNCMP(name->name,"bananas",8)',
        },
        {"predicate": "order==1"},
    ],
    "probability": 7,
    "times": 4294967295,
}
SELECTOR = {
    "namespaces": ["a", "b"],
    "labelSelectors": {"app": "shop"},
    "annotationSelectors": {"chaos": "yes"},
    "expressionSelectors": [
        {"key": "tier", "operator": "In", "values": ["web", "db"]},
        {"key": "old", "operator": "DoesNotExist"},
    ],
    "fieldSelectors": {"spec.nodeName": "n1"},
    "podPhaseSelectors": ["Running", "!Failed"],
    "nodes": ["n1"],
    "nodeSelectors": {"disk": "ssd"},
    "pods": {"a": ["p1", "p2"]},
}
SELECTION = Selection(
    mode=Mode.FIXED_PERCENT,
    selector=Selector(
        namespaces=("a", "b"),
        labels={"app": "shop"},
        expressions=(
            Requirement("tier", Operator.IN, ("web", "db")),
            Requirement("old", Operator.DOES_NOT_EXIST),
        ),
        annotations={"chaos": "yes"},
        fields={"spec.nodeName": "n1"},
        phases=(Phase.RUNNING,),
        not_phases=(Phase.FAILED,),
        nodes=("n1",),
        node_labels={"disk": "ssd"},
        pods={"a": ("p1", "p2")},
    ),
    value=50,
    containers=("main",),
)
FAULT = Fault(
    name="demo",
    kind=Kind.PAGE,
    scope=Scope(pids=(7,)),
    callchain=(
        Frame("sys_mkdir"),
        Frame(
            "d_alloc_parallel",
            "struct dentry *parent, const struct qstr *name",
            'STRNCMP(name->name, "bananas", 8)',
        ),
    ),
    limits=Limits(probability=7, times=4294967295, duration=90.0),
    mechanism=Mechanism.KPROBE,
    predicate="order == 1",
    headers=("linux/mm.h", "linux/dcache.h"),
    dry_run=True,
)
"""What REQUEST and SELECTOR mean."""


def test_every_field_is_read() -> None:
    given = document(
        REQUEST,
        mode="fixed-percent",
        value="50",
        selector=SELECTOR,
        containerNames=["main"],
        duration="1m30s",
        scheduler={"cron": "@every 10m"},
    )
    given["metadata"]["annotations"] = {"experiment.chaos-mesh.org/pause": "true", "other": "x"}
    found = one(given)
    assert found.selection == SELECTION
    assert found.plan is not None
    assert (found.plan.cron.every, found.plan.concurrency) == (600, Concurrency.FORBID)
    assert found.paused
    assert found.fault(Scope(pids=(7,)), mechanism=Mechanism.KPROBE, dry_run=True) == FAULT


def test_what_is_absent_has_the_defaults_of_the_original() -> None:
    given = document()
    del given["metadata"]["namespace"]
    found = one(given)
    assert (found.namespace, found.selection.selector.namespaces) == ("default", ("default",))
    assert (found.callchain, found.predicate, found.headers) == ((), "", ())
    assert (found.probability, found.times, found.duration) == (100, 0, None)
    assert (found.plan, found.paused) == (None, False)
    assert found.fault(Scope(system_wide=True)).limits == Limits(100, 0, 24 * 3600.0)


def test_a_selector_without_a_namespace_is_of_the_objects_own() -> None:
    assert one(document()).selection.selector.namespaces == ("apps",)
    assert one(schedule()).selection.selector.namespaces == ("apps",)


def test_null_is_absent() -> None:
    assert one(document(duration=None, scheduler=None, containerNames=None)) == one(document())


def test_a_probability_of_zero_is_always() -> None:
    assert one(document({"probability": 0})).probability == 100


@pytest.mark.parametrize("failtype", [0, 1, 2])
def test_the_failtypes(failtype: int) -> None:
    kind = one(document({"failtype": failtype})).kind
    assert kind is (Kind.SLAB, Kind.PAGE, Kind.BIO)[failtype]


@pytest.mark.parametrize("frame", [{}, {"funcname": ""}, {"predicate": ""}])
def test_a_last_frame_that_says_nothing_is_the_hooks(frame: dict[str, str]) -> None:
    found = one(document({"callchain": [{"funcname": "f"}, frame]}))
    assert (found.callchain, found.predicate) == ((Frame("f"),), "")


def test_names_and_expressions_that_kubernetes_takes_are_taken() -> None:
    exists = {"key": "example.com/Tier_1.x", "operator": "Exists", "values": []}
    pods = {"shop-1": ["web-0.example", "0"]}
    nodes = ["ip-10-0-0-1.ec2.internal"]
    given = {"expressionSelectors": [exists], "pods": pods, "nodes": nodes, "namespaces": ["1"]}
    selector = one(document(selector=given)).selection.selector
    assert selector.expressions == (Requirement("example.com/Tier_1.x", Operator.EXISTS),)
    assert selector.pods == {"shop-1": ("web-0.example", "0")}
    assert (selector.nodes, selector.namespaces) == (tuple(nodes), ("1",))


@pytest.mark.parametrize(("value", "paused"), [("true", True), ("false", False), ("True", False)])
def test_the_annotation_that_pauses(value: str, paused: bool) -> None:
    given = document()
    given["metadata"]["annotations"] = {"experiment.chaos-mesh.org/pause": value}
    assert one(given).paused is paused


def test_a_schedule_is_read() -> None:
    plan = one(
        schedule(
            schedule="0 */5 * * * *",
            concurrencyPolicy="Allow",
            historyLimit=3,
            startingDeadlineSeconds=0,
        )
    ).plan
    assert plan is not None
    assert (plan.cron.text, plan.concurrency) == ("0 */5 * * * *", Concurrency.ALLOW)
    assert (plan.history, plan.deadline) == (3, 0.0)


def test_a_schedule_that_says_little_forbids_and_remembers_one_run() -> None:
    plan = one(schedule(startingDeadlineSeconds=None)).plan
    assert plan is not None
    assert (plan.concurrency, plan.history, plan.deadline) == (Concurrency.FORBID, 1, None)


def test_what_the_cluster_adds_is_passed_over() -> None:
    given = {**document(), "status": {"conditions": [{"type": "Paused"}]}}
    given["metadata"] |= {"uid": "1-2", "generation": 3, "managedFields": [{"manager": "x"}]}
    assert one(given) == one(document())
