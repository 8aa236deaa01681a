"""One fault on nodes of two architectures: each agent gets the object that its node can load."""

from __future__ import annotations

import dataclasses
import json
import platform
from typing import Any

import pytest

from chaoskernel.compiler import clang, objects
from chaoskernel.compiler.objects import Target
from chaoskernel.errors import AgentError, ClusterError, NotPermitted
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.checks import packed, unpacked
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.k8s.architectures import MACHINES
from tests.unit.k8s.fake_cluster import FakeCluster, Script, armed
from tests.unit.k8s.on_nodes import a_fault, target

NODES = {"arm-1": "arm64", "arm-2": "arm64", "worker-1": "amd64"}
TYPES = b"\x9f\xeb\x01\x00 of arm64"


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    """Have a compiler that says what it compiled, on which types."""
    asked: list[Target] = []

    def compile_(_: Fault, node: Target) -> bytes:
        asked.append(node)
        types = node.types() if node.types else b"of this kernel"
        return b"\x7fELF " + types

    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(objects, "require_tools", lambda **_: None)
    monkeypatch.setattr(objects, "compiled", compile_)
    return asked


def said(text: str = packed(TYPES)) -> Script:
    types = {"type": "types", "number": 0, "of": 1, "text": text}
    return Script(first=(types, armed()))


def a_cluster(*scripts: Script) -> FakeCluster:
    arm = scripts[0] if scripts else said()
    found = FakeCluster({"arm-1": arm, "arm-2": said()})
    found.node_documents = [
        {
            "metadata": {"name": name},
            "status": {"nodeInfo": {"architecture": each, "kernelVersion": "6.12.1"}},
        }
        for name, each in NODES.items()
    ]
    return found


def with_predicate(*nodes: str, engine: EngineName = EngineName.CORE) -> Fault:
    fault = a_fault(*(nodes or NODES))
    return dataclasses.replace(fault, predicate="gfpflags == 1", engine=engine)


def documents(cluster: FakeCluster) -> list[tuple[str, Assignment]]:
    """Return what the agent of each Job was given, with its node, in the order of their making."""
    found = []
    for manifest in cluster.manifests.values():
        spec: dict[str, Any] = manifest["spec"]["template"]["spec"]
        (variable,) = spec["containers"][0]["env"]
        found.append((spec["nodeName"], Assignment.from_json(json.loads(variable["value"]))))
    return found


def test_each_node_gets_the_object_of_its_architecture() -> None:
    cluster = a_cluster()
    record = target(cluster).start(with_predicate())
    assert record.armed["nodes"] == ["arm-1", "arm-2", "worker-1"]
    (first, asked), *others = documents(cluster)
    assert (first, asked.types, asked.object, asked.fault.engine) == (
        "arm-1",
        True,
        "",
        EngineName.NONE,
    )
    assert [str(pod) for pod in asked.fault.scope.pods] == ["shop/db-0"]
    assert {
        node: (given.machine, unpacked(given.object), given.types) for node, given in others
    } == {
        "arm-1": ("aarch64", b"\x7fELF " + TYPES, False),
        "arm-2": ("aarch64", b"\x7fELF " + TYPES, False),
        "worker-1": ("x86_64", b"\x7fELF of this kernel", False),
    }


def test_the_agent_that_was_asked_for_types_is_gone_when_the_fault_is_in_force() -> None:
    cluster = a_cluster()
    target(cluster).start(with_predicate())
    assert cluster.deleted == [next(iter(cluster.manifests))]


def test_a_kernel_is_asked_for_its_types_once(compiled: list[Target]) -> None:
    cluster = a_cluster()
    here = target(cluster)
    for _ in range(2):
        here.start(with_predicate())
        here.stop()
    assert [given.types for _, given in documents(cluster)].count(True) == 1
    assert [each.machine for each in compiled] == ["aarch64", "", "aarch64", ""]


def test_on_nodes_like_this_machine_nothing_is_asked_of_an_agent() -> None:
    cluster = a_cluster()
    target(cluster).start(with_predicate("worker-1"))
    assert [(node, given.machine) for node, given in documents(cluster)] == [("worker-1", "x86_64")]


def test_without_predicates_nodes_are_not_even_listed() -> None:
    cluster = a_cluster()
    target(cluster).start(a_fault(*NODES))
    assert "nodes" not in cluster.calls
    assert {given.object for _, given in documents(cluster)} == {""}


def test_where_nodes_may_not_be_listed_they_are_taken_for_this_machine() -> None:
    cluster = a_cluster()
    cluster.refuse["nodes"] = lambda: NotPermitted("may not list nodes")
    target(cluster).start(with_predicate())
    assert {given.machine for _, given in documents(cluster)} == {"x86_64"}


def test_another_trouble_with_listing_nodes_is_an_error() -> None:
    cluster = a_cluster()
    cluster.refuse["nodes"] = lambda: ClusterError("it is down")
    with pytest.raises(ClusterError, match="it is down"):
        target(cluster).start(with_predicate())
    assert cluster.manifests == {}


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (Script(first=(armed(),)), "node arm-1: of 0 pieces of its kernel's types 0 were heard"),
        (said("x"), "node arm-1: what it says of its kernel's types is something else"),
        (
            Script(first=({"type": "error", "error": "AgentError", "message": "no types"},)),
            r"not armed on node arm-1 .*: no types",
        ),
    ],
)
def test_a_node_that_does_not_say_its_types_stops_the_start(script: Script, why: str) -> None:
    cluster = a_cluster(script)
    here = target(cluster)
    with pytest.raises((AgentError, ClusterError), match=why):
        here.start(with_predicate())
    assert sorted(cluster.deleted) == sorted(cluster.manifests)
    assert here.records() == []


def test_nodes_whose_registers_are_unknown_are_left_to_bcc() -> None:
    cluster = a_cluster()
    cluster.node_documents[2]["status"]["nodeInfo"]["architecture"] = "riscv64"
    target(cluster).start(with_predicate(engine=EngineName.AUTO))
    _, *others = documents(cluster)
    assert [(node, given.machine) for node, given in others if node == "worker-1"] == [
        ("worker-1", "")
    ]


def test_the_names_of_architectures_are_those_that_objects_are_made_for() -> None:
    assert set(MACHINES.values()) == set(clang.ARCHITECTURES)
