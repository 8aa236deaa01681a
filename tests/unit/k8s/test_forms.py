"""What fits a form can be read: no document of the API's ends in a traceback."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from chaoskernel.backend.series import Series
from chaoskernel.k8s import api_errors, forms, leftovers, nodes
from chaoskernel.k8s.forms import Form
from chaoskernel.k8s.node import NodeAgent
from chaoskernel.k8s.owner import owner_of
from chaoskernel.k8s.progress import Roll
from chaoskernel.k8s.recent_events import Latest
from tests.unit.k8s.fake_cluster import pod
from tests.unit.k8s.test_nodes import with_sidecars

JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    "",
    "x",
    [],
    {},
    [None],
    {"a": None},
    [[]],
    "9" * 99,
]

OWNER = {"kind": "Job", "name": "j", "uid": "u", "controller": True}
POD = pod(
    "web-1",
    metadata={"labels": {"app": "web"}, "annotations": {"a": "b"}, "ownerReferences": [OWNER]},
    spec={"restartPolicy": "Always", "hostNetwork": False, "activeDeadlineSeconds": 9},
)
WAITING = copy.deepcopy(POD)
WAITING["status"]["containerStatuses"][0]["state"] = {
    "waiting": {"reason": "ErrImagePull", "message": "none"}
}
FAILED = copy.deepcopy(POD)
FAILED["status"] |= {"phase": "Failed", "reason": "Evicted", "startTime": "2026-01-01T00:00:00Z"}
FAILED["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 1}}
JOB = {
    "metadata": {**POD["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"activeDeadlineSeconds": 100},
    "status": {"startTime": "2026-01-01T00:00:00Z", "failed": 1},
}
EVENT = {"involvedObject": {"name": "j"}, "reason": "FailedCreate", "message": "no quota"}


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield (*path, key)
        yield from paths(value[key], (*path, key))


def changed(document: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Return a document in which up to three values are others, or are missing."""
    found = copy.deepcopy(document)
    for _ in range(draw.randint(1, 3)):
        path = draw.choice([*paths(found)] or [("metadata",)])
        place: Any = found
        for step in path[:-1]:
            place = place[step]
        if draw.random() < 0.2 and not isinstance(place, list):
            place.pop(path[-1], None)
        else:
            place[path[-1]] = copy.deepcopy(draw.choice(JUNK))
    return found


def read_pod(document: dict[str, Any]) -> None:
    nodes.read(document)
    leftovers._of_pod(document)
    owner_of(document)
    api_errors.pod_trouble(document)


def see_pod(document: dict[str, Any]) -> None:
    agent = NodeAgent("n", "j", (), Roll(), Latest(), Series())
    agent.belongs_to("")
    agent.see("ADDED", document)
    agent.see("DELETED", document)
    agent.error()
    agent.waits_for()


READERS: dict[str, tuple[Form, list[dict[str, Any]], Any]] = {
    "pods that are selected from": (
        forms.SELECTABLE_POD,
        [POD, with_sidecars(), WAITING, FAILED],
        read_pod,
    ),
    "pods that are watched": (forms.POD, [POD, WAITING, FAILED], see_pod),
    "jobs": (forms.JOB, [JOB], leftovers._of_job),
    "events": (forms.EVENT, [EVENT], api_errors.event_trouble),
}


@pytest.mark.parametrize("kind", READERS)
def test_what_fits_can_be_read(kind: str) -> None:
    form, documents, read = READERS[kind]
    draw = random.Random(13)
    fitting = 0
    for document in documents:
        assert forms.problem(document, form) == ""
        read(document)
        for _ in range(1000):
            made = changed(document, draw)
            if forms.problem(made, form) == "":
                fitting += 1
                read(made)
    # The others are refused; there have to be many of both.
    assert 100 < fitting < 950 * len(documents)


@pytest.mark.parametrize(
    ("value", "form", "problem"),
    [
        ({"a": 1}, {"a": str}, "a is not text"),
        ({"a": True}, {"a": int}, "a is not a whole number"),
        ({"a": 1}, {"a": bool}, "a is not true or false"),
        ({"a": {}}, {"a": [str]}, "a is not a list"),
        ({"a": ["x", 5]}, {"a": [str]}, "a[] is not text"),
        ({}, {"a!": str}, "a is missing"),
        ({"a": None}, {"a!": str}, "a is missing"),
        ({"a": {"b": 5}}, {"a": {"*": str}}, "a.* is not text"),
        ([], {"a": str}, "it is not an object"),
        ({"a": None}, {"a": str}, ""),
        ({"b": 5}, {"a": str}, ""),
    ],
)
def test_the_first_problem_is_reported(value: Any, form: Form, problem: str) -> None:
    assert forms.problem(value, form) == problem
