"""What arrives where people already look: at a real OTLP endpoint, at a port and in a file."""

from __future__ import annotations

import datetime
import gzip
import http.server
import importlib
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from chaoskernel.backend.record import Record, State
from chaoskernel.errors import ChaosKernelError, MissingTool
from chaoskernel.extras import pip_install
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.telemetry import sink
from chaoskernel.telemetry.samples import INSTRUMENTS, samples

ARMED = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOSTILE = 'a"b\\c\n{x="y"} 1'


def a_record(name: str = "demo", injected: int = 3, state: State = State.ENDED) -> Record:
    return Record(
        fault=Fault(name=name, kind=Kind.SLAB, scope=Scope(system_wide=True)),
        state=state,
        armed={"hook": "should_failslab", "armed_at": ARMED.isoformat()},
        counters={
            "reached": 9,
            "matched": 5,
            "injected": injected,
            "held_times": 2,
            "hooks": [{"symbol": "should_failslab", "reached": 9, "injected": injected}],
            "pods": [{"pod": f"shop/{HOSTILE}", "node": "worker-1", "injected": injected}],
            "nodes": [{"node": "worker-1", "injected": injected}],
        },
        ended_at=(ARMED + datetime.timedelta(seconds=30)).isoformat(),
        reason="stop",
    )


class Receiver(http.server.BaseHTTPRequestHandler):
    """An endpoint that keeps what it is sent."""

    bodies: dict[str, list[bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        self.bodies.setdefault(self.path, []).append(gzip.decompress(body) if packed else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[bytes]]]:
    handler = type("Handler", (Receiver,), {"bodies": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-chaos")
    monkeypatch.setenv(sink.OTEL_VARIABLE, "1")
    yield handler.bodies  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (sink.OTEL_VARIABLE, sink.PROMETHEUS_VARIABLE):
        monkeypatch.delenv(variable, raising=False)


def test_it_is_off_unless_asked() -> None:
    assert sink.sinks(lambda: [a_record()]) == []


def test_counters_arrive_as_metrics(received: dict[str, list[bytes]]) -> None:
    with sink.telling(lambda: [a_record()]):
        pass
    request = ExportMetricsServiceRequest.FromString(received["/v1/metrics"][-1])
    (resource,) = request.resource_metrics
    service = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert service["service.name"] == "shop-chaos"
    (scope,) = resource.scope_metrics
    metrics = {metric.name: metric for metric in scope.metrics}
    assert metrics.keys() == INSTRUMENTS.keys()
    injected = metrics["chaoskernel.fault.injected"]
    (point,) = injected.sum.data_points
    assert (injected.sum.is_monotonic, injected.unit, point.as_int) == (True, "{call}", 3)
    (pod,) = metrics["chaoskernel.pod.injected"].sum.data_points
    assert {each.key: each.value.string_value for each in pod.attributes} == {
        "chaoskernel.fault.name": "demo",
        "chaoskernel.fault.kind": "slab",
        "k8s.namespace.name": "shop",
        "k8s.pod.name": HOSTILE,
        "k8s.node.name": "worker-1",
    }
    assert not metrics["chaoskernel.fault.active"].sum.is_monotonic


def test_beginning_and_end_arrive_as_events_of_a_span(received: dict[str, list[bytes]]) -> None:
    with sink.telling(lambda: [a_record()]):
        pass
    request = ExportTraceServiceRequest.FromString(received["/v1/traces"][-1])
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert span.name == "kernel faults"
    begin = round(ARMED.timestamp() * 1e9)
    assert [(event.name, event.time_unix_nano - begin) for event in span.events] == [
        ("chaoskernel.fault.armed", 0),
        ("chaoskernel.fault.ended", 30 * 10**9),
    ]


def test_the_span_joins_the_trace_of_the_toolkit(
    received: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    tracer = provider.get_tracer("toolkit")
    with tracer.start_as_current_span("experiment") as parent, sink.telling(lambda: [a_record()]):
        pass
    span, _ = exported.get_finished_spans()
    assert span.name == "kernel faults"
    assert span.parent is not None
    assert span.parent.span_id == parent.get_span_context().span_id
    assert "/v1/traces" not in received


def parsed(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name} {labels}"] = sample.value
    return found


def check(found: dict[str, float]) -> None:
    fault = "fault_kind=slab,fault_name=demo"
    assert found[f"chaoskernel_fault_injected_total {fault}"] == 3
    assert found[f"chaoskernel_fault_held_total {fault},guard=times"] == 2
    assert found[f"chaoskernel_fault_active {fault}"] == 0
    where = f"k8s_namespace_name=shop,k8s_node_name=worker-1,k8s_pod_name={HOSTILE}"
    assert found[f"chaoskernel_pod_injected_total {fault},{where}"] == 3


def test_prometheus_reads_a_port_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as free:
        port = free.server_port
    monkeypatch.setenv(sink.PROMETHEUS_VARIABLE, str(port))
    with sink.telling(lambda: [a_record()]):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            check(parsed(answer.read().decode()))
        with pytest.raises(ChaosKernelError, match="in use"):
            sink.sinks(lambda: [])
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_node_exporter_reads_a_file_that_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "chaoskernel.prom"
    monkeypatch.setenv(sink.PROMETHEUS_VARIABLE, str(file))
    with sink.telling(lambda: [a_record()]):
        check(parsed(file.read_text()))
    check(parsed(file.read_text()))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("where", ["99999", "/nonexistent/x.prom"])
def test_what_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv(sink.PROMETHEUS_VARIABLE, where)
    with pytest.raises(ChaosKernelError, match=where):
        sink.sinks(lambda: [])


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'opentelemetry'", name="opentelemetry")

    monkeypatch.setattr(importlib, "import_module", missing)
    monkeypatch.setenv(sink.OTEL_VARIABLE, "1")
    with pytest.raises(MissingTool, match=re.escape(pip_install("otel"))):
        sink.sinks(lambda: [])


def test_faults_of_one_name_add_up() -> None:
    found = samples([a_record(injected=3), a_record(injected=4), a_record("other", 5)])
    assert found["chaoskernel.fault.injected", ("demo", "slab")] == 7
    assert found["chaoskernel.fault.injected", ("other", "slab")] == 5
    assert all(len(values) == len(INSTRUMENTS[name].attributes) for name, values in found)
