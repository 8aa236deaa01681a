"""The Job of a node: what it may do, where it runs, how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Limits
from chaoskernel.k8s import job
from chaoskernel.k8s.job import Owner, Settings, settings

POD = PodScope("shop", "db-0", "12345678-00", "worker-1", (PodContainer("app", "containerd://1"),))


def a_fault(kind: Kind = Kind.SLAB, **more: Any) -> Fault:
    given = {"limits": Limits(duration=30), "scope": Scope(pods=(POD,)), **more}
    return Fault(name="Pod_enomem.1", kind=kind, **given)


def made(fault: Fault | None = None, *, privileged: bool = False, **more: Any) -> dict[str, Any]:
    given = Settings("chaoskernel", "i@sha256:1", privileged)
    return job.job(Assignment(fault or a_fault()), "abc123", 2, given, start_seconds=60, **more)


def of_engine(engine: EngineName) -> Fault:
    return a_fault(engine=engine, dry_run=engine is EngineName.NONE)


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]["template"]["spec"]
    return found


def test_it_is_pinned_to_its_node_and_runs_once() -> None:
    document = made()
    spec = pod_of(document)
    assert (document["apiVersion"], document["kind"]) == ("batch/v1", "Job")
    assert spec["nodeName"] == "worker-1"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert (document["spec"]["backoffLimit"], spec["restartPolicy"]) == (0, "Never")


def test_it_ends_by_itself_after_start_duration_and_a_margin() -> None:
    document = made()
    assert document["spec"]["activeDeadlineSeconds"] == 60 + 30 + 60
    assert pod_of(document)["activeDeadlineSeconds"] == 60 + 30 + 60
    assert document["spec"]["ttlSecondsAfterFinished"] == 300


def test_it_has_capabilities_and_no_privilege_token_or_writable_root() -> None:
    spec = pod_of(made())
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert "privileged" not in security
    assert security["capabilities"]["drop"] == ["ALL"]
    assert {"SYS_ADMIN", "SYS_PTRACE", "SYS_RESOURCE"} <= set(security["capabilities"]["add"])
    assert security["readOnlyRootFilesystem"] is True
    assert (spec["hostPID"], spec["automountServiceAccountToken"]) == (True, False)
    mounts = {m["name"]: m.get("readOnly", False) for m in container["volumeMounts"]}
    assert mounts == {
        "tmp": False,
        "kernel": True,
        "cgroup": True,
        "modules": True,
        "headers": True,
    }


@pytest.mark.parametrize(
    ("engine", "names"),
    [
        (EngineName.AUTO, {"tmp", "cgroup", "kernel", "modules", "headers"}),
        (EngineName.BCC, {"tmp", "cgroup", "kernel", "modules", "headers"}),
        (EngineName.CORE, {"tmp", "cgroup", "kernel"}),
        (EngineName.NONE, {"tmp", "cgroup"}),
    ],
)
def test_an_agent_is_shown_of_its_node_what_its_engine_reads(
    engine: EngineName, names: set[str]
) -> None:
    spec = pod_of(made(of_engine(engine)))
    mounts = spec["containers"][0]["volumeMounts"]
    assert {mount["name"] for mount in mounts} == {v["name"] for v in spec["volumes"]} == names
    paths = {v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
    assert paths == {mount["mountPath"] for mount in mounts if mount["name"] != "tmp"}
    # Else what is mounted below the directories stays writable.
    assert {
        (mount["readOnly"], mount["recursiveReadOnly"])
        for mount in mounts
        if mount["name"] != "tmp"
    } == {(True, "IfPossible")}


def test_a_fault_that_core_alone_knows_takes_no_compiler_along() -> None:
    spec = pod_of(made(a_fault(Kind.OPEN)))
    assert {volume["name"] for volume in spec["volumes"]} == {"tmp", "cgroup", "kernel"}
    assert spec["containers"][0]["resources"]["limits"]["memory"] == "128Mi"


@pytest.mark.parametrize("engine", EngineName)
def test_its_room_is_bounded_and_reserved(engine: EngineName) -> None:
    spec = pod_of(made(of_engine(engine)))
    resources = spec["containers"][0]["resources"]
    may_be_bcc = engine in (EngineName.AUTO, EngineName.BCC)
    expected = {
        "cpu": "500m" if may_be_bcc else "200m",
        "memory": "512Mi" if may_be_bcc else "128Mi",
    }
    # Equal, and of all its containers: the quality of service is Guaranteed.
    assert resources == {"requests": expected, "limits": expected}
    assert len(spec["containers"]) == 1
    (tmp,) = [volume for volume in spec["volumes"] if volume["name"] == "tmp"]
    assert tmp["emptyDir"] == {"sizeLimit": "256Mi" if may_be_bcc else "16Mi"}


@pytest.mark.parametrize("engine", EngineName)
def test_its_system_calls_are_filtered_and_a_rehearsal_gains_no_privileges(
    engine: EngineName,
) -> None:
    spec = pod_of(made(of_engine(engine)))
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    escalation = spec["containers"][0]["securityContext"].get("allowPrivilegeEscalation")
    # Kubernetes refuses it together with SYS_ADMIN.
    assert escalation == (False if engine is EngineName.NONE else None)


def test_room_and_priority_are_the_environments() -> None:
    environment = {
        "CHAOSKERNEL_CPU": "0.5",
        "CHAOSKERNEL_MEMORY": "1Gi",
        "CHAOSKERNEL_PRIORITY_CLASS": "chaos.high",
    }
    given = settings(environment=environment)
    document = job.job(Assignment(a_fault()), "r", 0, given, start_seconds=60)
    spec = pod_of(document)
    wanted = {"cpu": "0.5", "memory": "1Gi"}
    assert spec["containers"][0]["resources"] == {"requests": wanted, "limits": wanted}
    assert spec["priorityClassName"] == "chaos.high"
    assert "priorityClassName" not in pod_of(made())


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("CHAOSKERNEL_CPU", ["0", "0m", "0.0", "1.5m", "-1", "half", "1\n", "1" * 9]),
        ("CHAOSKERNEL_MEMORY", ["0", "0Mi", "128mi", "1.5Gi", "-1Mi", "1 Mi", "1\n"]),
        ("CHAOSKERNEL_PRIORITY_CLASS", ["A", "a b", "-a", "a\n"]),
    ],
)
def test_what_no_room_or_priority_is_called_is_refused(variable: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(InvalidFault, match=f"^{variable}: .* is not "):
            settings(environment={variable: value})


def test_a_rehearsal_is_capable_of_nothing_but_to_look_into_containers() -> None:
    spec = pod_of(made(a_fault(engine=EngineName.NONE, dry_run=True)))
    security = spec["containers"][0]["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["SYS_PTRACE"]}


def test_privilege_is_given_when_it_is_asked_for() -> None:
    (container,) = pod_of(made(privileged=True))["containers"]
    assert container["securityContext"]["privileged"] is True
    assert "capabilities" not in container["securityContext"]


def test_it_is_found_by_labels_which_its_pod_has_too() -> None:
    document = made()
    labels = document["metadata"]["labels"]
    assert document["spec"]["template"]["metadata"]["labels"] == labels
    assert labels["app.kubernetes.io/name"] == "chaoskernel"
    assert (labels["chaoskernel/fault"], labels["chaoskernel/run"]) == ("Pod_enomem.1", "abc123")
    assert document["metadata"]["name"] == "chaoskernel-pod-enomem-1-abc123-2"
    assert document["metadata"]["annotations"]["chaoskernel/pods"] == "shop/db-0"


def test_its_owner_is_the_pod_of_the_experiment() -> None:
    (reference,) = made(owner=Owner("chaos", "u-1"))["metadata"]["ownerReferences"]
    assert reference == {"apiVersion": "v1", "kind": "Pod", "name": "chaos", "uid": "u-1"}


def test_the_agent_gets_the_fault_as_it_is() -> None:
    fault = a_fault(predicate='STRNCMP(name, "$(HOME)", 8)')
    (variable,) = pod_of(made(fault))["containers"][0]["env"]
    assert "$" not in variable["value"]
    assert Assignment.from_json(json.loads(variable["value"])) == Assignment(fault)


def test_a_fault_that_no_environment_can_hold_is_refused() -> None:
    pods = tuple(PodScope("shop", f"p{'x' * 200}{n}", "1234abcd", "n") for n in range(500))
    with pytest.raises(InvalidFault, match="the fault: .* bytes; at most .* are allowed"):
        made(a_fault(scope=Scope(pods=pods)))


def test_settings_are_arguments_then_environment_then_defaults() -> None:
    environment = {"CHAOSKERNEL_NAMESPACE": "faults", "CHAOSKERNEL_IMAGE": "r/i:1"}
    assert settings(environment=environment) == Settings("faults", "r/i:1")
    assert settings("mine", "mine:2", True, environment) == Settings("mine", "mine:2", True)
    assert settings(environment={}).namespace == "chaoskernel"
    with pytest.raises(InvalidFault, match="image"):
        settings(image=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [" ", "A/B", "a/b é", "-a", "a-", "a.b", "a\n", "a" * 64])
def test_what_no_namespace_can_be_called_is_refused_by_where_it_is_from(name: str) -> None:
    with pytest.raises(InvalidFault, match="^jobs_namespace: .* is not the name of a namespace"):
        settings(name, environment={"CHAOSKERNEL_NAMESPACE": "well"})
    with pytest.raises(InvalidFault, match="^CHAOSKERNEL_NAMESPACE: .* is not the name of"):
        settings(environment={"CHAOSKERNEL_NAMESPACE": name})
    # What is not used is not looked at.
    assert settings("well", environment={"CHAOSKERNEL_NAMESPACE": name}).namespace == "well"


@pytest.mark.parametrize("name", [" ", "A B", "r/i:1\n", "é"])
def test_what_no_image_can_be_called_is_refused_by_where_it_is_from(name: str) -> None:
    with pytest.raises(InvalidFault, match="^image: .* is not the name of an image"):
        settings(image=name, environment={})
    with pytest.raises(InvalidFault, match="^CHAOSKERNEL_IMAGE: .* is not the name of an image"):
        settings(environment={"CHAOSKERNEL_IMAGE": name})


@pytest.mark.parametrize("name", ["i", "[::1]:5000/r/i_1:v1.0-rc", "r:80/i@sha256:" + "a" * 64])
def test_names_of_namespaces_and_images(name: str) -> None:
    assert settings("0-a" + "b" * 60, name, environment={}).image == name
