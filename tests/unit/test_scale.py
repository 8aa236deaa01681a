"""The benchmark of many nodes: what it counts, what its agents say, what it makes of figures."""

from __future__ import annotations

import http.client
import http.server
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import bare, documents, report, signals
from benchmarks.scale.calls import Calls, kind_of
from benchmarks.scale.contenders import FLOOR, FLOOR_WITH_LOGS, OURS, peak_bytes
from chaoskernel.agent import protocol
from chaoskernel.engine.events import KEPT
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import nodes


@pytest.mark.parametrize(
    ("method", "url", "kind"),
    [
        ("POST", "/apis/batch/v1/namespaces/c/jobs", "create jobs"),
        ("DELETE", "/apis/batch/v1/namespaces/c/jobs/j?propagationPolicy=x", "delete jobs"),
        ("DELETE", "/apis/batch/v1/namespaces/c/jobs?labelSelector=x", "deletecollection jobs"),
        ("GET", "/api/v1/namespaces/c/pods?limit=500&continue=x", "list pods"),
        ("GET", "/api/v1/namespaces/c/pods?watch=True", "watch pods"),
        ("GET", "/api/v1/namespaces/c/pods/p", "get pods"),
        ("GET", "/api/v1/namespaces/c/pods/p/log?follow=True", "get pods/log"),
        ("GET", "/api/v1/nodes", "list nodes"),
        ("GET", "/version", "GET /version"),
    ],
)
def test_a_request_is_named_as_its_right_is(method: str, url: str, kind: str) -> None:
    assert kind_of(method, url) == kind


def test_requests_are_counted_where_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    # What install() replaces is put back.
    monkeypatch.setattr(
        http.client.HTTPConnection, "putrequest", http.client.HTTPConnection.putrequest
    )
    calls = Calls()
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        calls.install()
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
            connection.request("GET", "/api/v1/nodes")
            connection.getresponse().read()
            connection.close()
        server.shutdown()
    assert calls.seen() == {"list nodes": 3}


def a_fault() -> dict[str, Any]:
    (manifest,) = bare.manifests(1)
    return documents.fault_of(manifest["spec"]["template"])


def test_an_agent_that_is_played_says_what_one_says() -> None:
    fault = a_fault()
    said = [protocol.decode(line.decode()) for line in documents.first_words(fault)]
    assert [each["type"] for each in said] == ["progress"] * 3 + ["armed"]
    names = [f"shop/db-{n:04}" for n in range(documents.PODS_OF_A_NODE)]
    assert [each["pod"] for each in said[-1]["targets"]] == names
    last = protocol.decode(documents.last_words(fault).decode())
    assert (last["type"], last["reason"]) == ("disarmed", "SIGTERM")
    assert (len(last["events"]), last["events"][0]["command"]) == (KEPT, "postgres")
    counted = last["counters"]
    assert counted["injected"] == documents.INJECTED_BY_A_NODE
    assert sum(each["injected"] for each in counted["pods"]) == documents.INJECTED_BY_A_NODE
    assert sum(each["injected"] for each in counted["processes"]) == documents.INJECTED_BY_A_NODE


def test_the_floor_makes_a_job_for_each_node_with_a_fault_of_its_pods() -> None:
    made = bare.manifests(3)
    assert len({each["metadata"]["name"] for each in made}) == 3
    pods = made[2]["spec"]["template"]
    assert pods["spec"]["nodeName"] == "worker-002"
    fault = Fault.from_json(documents.fault_of(pods))
    assert [pod.name for pod in fault.scope.pods] == [f"db-{n:04}" for n in range(20, 30)]


def test_a_pod_of_the_benchmark_can_be_selected_once_its_status_is_set() -> None:
    document = documents.pod(42)
    document["metadata"]["uid"] = "0000002a-0000"
    document["status"] = documents.running(document)
    seen = nodes.read(document)
    assert (seen.pod.node, seen.pod.phase.value, seen.system) == ("worker-004", "Running", "")
    assert list(seen.running) == ["db"]


def test_a_pod_with_a_probe_is_ready_when_the_probe_says_so() -> None:
    for ready in (True, False):
        status = documents.running(documents.pod(42), ready=ready)
        assert [each["ready"] for each in status["containerStatuses"]] == [ready]


@pytest.mark.parametrize("way", signals.WAYS)
def test_a_signal_of_a_pod_is_seen_when_it_is_given_and_not_before(way: str) -> None:
    pod = signals.pod("p", "w", way, 0.5)
    names = [each["name"] for each in pod["spec"]["containers"]]
    assert names == (["agent", "armed"] if way == "termination" else ["agent"])
    assert ("readinessProbe" in pod["spec"]["containers"][0]) == (way == "readiness")
    runs = {"name": "agent", "ready": False, "state": {"running": {}}}
    ended = {"name": "armed", "ready": False, "state": {"terminated": {"message": "1.5"}}}
    assert not signals.gives_signal(way, [runs, {**ended, "state": {"terminated": {}}}])
    given = [{**runs, "ready": True}] if way == "readiness" else [runs, ended]
    assert signals.gives_signal(way, given) == (way != "log")


def test_peak_memory_is_what_the_kernel_says(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  100 kB\n")
    assert peak_bytes(status) == 2 * 1024 * 1024
    status.write_text("Name:\tx\n")
    with pytest.raises(ValueError, match="VmHWM"):
        peak_bytes(status)


def fact(contender: str, nodes: int, start: float, *, calls: int = 0, peak: int = 0) -> Any:
    return {
        "contender": contender,
        "nodes": nodes,
        "pods": 10 * nodes,
        "seconds": {"start": start, "stop": 1.0},
        "calls": {"create jobs": calls, "list pods": 1},
        "peak_bytes": {"before": 0, "armed": 0, "stopped": peak},
    }


def facts() -> list[Any]:
    return [
        fact(FLOOR, 10, 1.0),
        fact(FLOOR_WITH_LOGS, 10, 2.0),
        fact(OURS, 10, 1.2, calls=29, peak=1_000_000),
        fact(FLOOR, 100, 10.0),
        fact(FLOOR, 100, 12.0),
        fact(FLOOR_WITH_LOGS, 100, 11.0),
        fact(OURS, 100, 15.0, calls=300, peak=10_000_000),
        fact(OURS, 100, 14.0, calls=299, peak=28_000_000),
    ]


def test_ratios_are_of_the_least_times_and_the_most_calls_and_memory_count() -> None:
    found = {
        target.what: (round(target.measured, 3), target.met) for target in report.targets(facts())
    }
    assert found == {
        f"start to armed at 10 nodes, times the {FLOOR}": (1.2, True),
        f"start to armed at 10 nodes, times the {FLOOR_WITH_LOGS}": (0.6, True),
        "API calls for each of 10 nodes": (3.0, True),
        f"start to armed at 100 nodes, times the {FLOOR}": (1.4, False),
        f"start to armed at 100 nodes, times the {FLOOR_WITH_LOGS}": (1.273, True),
        "API calls for each of 100 nodes": (3.01, False),
        "bytes that a pod adds up to 100 nodes": (30_000.0, False),
    }


def test_the_table_has_a_row_for_each_contender_and_number_of_nodes() -> None:
    measured, against = report.tables(facts())
    assert (measured.row_count, against.row_count) == (6, 7)


def test_calls_alone_are_judged_where_there_is_no_floor() -> None:
    (target,) = report.targets([fact(OURS, 10, 1.0, calls=30)])
    assert not target.met
    assert str(target) == "API calls for each of 10 nodes: 3.10, and 3 is the most"


@pytest.mark.slow
def test_the_plot_is_written(tmp_path: Path) -> None:
    report.plot(facts(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scale.svg"]
