"""What is reported of the fields of a KernelChaos that are wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chaoskernel.chaosmesh import manifest
from chaoskernel.errors import InvalidManifest
from tests.unit.chaosmesh.manifest.documents import SEED, as_json, document, schedule


def problems(value: dict[str, Any] | str) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        manifest.parse(value if isinstance(value, str) else as_json(value))
    return list(refused.value.problems)


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
