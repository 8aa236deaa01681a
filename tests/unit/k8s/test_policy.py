"""deploy/policy.yaml: its expressions admit every pod that a fault makes, and no other."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cel_expr_python import cel

from chaoskernel.backend import launch
from chaoskernel.fault import checks
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.limits import MAX_DURATION
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Limits
from chaoskernel.k8s import job
from chaoskernel.k8s.job import Settings

ROOT = Path(__file__).parents[3]
DOCUMENTS: list[dict[str, Any]] = [
    *yaml.safe_load_all((ROOT / "deploy/policy.yaml").read_text(encoding="utf-8"))
]
RBAC: list[dict[str, Any]] = [
    *yaml.safe_load_all((ROOT / "deploy/rbac.yaml").read_text(encoding="utf-8"))
]
POD = PodScope("shop", "db-0", "12345678-00", "worker-1", (PodContainer("app", "containerd://1"),))
IMAGE = "localhost/chaoskernel:0.1.0"

Change = Callable[[dict[str, Any]], object]


def document(kind: str, name: str) -> dict[str, Any]:
    (found,) = [d for d in DOCUMENTS if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


POLICY = document("ValidatingAdmissionPolicy", "chaoskernel-agents")["spec"]
MESSAGES = [validation["message"] for validation in POLICY["validations"]]


@functools.cache
def compiled(expression: str) -> Any:
    types = {"object": cel.Type.DYN, "variables": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)}
    return cel.NewEnv(variables=types).compile(expression)


def evaluated(expression: str, **data: Any) -> Any:
    return compiled(expression).eval(data=data).plain_value()


@functools.cache
def variables() -> dict[str, Any]:
    return {
        each["name"]: evaluated(each["expression"], object={}, variables={})
        for each in POLICY["variables"]
    }


def refusals(pod: dict[str, Any]) -> list[str]:
    """Return the messages of the rules that refuse a pod; a rule that cannot be evaluated does."""
    return [
        validation["message"]
        for validation in POLICY["validations"]
        if evaluated(validation["expression"], object=pod, variables=variables()) is not True
    ]


def a_fault(engine: EngineName, duration: float = 30) -> Fault:
    return Fault(
        name="x",
        kind=Kind.SLAB,
        scope=Scope(pods=(POD,)),
        limits=Limits(duration=duration),
        engine=engine,
        dry_run=engine is EngineName.NONE,
    )


def agent(engine: EngineName = EngineName.CORE, **settings: Any) -> dict[str, Any]:
    """Return the pod that a fault's Job makes."""
    fault = a_fault(engine, settings.pop("duration", 30))
    start = settings.pop("start_seconds", 60)
    given = Settings("chaoskernel", settings.pop("image", IMAGE), **settings)
    made = job.job(Assignment(fault), "abc123", 2, given, start_seconds=start, started_by="me")
    template: dict[str, Any] = made["spec"]["template"]
    # As the server does before it asks for admission.
    template["spec"]["serviceAccountName"] = "default"
    return copy.deepcopy(template)


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


def container(**changes: Any) -> Change:
    return lambda pod: pod["spec"]["containers"][0].update(changes)


def security(**changes: Any) -> Change:
    return lambda pod: pod["spec"]["containers"][0]["securityContext"].update(changes)


def confined(**changes: Any) -> Change:
    return lambda pod: pod["spec"]["securityContext"].update(changes)


def spec(**changes: Any) -> Change:
    return lambda pod: pod["spec"].update(changes)


def lacking(*path: str | int) -> Change:
    def change(pod: dict[str, Any]) -> None:
        place: Any = pod
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


def mount(number: int, **changes: Any) -> Change:
    return lambda pod: pod["spec"]["containers"][0]["volumeMounts"][number].update(changes)


def volume(**source: Any) -> Change:
    return lambda pod: pod["spec"]["volumes"].append({"name": "more", **source})


def moved(path: str) -> Change:
    """Have a directory of the node be another one."""

    def change(pod: dict[str, Any]) -> None:
        pod["spec"]["volumes"][1]["hostPath"]["path"] = path
        pod["spec"]["containers"][0]["volumeMounts"][1]["mountPath"] = path

    return change


def hooked(key: str) -> Change:
    return container(**{key: {"exec": {"command": ["sh"]}}})


AGENT = ("spec", "containers", 0)
OTHER = {"name": "other", "image": IMAGE}
ONE, PICTURE, RUNS, VARIABLE, RIGHTS, PROFILES, HOST, FILES, MOUNTS, TOKEN, END, ROOM, LABEL = (
    MESSAGES
)

FORBIDDEN: dict[str, tuple[str, list[Change]]] = {
    "containers": (
        ONE,
        [
            container(name="other"),
            spec(initContainers=[OTHER]),
            spec(ephemeralContainers=[OTHER]),
        ],
    ),
    "images": (
        PICTURE,
        [
            container(image=image)
            for image in (
                "busybox",
                "evil.example/localhost/chaoskernel:1",
                "localhost/chaoskernel",
                "localhost/chaoskernel:1/../x",
                "localhost/chaoskernel-evil:1",
                "localhost/chaoskernel@sha256:1",
                "localhost/chaoskernel:1\nx",
                f"localhost/chaoskernel@sha256:{'a' * 65}",
                "",
            )
        ],
    ),
    "commands": (
        RUNS,
        [
            container(command=["sh"]),
            container(args=["-c", "id"]),
            container(workingDir="/usr/src"),
            container(lifecycle={"postStart": {"exec": {"command": ["sh"]}}}),
            *map(hooked, ("livenessProbe", "readinessProbe", "startupProbe")),
        ],
    ),
    "variables": (
        VARIABLE,
        [
            container(env=[{"name": "LD_PRELOAD", "value": "/usr/src/x.so"}]),
            container(envFrom=[{"secretRef": {"name": "x"}}]),
            container(env=[{"name": "CHAOSKERNEL_FAULT", "valueFrom": {"secretKeyRef": {}}}]),
        ],
    ),
    "rights": (
        RIGHTS,
        [
            security(privileged=True),
            security(readOnlyRootFilesystem=False),
            security(capabilities={"drop": ["ALL"], "add": ["SYS_MODULE"]}),
            security(capabilities={"drop": ["ALL"], "add": ["ALL"]}),
            security(capabilities={"drop": ["ALL"], "add": ["CAP_SYS_MODULE"]}),
            security(capabilities={"add": ["SYS_PTRACE"]}),
            security(capabilities={"drop": ["KILL"]}),
            lacking(*AGENT, "securityContext", "capabilities"),
            lacking(*AGENT, "securityContext", "readOnlyRootFilesystem"),
            lacking(*AGENT, "securityContext"),
        ],
    ),
    "profiles": (
        PROFILES,
        [
            confined(seccompProfile={"type": "Unconfined"}),
            confined(seccompProfile={"type": "Localhost", "localhostProfile": "x"}),
            confined(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
            confined(seLinuxOptions={"type": "spc_t"}),
            confined(appArmorProfile={"type": "Unconfined"}),
            confined(windowsOptions={"hostProcess": True}),
            security(seccompProfile={"type": "Unconfined"}),
            security(appArmorProfile={"type": "Unconfined"}),
            security(seLinuxOptions={"type": "spc_t"}),
            security(procMount="Unmasked"),
            spec(runtimeClassName="unconfined"),
            lacking("spec", "securityContext"),
            lambda pod: pod["metadata"]["annotations"].update(
                {"container.apparmor.security.beta.kubernetes.io/agent": "unconfined"}
            ),
        ],
    ),
    "the node's namespaces": (
        HOST,
        [
            spec(hostNetwork=True),
            spec(hostIPC=True),
            spec(shareProcessNamespace=True),
            container(ports=[{"containerPort": 80, "hostPort": 80}]),
        ],
    ),
    "volumes": (
        FILES,
        [
            *(moved(path) for path in ("/", "/etc", "/sys", "/var/lib/kubelet", "/sys/kernel/..")),
            volume(hostPath={"path": "/root"}),
            volume(hostPath={"path": "/lib/modules", "type": "DirectoryOrCreate"}),
            volume(emptyDir={}),
            volume(emptyDir={"sizeLimit": "1Mi", "medium": "Memory"}),
            volume(secret={"secretName": "x"}),
            volume(configMap={"name": "x"}),
            volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
            volume(persistentVolumeClaim={"claimName": "x"}),
            volume(csi={"driver": "x"}),
            container(volumeDevices=[{"name": "x", "devicePath": "/dev/x"}]),
        ],
    ),
    "mounts": (
        MOUNTS,
        [
            mount(1, readOnly=False),
            lacking(*AGENT, "volumeMounts", 1, "readOnly"),
            mount(1, mountPath="/usr/lib/python3"),
            mount(0, mountPath="/usr/lib/python3"),
            mount(1, subPath="x"),
            mount(1, subPathExpr="$(x)"),
            mount(1, mountPropagation="Bidirectional"),
            mount(1, mountPropagation="HostToContainer"),
            mount(1, name="unknown"),
        ],
    ),
    "tokens": (
        TOKEN,
        [
            spec(automountServiceAccountToken=True),
            lacking("spec", "automountServiceAccountToken"),
            spec(serviceAccountName="chaoskernel"),
        ],
    ),
    "ends": (
        END,
        [
            lacking("spec", "activeDeadlineSeconds"),
            spec(activeDeadlineSeconds=10**9),
            spec(restartPolicy="Always"),
        ],
    ),
    "room": (
        ROOM,
        [
            container(resources={}),
            container(resources={"limits": {"cpu": "1"}}),
            container(resources={"limits": {"memory": "1Gi"}}),
            container(resources={"limits": {"cpu": "1", "memory": "1Gi", "x.example/gpu": "1"}}),
            lacking(*AGENT, "resources"),
            spec(resourceClaims=[{"name": "gpu"}]),
        ],
    ),
    "labels": (
        LABEL,
        [
            lacking("metadata", "labels"),
            lacking("metadata", "labels", "app.kubernetes.io/name"),
            lambda pod: pod["metadata"]["labels"].update({"app.kubernetes.io/name": "x"}),
        ],
    ),
}


def test_each_rule_is_tried() -> None:
    assert [rule for rule, _ in FORBIDDEN.values()] == MESSAGES


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        pytest.param(rule, change, id=f"{name}-{number}")
        for name, (rule, changes) in FORBIDDEN.items()
        for number, change in enumerate(changes)
    ],
)
def test_other_pods_are_refused_by_the_rule_for_it(rule: str, change: Change) -> None:
    pod = agent()
    change(pod)
    assert refusals(pod) == [rule]


def test_a_second_container_is_refused_whatever_it_is() -> None:
    pod = agent()
    pod["spec"]["containers"].append(copy.deepcopy(pod["spec"]["containers"][0]))
    assert refusals(pod) == [ONE]


def test_a_privileged_agent_is_refused() -> None:
    assert refusals(agent(privileged=True)) == [RIGHTS]


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
