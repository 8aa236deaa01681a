"""Activities and commands on a cluster: from selectors to counters, and to what is left."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed
from click.testing import CliRunner, Result

from chaoskernel import actions, control, probes
from chaoskernel.backend.backends import sharing
from chaoskernel.chaosmesh import registry
from chaoskernel.cli import ps, stop
from chaoskernel.errors import EngineError, UnknownFault
from chaoskernel.k8s.access import reaching
from tests.unit.fakes import FakeBackend
from tests.unit.k8s.fake_cluster import FakeCluster, pod

MANIFEST = """
apiVersion: chaos-mesh.org/v1alpha1
kind: KernelChaos
metadata: {name: kc, namespace: shop}
spec:
  mode: all
  selector: {labelSelectors: {app: db}}
  failKernRequest: {failtype: 0}
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A shop of two pods on two nodes, which is the one that the environment names."""
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    monkeypatch.setenv("KUBERNETES_HOST", "https://cluster")
    labels = {"labels": {"app": "db"}}
    found = FakeCluster(
        None, pod("db-0", "worker-1", metadata=labels), pod("db-1", "worker-2", metadata=labels)
    )
    with reaching(found), sharing(FakeBackend()):
        yield found
        registry.shared().delete_all()


def deep(levels: int) -> list[object]:
    found: list[object] = []
    for _ in range(levels):
        found = [found]
    return found


def test_numbers_that_come_as_text_are_taken(cluster: FakeCluster) -> None:
    started = start(seed="7", max_nodes="2", probability="50", times="3", duration="60")
    assert started["nodes"] == ["worker-1", "worker-2"]


def start(name: str = "x", **more: object) -> dict[str, object]:
    given = {"namespaces": ["shop"], "label_selectors": {"app": "db"}, "mode": "all", **more}
    return dict(actions.start_pod_injection(name, **given))  # type: ignore[arg-type]


def test_a_fault_is_started_counted_and_stopped(cluster: FakeCluster) -> None:
    started = start()
    assert started["nodes"] == ["worker-1", "worker-2"]
    assert probes.injection_active("x")
    stopped = actions.stop_pod_injection("x")
    (fault,) = stopped["faults"]
    assert (fault["state"], fault["counters"]["injected"]) == ("ended", 8)
    assert (probes.injected("x"), probes.injection_active("x")) == (8, False)
    assert probes.ensure_injected("x", 8)
    assert [each["injected"] for each in probes.counters("x")["pods"]] == [4, 4]
    assert stopped["removed"] == []


def test_the_fault_of_each_node_has_its_pods_and_what_was_asked_for(cluster: FakeCluster) -> None:
    start(callchain=["sys_mount"], times=3, duration="30s")
    for job in cluster.manifests.values():
        spec = job["spec"]["template"]["spec"]
        fault = json.loads(spec["containers"][0]["env"][0]["value"])["fault"]
        assert [p["node"] for p in fault["scope"]["pods"]] == [spec["nodeName"]]
        assert fault["scope"]["system_wide"] is False
        assert fault["limits"] == {"probability": 100.0, "times": 3, "duration": 30.0}
        assert fault["callchain"][0]["funcname"] == "sys_mount"
    actions.stop_injection()
    assert sorted(cluster.deleted) == sorted(cluster.manifests)


def faults_of(cluster: FakeCluster) -> list[dict[str, Any]]:
    """Return the faults of the Jobs that were made."""
    containers = [
        job["spec"]["template"]["spec"]["containers"][0] for job in cluster.manifests.values()
    ]
    return [json.loads(container["env"][0]["value"])["fault"] for container in containers]


def test_a_fault_about_files_travels_with_its_paths_and_its_error(cluster: FakeCluster) -> None:
    start(fault="write", errno="EDQUOT", paths=["/data"])
    for fault in faults_of(cluster):
        assert (fault["where"]["paths"], fault["where"]["any_file"]) == (["/data"], False)
        assert (fault["fault"], fault["errno"]) == ("write", errno.EDQUOT)
    start("y", fault="read", any_file=True)


def test_a_fault_about_sockets_travels_with_its_peers(cluster: FakeCluster) -> None:
    peers = ["10.0.0.5:5432", "unix:/run/db.sock"]
    start(fault="connect", peers=peers)
    assert [fault["where"]["peers"] for fault in faults_of(cluster)] == [peers] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fault": "write"}, "would hit standard streams"),
        ({"fault": "write", "paths": ["data"]}, "paths: 'data' is not an absolute path"),
        ({"fault": "fork", "paths": ["/data"]}, "paths: not for a fault of fork"),
        ({"fault": "fork", "peers": [":1"]}, "peers: not for a fault of fork"),
        ({"mode": "some"}, "mode: 'some' is not one of one, all, fixed"),
        ({"label_selectors": ["app"]}, "selector.labelSelectors"),
        ({"mode": "fixed"}, "value: it is missing"),
        ({"namespaces": ["kube-system"]}, "the cluster's own"),
        ({"max_nodes": 0}, "max_nodes: 0 is not a whole number above 0"),
        ({"all_containers": True, "container_names": ["app"]}, "keep one"),
        ({"probability": 0}, "probability"),
        ({"max_nodes": "0"}, "max_nodes: 0 is not a whole number above 0"),
        ({"max_nodes": "ten"}, "max_nodes: 'ten' is not a number; it is text"),
        ({"seed": "x"}, "seed: 'x' is not a number; it is text"),
        ({"namespaces": deep(2_000)}, "namespaces: "),
        ({"seed": []}, "seed: [] is not a whole number"),
        ({"seed": True}, "seed: True is not a whole number"),
        ({"all_containers": "false"}, "all_containers: 'false' is not true or false"),
        ({"mode": "one", "value": "3"}, "value: '3' is not possible with mode one"),
        ({"value": -5}, "value: '-5' is not"),
        ({"label_selectors": ""}, "label_selectors: '' is not a list; leave it out"),
        ({"label_selectors": "web"}, "label_selectors: 'web' is not a mapping; write name=value"),
        ({"label_selectors": "{"}, "label_selectors: '{' is not a JSON document"),
        ({"pods": "${pods}"}, "pods: the experiment declares no pods"),
        ({"label_selectors": []}, "selector.labelSelectors"),
        ({"container_names": ""}, "container_names: '' is not a list; leave it out"),
        ({"namespaces": b"x"}, "namespaces: b'x' is not a list"),
    ],
)
def test_bad_input_is_refused_before_the_cluster_is_asked(
    cluster: FakeCluster, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ActivityFailed) as caught:
        start(**given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cluster.calls == []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"kubernetes": "false"},
            "kubernetes: 'false' is not true or false; .* \"env_var_type\": .*",
        ),
        ({"image": 5}, "image: 5 is not possible on one host; use apply_pod_kernel_chaos, .*"),
        ({"max_nodes": "x"}, "max_nodes: 'x' is not possible on one host; .*"),
        ({"kubernetes": True, "pids": []}, r"pids: \[\] is not possible on a cluster; .*"),
    ],
)
def test_a_document_goes_to_one_host_or_to_a_cluster(
    cluster: FakeCluster, given: dict[str, Any], line: str
) -> None:
    asked = {"system_wide": given.get("kubernetes") is not True, **given}
    with pytest.raises(ActivityFailed, match=f"^{line}$"):
        actions.apply_kernel_chaos(MANIFEST, **asked)
    assert cluster.calls == []


def test_a_name_that_no_fault_can_have_asks_the_cluster_for_nothing(cluster: FakeCluster) -> None:
    assert actions.stop_pod_injection("a,b=c!") == {"faults": [], "removed": []}
    assert cluster.calls == []


def test_a_cluster_that_nothing_names_is_reported(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_HOST")
    with pytest.raises(ActivityFailed, match="set KUBECONFIG, or CHAOSTOOLKIT_IN_POD"):
        start()
    secrets = {"KUBERNETES_HOST": "https://cluster", "KUBERNETES_API_KEY": "k"}
    assert start(secrets=secrets)["nodes"] == ["worker-1", "worker-2"]
    actions.stop_injection()


def test_stopping_what_was_never_started_is_no_failure(cluster: FakeCluster) -> None:
    assert actions.stop_pod_injection("nothing") == {"faults": [], "removed": []}


def test_what_an_earlier_run_has_left_is_removed(cluster: FakeCluster) -> None:
    start()
    with sharing(FakeBackend()):  # another process knows nothing of it
        removed = actions.stop_pod_injection("x")["removed"]
    assert sorted(removed) == sorted(cluster.manifests) == sorted(cluster.deleted)


def test_the_control_stops_what_is_left_on_a_cluster(cluster: FakeCluster) -> None:
    control.before_experiment_control({})
    start()
    state: dict[str, object] = {"status": "completed", "run": []}
    control.after_experiment_control({"method": []}, state)
    assert len(cluster.deleted) == 2
    entry = state["chaoskernel"]
    assert isinstance(entry, dict)
    assert [fault["state"] for fault in entry["faults"]] == ["ended"]


def test_a_kernel_chaos_is_applied_paused_resumed_and_deleted(cluster: FakeCluster) -> None:
    (state,) = actions.apply_pod_kernel_chaos(MANIFEST)["applied"]
    assert [record["id"] for record in state["containerRecords"]] == ["shop/db-0 (app)"] * 2
    assert actions.pause_kernel_chaos("kc", "shop")["allRecovered"]
    cluster.documents.pop()  # what is resumed selects anew
    resumed = actions.resume_kernel_chaos("kc", "shop")
    assert (resumed["allInjected"], len(resumed["containerRecords"])) == (True, 1)
    assert len(actions.delete_kernel_chaos("kc", "shop")["faults"]) == 2
    assert sorted(cluster.deleted) == sorted(cluster.manifests)


def test_a_scope_of_this_host_is_refused_on_a_cluster(cluster: FakeCluster) -> None:
    with pytest.raises(ActivityFailed, match="pids: .* is not possible on a cluster"):
        actions.apply_kernel_chaos(MANIFEST, kubernetes=True, pids=[42])


def test_the_old_way_to_a_cluster_works_with_a_warning(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    asked: dict[str, Any] = {
        "max_nodes": 2,
        "jobs_namespace": "faults",
        "dry_run": True,
        "engine": "core",
    }
    (old,) = actions.apply_kernel_chaos(MANIFEST, kubernetes=True, **asked)["applied"]
    assert "use apply_pod_kernel_chaos" in caplog.text
    jobs = [*cluster.manifests.values()]
    assert {job["metadata"]["namespace"] for job in jobs} == {"faults"}
    actions.delete_kernel_chaos("kc", "shop")
    caplog.clear()
    (new,) = actions.apply_pod_kernel_chaos(MANIFEST, **asked)["applied"]
    assert "apply_pod_kernel_chaos" not in caplog.text
    assert new == old
    actions.delete_kernel_chaos("kc", "shop")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"max_nodes": 0}, "max_nodes: 0 is not a whole number above 0"),
        ({"max_nodes": 1}, "max_nodes: .*"),
        ({"system_pods": "true"}, "system_pods: 'true' is not true or false; .*"),
        ({"engine": "none"}, "engine: nothing fails with this engine .*"),
        ({"mechanism": "x"}, "mechanism: 'x' is not one of .*"),
    ],
)
def test_documents_on_a_cluster_are_bounded_as_faults_are(
    cluster: FakeCluster, given: dict[str, Any], line: str
) -> None:
    with pytest.raises(ActivityFailed, match=rf"^{line}$"):
        actions.apply_pod_kernel_chaos(MANIFEST, **given)
    assert cluster.manifests == {}


def invoke(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--kubernetes", *arguments])  # type: ignore[arg-type]


def test_ps_and_stop_see_and_remove_what_is_left(cluster: FakeCluster, tmp_path: Path) -> None:
    assert "no fault has a Job in namespace chaoskernel" in invoke(ps.command).output
    start()
    found = json.loads(invoke(ps.command, "--json").output)
    assert [(each["fault"], each["node"]) for each in found] == [
        ("x", "worker-1"),
        ("x", "worker-2"),
    ]
    assert "worker-1" in invoke(ps.command).output
    assert isinstance(invoke(stop.command, "y").exception, UnknownFault)
    output = invoke(stop.command, "x").output
    assert output.count("stopped x") == 2
    assert json.loads(invoke(ps.command, "--json").output) == []


def test_a_job_that_cannot_be_removed_is_an_error(cluster: FakeCluster) -> None:
    start()
    cluster.refuse["delete_job"] = lambda node: EngineError("no") if node == "worker-1" else None
    outcome = invoke(stop.command, "--all", "--timeout", "0.1")
    assert isinstance(outcome.exception, EngineError)
    assert "worker-1 is running still" in str(outcome.exception)
    assert outcome.output.count("stopped x") == 1  # the other one
    cluster.refuse.clear()
    assert invoke(stop.command, "--all").exit_code == 0
