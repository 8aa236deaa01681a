"""Each rule of deploy/policy.yaml refuses the pods that it is for."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.k8s.policy import IMAGE, MESSAGES, Change, agent, refusals


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
