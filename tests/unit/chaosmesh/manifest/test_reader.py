"""What the fields of a KernelChaos mean, and what is said of those that mean nothing."""

from __future__ import annotations

import re
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
from chaoskernel.errors import InvalidManifest
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.unit.chaosmesh.manifest.documents import SEED, as_json, document, schedule


def one(value: dict[str, Any]) -> KernelChaos:
    (found,) = manifest.parse(as_json(value))
    return found


def problems(value: dict[str, Any] | str) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        manifest.parse(value if isinstance(value, str) else as_json(value))
    return list(refused.value.problems)


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


def test_every_field_is_read() -> None:
    request = {
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
    selector = {
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
    given = document(
        request,
        mode="fixed-percent",
        value="50",
        selector=selector,
        containerNames=["main"],
        duration="1m30s",
        scheduler={"cron": "@every 10m"},
    )
    given["metadata"]["annotations"] = {"experiment.chaos-mesh.org/pause": "true", "other": "x"}
    found = one(given)
    assert found.selection == Selection(
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
    assert found.plan is not None
    assert (found.plan.cron.every, found.plan.concurrency) == (600, Concurrency.FORBID)
    assert found.paused
    assert found.fault(Scope(pids=(7,)), mechanism=Mechanism.KPROBE, dry_run=True) == Fault(
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


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (document(mode="two"), "spec.mode: 'two' is not one of one, all, fixed, .*"),
        (document(mode=None), "spec.mode: it is missing; it is one of one, all, .*"),
        (document(mode="fixed"), "spec.value: it is missing; it is a whole number in quotes.*"),
        (document(mode="fixed", value=3), "spec.value: 3 is not text but a number; put it in .*"),
        (document(mode="fixed", value="0"), r"spec.value: '0' is not in 1\.\.2147483647"),
        (document(mode="fixed", value="-1"), r"spec.value: '-1' is not in 1\.\..*"),
        (document(mode="fixed", value="1.5"), r"spec.value: '1.5' is not in 1\.\..*"),
        (document(mode="fixed-percent", value="101"), r"spec.value: '101' is not in 1\.\.100"),
        (document(mode="random-max-percent", value="0"), r"spec.value: '0' is not in 1\.\.100"),
        (document(mode="fixed", value="x"), r"spec.value: 'x' is not in 1\.\.2147483647"),
        (document(selector=None), "spec.selector: it is missing; it is an object"),
        (document(selector=[]), "spec.selector: it has a list, which is not an object; .*"),
        (document(duration=30), "spec.duration: 30 is not text but a number; put it in quotes"),
        (document(duration="soon"), "spec.duration: 'soon' is not a duration; .*"),
        (document(duration="0s"), "spec.duration: '0s' is not a time above 0 and up to 24h; .*"),
        (document(duration="25h"), "spec.duration: '25h' is not a time above 0 and up to 24h; .*"),
        (document(scheduler={"cron": "@daily"}), "spec.duration: it is missing; it is how long .*"),
        (
            document(duration="1s", scheduler={}),
            "spec.scheduler.cron: it is missing; it is a cron expression, .*",
        ),
        (
            document(duration="1s", scheduler={"cron": "x"}),
            "spec.scheduler.cron: 'x' is not a cron expression; .*",
        ),
        (document(failKernRequest=None), "spec.failKernRequest: it is missing; .*"),
        (document({"failtype": None}), "spec.failKernRequest.failtype: it is missing; it is 0 .*"),
        (document({"failtype": 3}), r"spec.failKernRequest.failtype: 3 is not in 0\.\.2"),
        (
            document({"failtype": "0"}),
            r"spec.failKernRequest.failtype: '0' is not a whole .*",
        ),
        (
            document({"failtype": True}),
            r"spec.failKernRequest.failtype: true is not a whole .*",
        ),
        (
            document({"probability": 150}),
            r"spec.failKernRequest.probability: 150 is not in 0\.\.100",
        ),
        (
            document({"probability": 0.5}),
            r"spec.failKernRequest.probability: 0.5 is not a whole number in 0\.\.100",
        ),
        (document({"times": -1}), r"spec.failKernRequest.times: -1 is not in 0\.\.4294967295"),
        (
            document({"headers": "a.h"}),
            r"spec.failKernRequest.headers: 'a.h' is not a list; .* in JSON in \[ \]",
        ),
        (document({"headers": ["/a.h"]}), r"spec.failKernRequest.headers\[0\]: '/a.h' is not a .*"),
        (document({"callchain": ["f"]}), r"spec.failKernRequest.callchain\[0\]: 'f' is not an .*"),
        (
            document({"callchain": [{"funcname": "a b"}]}),
            r"spec.failKernRequest.callchain\[0\].funcname: 'a b' is not the name of a kernel .*",
        ),
        (
            document({"callchain": [{"predicate": "1"}, {"funcname": "f"}]}),
            r"spec.failKernRequest.callchain\[0\].funcname: it is missing; .* the last frame .*",
        ),
        (
            document({"callchain": [{"funcname": "f", "predicate": "panic()"}]}),
            r"spec.failKernRequest.callchain\[0\].predicate: 'panic.*' is not an expression .*",
        ),
        (
            document({"callchain": [{"parameters": "int a"}]}),
            r"spec.failKernRequest.callchain\[0\].parameters: 'int a' is not possible without .*",
        ),
        (
            document({"callchain": [{"funcname": "f"}] * 17}),
            "spec.failKernRequest.callchain: 17 frames; at most 16 are allowed; .*",
        ),
        (
            document({"callchain": [{"funcname": "f"}, {"funcname": "f", "parameters": "int a"}]}),
            "spec.failKernRequest.callchain.parameters: 'int a' is not the same for every .*",
        ),
        (
            document(selector={"expressionSelectors": [{"key": "a", "operator": "in"}]}),
            r"spec.selector.expressionSelectors\[0\].operator: 'in' is not one of In, NotIn, .*",
        ),
        (
            document(selector={"expressionSelectors": [{"key": "a", "operator": "NotIn"}]}),
            r"spec.selector.expressionSelectors\[0\].values: it is missing; .*",
        ),
        (
            document(
                selector={
                    "expressionSelectors": [{"key": "a", "operator": "Exists", "values": ["b"]}]
                }
            ),
            r"spec.selector.expressionSelectors\[0\].values: it has a list, which is not .*",
        ),
        (
            document(
                selector={"expressionSelectors": [{"key": "a", "operator": "NotIn", "values": []}]}
            ),
            r"spec.selector.expressionSelectors\[0\].values: it has a list, which is empty; .*",
        ),
        (
            document(selector={"expressionSelectors": [{"key": "", "operator": "Exists"}]}),
            r"spec.selector.expressionSelectors\[0\].key: '' is not the name of a label, .*",
        ),
        (
            document(selector={"expressionSelectors": [{"key": "a b", "operator": "Exists"}]}),
            r"spec.selector.expressionSelectors\[0\].key: 'a b' is not the name of a label, .*",
        ),
        (
            document(selector={"namespaces": [""]}),
            r"spec.selector.namespaces\[0\]: '' is not a name; use up to 63 small letters, .*",
        ),
        (
            document(selector={"namespaces": ["a", "é"]}),
            r"spec.selector.namespaces\[1\]: 'é' is not a name; use up to 63 .*",
        ),
        (
            document(selector={"namespaces": ["a" * 64]}),
            r"spec.selector.namespaces\[0\]: 'a+\.\.\. is not a name; use up to 63 .*",
        ),
        (
            document(selector={"pods": {"a": ["p_1"]}}),
            r"spec.selector.pods.a\[0\]: 'p_1' is not a name; use up to 253 small letters, .*",
        ),
        (
            document(selector={"pods": {"": ["p"]}}),
            r'spec.selector.pods\[""\]: it is not the name of a namespace; use up to 63 .*',
        ),
        (
            document(selector={"nodes": ["Node 1"]}),
            r"spec.selector.nodes\[0\]: 'Node 1' is not a name; use up to 253 .*",
        ),
        (
            document(containerNames=["a.b"]),
            r"spec.containerNames\[0\]: 'a.b' is not a name; use up to 63 .*",
        ),
        (
            document(selector={"fieldSelectors": {"spec.x": "1"}}),
            r'spec.selector.fieldSelectors\["spec.x"\]: \'1\' is of no field .*',
        ),
        (
            document(selector={"podPhaseSelectors": ["running"]}),
            r"spec.selector.podPhaseSelectors\[0\]: 'running' is not one of Pending, .*",
        ),
        (document(selector={"labelSelectors": {"a": 1}}), "spec.selector.labelSelectors.a: 1 .*"),
        (document(selector={"pods": {"a": "p"}}), "spec.selector.pods.a: 'p' is not a list; .*"),
        (document(selectors={}), "spec.selectors: it is not known here; did you mean selector."),
        ({**document(), "kind": "PodChaos"}, "kind: 'PodChaos' is not KernelChaos or Schedule"),
        ({**document(), "apiVersion": "v1"}, "apiVersion: 'v1' is not chaos-mesh.org/v1alpha1"),
        ({**document(), "metadata": {}}, "metadata.name: it is missing; .*"),
        ({**document(), "metadata": {"name": "A b"}}, "metadata.name: 'A b' is not a name; .*"),
        (
            {**document(), "metadata": {"name": "a", "labels": 5}},
            "metadata.labels: 5 is not an object; .*",
        ),
        (
            {**document(), "metadata": {"name": "a", "labels": {"app": 5}}},
            "metadata.labels.app: 5 is not text but a number; put it in quotes",
        ),
        (schedule(type="PodChaos"), "spec.type: 'PodChaos' is not KernelChaos"),
        (schedule(schedule="x"), "spec.schedule: 'x' is not a cron expression; .*"),
        (schedule(concurrencyPolicy="Replace"), "spec.concurrencyPolicy: 'Replace' is not one .*"),
        (schedule(historyLimit=0), r"spec.historyLimit: 0 is not in 1\.\.4294967295"),
        (schedule(startingDeadlineSeconds=-1), r"spec.startingDeadlineSeconds: -1 is not in .*"),
        (schedule(kernelChaos=None), "spec.kernelChaos: it is missing; it is an object"),
        (schedule(podChaos={}), "spec.podChaos: .* is not known here; .*"),
        (
            schedule(kernelChaos={**document()["spec"], "scheduler": {"cron": "@daily"}}),
            "spec.kernelChaos.scheduler: it is not known here; .*",
        ),
    ],
)
def test_a_wrong_field_is_one_line_with_place_and_path(given: dict[str, Any], line: str) -> None:
    (said,) = problems(given)
    assert re.fullmatch(rf"\d+:\d+: {line}", said), said


@pytest.mark.parametrize("text", ["'x'\n", "7\n", "- a\n"])
def test_of_what_is_no_document_nothing_is_missed(text: str) -> None:
    (said,) = problems(text)
    assert said.endswith("is not an object; write fields below it, in JSON in { }")


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_the_text() -> None:
    text = SEED.replace("mode: one", "mode: two").replace("failtype: 0", "failtype: 7")
    assert problems(text + "    probability: 150\n    tmies: 3\n") == [
        "7:9: spec.mode: 'two' is not one of one, all, fixed, fixed-percent, random-max-percent",
        "14:15: spec.failKernRequest.failtype: 7 is not in 0..2",
        "15:18: spec.failKernRequest.probability: 150 is not in 0..100",
        "16:12: spec.failKernRequest.tmies: it is not known here; did you mean times?",
    ]
