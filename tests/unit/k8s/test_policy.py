"""deploy/policy.yaml: its expressions admit every pod that a fault makes, and no other."""

from __future__ import annotations

import pytest

from chaoskernel.backend import launch
from chaoskernel.fault import checks
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.limits import MAX_DURATION
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.k8s import job
from chaoskernel.k8s.job import Settings
from tests.unit.k8s.policy import (
    IMAGE,
    POD,
    POLICY,
    RBAC,
    a_fault,
    agent,
    document,
    evaluated,
    refusals,
    variables,
)


@pytest.mark.parametrize("engine", EngineName)
def test_every_pod_that_a_fault_makes_is_admitted(engine: EngineName) -> None:
    assert refusals(agent(engine)) == []
    assert refusals(agent(engine, cpu="2", memory="1Gi", priority_class="high")) == []


def test_the_longest_fault_is_admitted_and_nothing_longer() -> None:
    pod = agent(duration=MAX_DURATION, start_seconds=launch.MAX_START_SECONDS)
    assert pod["spec"]["activeDeadlineSeconds"] == variables()["longest"]
    assert refusals(pod) == []
    pod["spec"]["activeDeadlineSeconds"] += 1
    assert refusals(pod) == ["only with an end, and run once"]


def test_the_policy_knows_what_agents_have_and_no_more() -> None:
    capabilities = {each for engine in EngineName for each in job.capabilities(engine)}
    given = [Assignment(a_fault(engine)) for engine in EngineName]
    paths = {each for assigned in given for each in job.host_paths(assigned).values()}
    assert set(variables()["capabilities"]) == capabilities
    assert set(variables()["paths"]) == paths


def test_the_default_images_are_the_ones_that_are_admitted() -> None:
    assert refusals(agent(image=job.settings(environment={}).image)) == []
    for image in ("localhost/chaoskernel-slim:0.1.0", f"localhost/chaoskernel@sha256:{'a' * 64}"):
        assert refusals(agent(image=image)) == []


def test_the_policies_are_in_force_in_the_namespace_of_the_agents() -> None:
    (namespace,) = [d for d in RBAC if d["kind"] == "Namespace"]
    space = namespace["metadata"]["name"]
    assert space == job.settings(environment={}).namespace
    actions = {"agents": ["Deny"], "closed": ["Deny"], "programs": ["Audit"]}
    for policy, action in ((f"chaoskernel-{name}", action) for name, action in actions.items()):
        assert document("ValidatingAdmissionPolicy", policy)["spec"]["failurePolicy"] == "Fail"
        binding = document("ValidatingAdmissionPolicyBinding", policy)["spec"]
        selected = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}}
        assert (binding["policyName"], binding["validationActions"]) == (policy, action)
        assert binding["matchResources"] == selected
    (rule,) = POLICY["matchConstraints"]["resourceRules"]
    assert set(rule["operations"]) == {"CREATE", "UPDATE"}
    assert set(rule["resources"]) == {"pods", "pods/ephemeralcontainers"}


def brings_a_program(text: str) -> bool:
    policy = document("ValidatingAdmissionPolicy", "chaoskernel-programs")["spec"]
    (validation,) = policy["validations"]
    pod = agent()
    pod["spec"]["containers"][0]["env"][0]["value"] = text
    return evaluated(validation["expression"], object=pod, variables={}) is not True


@pytest.mark.parametrize("engine", EngineName)
def test_a_fault_without_a_program_brings_none(engine: EngineName) -> None:
    (variable,) = agent(engine)["spec"]["containers"][0]["env"]
    assert '"object":""' in variable["value"]
    assert not brings_a_program(variable["value"])
    assert not brings_a_program('{"predicate":"a == \\u0024x","object":""}')


def test_a_fault_with_a_program_brings_one() -> None:
    image = checks.packed(b"\x7fELF" + b"x" * 100)
    fault = Fault(name="x", kind=Kind.SLAB, scope=Scope(pods=(POD,)))
    made = job.job(Assignment(fault, image), "r", 0, Settings("c", IMAGE), start_seconds=60)
    (variable,) = made["spec"]["template"]["spec"]["containers"][0]["env"]
    assert brings_a_program(variable["value"])


@pytest.mark.parametrize(
    "text",
    [
        '{"object":"eJx"}',
        '{"object" \t:\n "eJx"}',
        '{"object":"","object":"eJx"}',
        '{"object":["eJx"]}',
        '{"\\u006fbject":"eJx"}',
        '{"o\\u0062ject":"eJx"}',
        '{"objec\\u0074":"eJx"}',
    ],
)
def test_no_other_spelling_brings_a_program_either(text: str) -> None:
    assert brings_a_program(text)


def test_nobody_enters_an_agent() -> None:
    closed = document("ValidatingAdmissionPolicy", "chaoskernel-closed")["spec"]
    (rule,) = closed["matchConstraints"]["resourceRules"]
    assert (rule["operations"], rule["resources"][:2]) == (
        ["CONNECT"],
        ["pods/exec", "pods/attach"],
    )
    assert [evaluated(v["expression"], object={}, variables={}) for v in closed["validations"]] == [
        False
    ]


def test_the_network_is_denied_to_agents() -> None:
    policy = document("NetworkPolicy", "chaoskernel-agents")
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= agent()["metadata"]["labels"].items()
    assert policy["spec"] == {
        "podSelector": {"matchLabels": selected},
        "policyTypes": ["Ingress", "Egress"],
    }
