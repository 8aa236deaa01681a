"""What travels to an agent: a fault, and beside it the object that was compiled for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.assignment import FAULT_VARIABLE, Assignment
from chaoskernel.fault.checks import packed
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.job import CONTAINER
from tests.unit.k8s.test_job import made, pod_of

FAULT = Fault("x", Kind.SLAB, Scope(pids=(42,)), predicate="gfpflags == 1")
IMAGE = packed(b"\x7fELF and so on")


@pytest.mark.parametrize("image", ["", IMAGE])
def test_an_assignment_survives_its_journey(image: str) -> None:
    given = Assignment(FAULT, image)
    document = json.loads(json.dumps(given.to_json()))
    assert document == {"fault": FAULT.to_json(), "object": image}
    assert Assignment.from_json(document) == given
    assert Assignment.from_text(json.dumps(document)) == given


def test_what_an_object_is_for_travels_with_it() -> None:
    given = Assignment(FAULT, IMAGE, "aarch64", types=True)
    document = json.loads(json.dumps(given.to_json()))
    assert (document["machine"], document["types"]) == ("aarch64", True)
    assert Assignment.from_json(document) == given


def test_an_object_of_another_machine_is_refused_and_one_of_this_is_not() -> None:
    for machine in ("", "x86_64"):
        Assignment(FAULT, IMAGE, machine).require_machine("x86_64")
    with pytest.raises(
        UnsupportedKernel, match=r"were compiled for x86_64, and this is aarch64; .* list nodes$"
    ):
        Assignment(FAULT, IMAGE, "x86_64").require_machine("aarch64")


@pytest.mark.parametrize(("key", "value"), [("machine", 7), ("types", "yes"), ("types", 1)])
def test_what_is_said_of_an_object_is_checked(key: str, value: Any) -> None:
    with pytest.raises(InvalidFault, match=rf"^{key}: "):
        Assignment.from_json({"fault": FAULT.to_json(), key: value})


def test_a_fault_alone_has_no_object() -> None:
    assert Assignment.from_json(FAULT.to_json()) == Assignment(FAULT)
    assert Assignment.from_json({"fault": FAULT.to_json()}) == Assignment(FAULT)


@pytest.mark.parametrize("image", ["", IMAGE, 7, None])
def test_an_object_inside_the_fault_is_refused_with_its_place(image: Any) -> None:
    inside = {**FAULT.to_json(), "object": image}
    for document in (inside, {"fault": inside}, {"fault": inside, "object": IMAGE}):
        with pytest.raises(
            InvalidFault, match=r"^object: .* is not part of the fault; it stands beside the fault"
        ):
            Assignment.from_json(document)


@pytest.mark.parametrize("text", ["x", "!", packed(b"text"), 5, None, [IMAGE]])
def test_a_text_that_is_no_object_is_refused(text: Any) -> None:
    with pytest.raises(InvalidFault, match=r"^object: .* is not an object file"):
        Assignment.from_json({"fault": FAULT.to_json(), "object": text})


@pytest.mark.parametrize("key", ["faults", "objects", "image"])
def test_another_key_beside_the_fault_is_refused(key: str) -> None:
    with pytest.raises(
        InvalidFault, match=rf"^{key}: .*; the keys are fault, machine, object, types$"
    ):
        Assignment.from_json({"fault": FAULT.to_json(), key: ""})


@pytest.mark.parametrize("document", [None, [], "a", 7, {}, {"fault": None}, {"fault": []}])
def test_what_has_no_fault_is_refused(document: Any) -> None:
    with pytest.raises(InvalidFault, match=r"^(the fault|fault|name): "):
        Assignment.from_json(document)


def test_the_variable_of_a_job_is_the_one_that_the_agent_reads() -> None:
    (container,) = pod_of(made())["containers"]
    assert container["name"] == CONTAINER
    assert [variable["name"] for variable in container["env"]] == [FAULT_VARIABLE]
