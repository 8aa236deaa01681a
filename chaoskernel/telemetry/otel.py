"""OpenTelemetry: counters as metrics, and each fault's beginning and end as events of a span.

All settings are the SDK's own: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME and so on.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Sequence

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from chaoskernel import __version__
from chaoskernel.backend.record import Record, State
from chaoskernel.telemetry.samples import INSTRUMENTS, samples
from chaoskernel.telemetry.sink import Records

_SCOPE = "chaoskernel"
_LAST_MS = 5000.0
"""How long the last values may take; the faults are over by then."""


class OpenTelemetry:
    """What is sent by OTLP while it lasts; see `Sink`."""

    def __init__(self, records: Records) -> None:
        self._records = records
        resource = Resource.create({"service.name": _SCOPE}).merge(OTELResourceDetector().detect())
        self._metrics = MeterProvider(
            [PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource
        )
        self._define(self._metrics.get_meter(_SCOPE, __version__))
        # Where the toolkit is traced, its provider is there already, and the span joins its trace.
        self._own: TracerProvider | None = None
        provider = trace.get_tracer_provider()
        if not isinstance(provider, TracerProvider):
            provider = self._own = TracerProvider(resource=resource)
            self._own.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._span = provider.get_tracer(_SCOPE, __version__).start_span("kernel faults")

    def close(self, records: Sequence[Record]) -> None:
        """See `Sink.close`."""
        for record in records:
            self._tell(record)
        self._span.end()
        if self._own:
            self._own.shutdown()
        self._metrics.shutdown(_LAST_MS)

    def _define(self, meter: metrics.Meter) -> None:
        for name, instrument in INSTRUMENTS.items():
            create = (
                meter.create_observable_counter
                if instrument.counts
                else meter.create_observable_up_down_counter
            )
            observe = functools.partial(self._observe, name)
            create(name, [observe], instrument.unit, instrument.description)

    def _observe(self, name: str, _: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        keys = INSTRUMENTS[name].attributes
        for (found, values), number in samples(self._records()).items():
            if found == name:
                told = {key: value for key, value in zip(keys, values, strict=True) if value}
                yield metrics.Observation(number, told)

    def _tell(self, record: Record) -> None:
        told = {"chaoskernel.fault.name": record.fault.name}
        hook = str(record.armed.get("hook", ""))
        if at := _nanoseconds(str(record.armed.get("armed_at", ""))):
            self._span.add_event(
                "chaoskernel.fault.armed", {**told, "chaoskernel.hook": hook}, timestamp=at
            )
        if record.state is not State.ACTIVE and (at := _nanoseconds(record.ended_at)):
            more: dict[str, str | int] = {
                "chaoskernel.reason": record.reason,
                "chaoskernel.injected": record.hits,
            }
            self._span.add_event("chaoskernel.fault.ended", {**told, **more}, timestamp=at)


def _nanoseconds(moment: str) -> int:
    """Return nanoseconds since the epoch; 0 where a text is not a time."""
    try:
        return round(datetime.datetime.fromisoformat(moment).timestamp() * 1e9)
    except ValueError:
        return 0
