"""Which pods, and which of their containers, agents find on their nodes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, probes
from tests.cluster.conftest import Rehearse, found
from tests.cluster.kubectl import apply, await_ready, get, jobs, kubectl, pod
from tests.waiting import within
from tools.cluster.cluster import Cluster

DB = {"label_selectors": {"app": "db"}}
ALL_OF_THEM = {f"shop/db-{number}": {"app"} for number in range(3)}

SELECTIONS: dict[str, tuple[dict[str, Any], dict[str, set[str]]]] = {
    "labels": (DB, ALL_OF_THEM),
    "annotations": ({"annotation_selectors": {"team": "blue"}}, {"shop/db-1": {"app"}}),
    "expressions": (
        {"expression_selectors": [{"key": "tier", "operator": "Exists"}]},
        {"shop/db-0": {"app"}},
    ),
    "fields": (
        {**DB, "field_selectors": {"spec.nodeName": "node-1"}},
        {"shop/db-0": {"app"}},
    ),
    "nodes": ({**DB, "nodes": ["node-2"]}, {"shop/db-1": {"app"}, "shop/db-2": {"app"}}),
    "node-labels": (
        {**DB, "node_selectors": {"kubernetes.io/hostname": "node-1"}},
        {"shop/db-0": {"app"}},
    ),
    "names": ({"namespaces": None, "pods": {"shop": ["web-0"]}}, {"shop/web-0": {"app"}}),
    "containers": (
        {"pods": {"shop": ["db-0", "db-2"]}, "container_names": ["log"]},
        {"shop/db-0": {"log"}, "shop/db-2": {"log"}},
    ),
    "every-container": (
        {"pods": {"shop": ["db-0"]}, "all_containers": True},
        {"shop/db-0": {"*"}},
    ),
}


def test_what_a_selector_means_is_found_on_its_nodes_and_nothing_else(rehearse: Rehearse) -> None:
    with ThreadPoolExecutor(len(SELECTIONS)) as pool:
        started = dict(
            zip(
                SELECTIONS,
                pool.map(lambda name: rehearse(name, **SELECTIONS[name][0]), SELECTIONS),
                strict=True,
            )
        )
    assert started["labels"]["nodes"] == ["node-1", "node-2"]
    assert started["nodes"]["nodes"] == ["node-2"]
    assert {name: found(name) for name in SELECTIONS} == {
        name: expected for name, (_, expected) in SELECTIONS.items()
    }
    # A rehearsal is never taken for a fault.
    assert probes.injected("labels") == 0
    with pytest.raises(ActivityFailed, match="injected 0 of at least 1"):
        probes.ensure_injected("labels")


def test_a_mode_takes_as_many_as_it_says_and_a_seed_the_same_ones(rehearse: Rehearse) -> None:
    rehearse("one", **DB, mode="one")
    rehearse("two", **DB, mode="fixed", value="2", seed=7)
    rehearse("again", **DB, mode="fixed", value="2", seed=7)
    assert len(found("one")) == 1
    assert len(found("two")) == 2
    assert found("again") == found("two")


def test_a_container_that_restarts_is_found_again_and_a_new_pod_is_another_one(
    rehearse: Rehearse,
) -> None:
    ends = ["sh", "-c", "trap 'exit 1' TERM; while :; do sleep 0.2; done"]
    again = pod("again", "node-1", containers=("app", "log"), labels={"app": "again"}, command=ends)
    apply(again)
    await_ready("shop", "again")
    rehearse("again", label_selectors={"app": "again"})
    assert found("again") == {"shop/again": {"app"}}
    before = _groups("again")
    kubectl("exec", "-n", "shop", "again", "-c", "app", "--", "sh", "-c", "kill 1")
    assert within(20, lambda: _groups("again") not in ([], before))
    # The cluster may hear of it later than the agent sees it.
    assert within(20, lambda: found("again") == {"shop/again": {"app"}}, pause=1)
    kubectl("delete", "pod", "-n", "shop", "again")
    apply(again)
    await_ready("shop", "again")
    assert within(5, lambda: _groups("again") == [])
    kubectl("delete", "pod", "-n", "shop", "again", "--wait=false")


def _groups(name: str) -> list[str]:
    (counted,) = probes.counters(name)["pods"]
    return list(counted["control_groups"])


def test_what_is_the_clusters_own_is_refused_unless_it_is_said(rehearse: Rehearse) -> None:
    own = {"namespaces": ["kube-system"], "label_selectors": {"app": "dns"}}
    apply(pod("dns", "node-2", space="kube-system", labels={"app": "dns"}))
    await_ready("kube-system", "dns")
    with pytest.raises(
        ActivityFailed, match="kube-system' is not allowed: it is the cluster's own"
    ):
        rehearse("own", **own)
    assert jobs() == []
    rehearse("own", **own, system_pods=True)
    assert found("own") == {"kube-system/dns": {"app"}}
    kubectl("delete", "pod", "-n", "kube-system", "dns", "--wait=false")


def test_a_static_pod_is_refused_and_found_by_the_uid_that_its_node_knows(
    shop: Cluster, rehearse: Rehearse
) -> None:
    static = pod("static", "node-1", labels={"app": "static"})
    del static["spec"]["nodeName"], static["spec"]["automountServiceAccountToken"]
    manifest = shop.nodes[0].static / "static.json"
    manifest.write_text(json.dumps(static), encoding="utf-8")
    assert within(30, lambda: _phase("static-node-1") == "Running", pause=0.5)
    chosen = {"label_selectors": {"app": "static"}}
    with pytest.raises(ActivityFailed, match="shop/static-node-1' is not allowed: it is a static"):
        rehearse("static", **chosen)
    rehearse("static", **chosen, system_pods=True)
    (group,) = _groups_of_first("static")
    mirror = get("pod", "-n", "shop", "static-node-1")["metadata"]
    assert f"/pod{mirror['annotations']['kubernetes.io/config.mirror']}/" in group
    manifest.unlink()


def _groups_of_first(name: str) -> list[str]:
    assert within(10, lambda: bool(probes.counters(name).get("pods")))
    return _groups(name)


def _phase(name: str) -> str:
    found = get("pods", "-n", "shop", f"--field-selector=metadata.name={name}")["items"]
    return str(found[0]["status"]["phase"]) if found else ""


def test_no_more_nodes_than_were_allowed(rehearse: Rehearse) -> None:
    with pytest.raises(ActivityFailed, match="the 3 selected pods are on 2 nodes"):
        rehearse("wide", **DB, max_nodes=1)
    assert jobs() == []
    assert actions.stop_pod_injection("wide") == {"faults": [], "removed": []}
