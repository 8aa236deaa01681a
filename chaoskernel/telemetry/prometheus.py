"""Prometheus: the counters on a port of this host alone, or in a file for node_exporter."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chaoskernel.backend.record import Record
from chaoskernel.errors import ChaosKernelError
from chaoskernel.log import logger
from chaoskernel.telemetry.samples import INSTRUMENTS, samples
from chaoskernel.telemetry.sink import Records

_HERE = "127.0.0.1"
_EVERY_SECONDS = 5.0
"""How often the file is written; it is replaced as a whole."""

_MAX_PORT = 65535


class _Faults(Collector):
    def __init__(self, records: Records) -> None:
        self._records = records

    def collect(self) -> Iterator[Metric]:
        found = samples(self._records())
        for name, instrument in INSTRUMENTS.items():
            make = CounterMetricFamily if instrument.counts else GaugeMetricFamily
            family = make(
                _plain(name),
                instrument.description,
                labels=[_plain(key.removeprefix("chaoskernel.")) for key in instrument.attributes],
            )
            for (of, values), number in found.items():
                if of == name:
                    family.add_metric(values, number)
            yield family


class Prometheus:
    """The counters for Prometheus while it lasts; see `Sink`.

    :param where: a port, or a file whose name ends in .prom.
    :raises ChaosKernelError: it is neither, the port is taken, or the file cannot be written.
    """

    def __init__(self, records: Records, where: str) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._file = "" if where.isdigit() else where
        self._over = threading.Event()
        self._server: WSGIServer | None = None
        try:
            if self._file:
                self._registry.register(_Faults(records))
                self._write()
                threading.Thread(target=self._keep_writing, daemon=True).start()
            elif int(where) <= _MAX_PORT:
                self._registry.register(_Faults(records))
                server, _ = start_http_server(int(where), _HERE, registry=self._registry)
                self._server = server
            else:
                raise ChaosKernelError(f"port {where}: at most {_MAX_PORT}")
        except OSError as error:
            raise ChaosKernelError(
                f"Prometheus: {where}: {error.strerror}",
                hint="set CHAOSKERNEL_PROMETHEUS to a free port or to a file ending in .prom",
            ) from error

    def close(self, records: Sequence[Record]) -> None:
        """See `Sink.close`; a file keeps the last values, a port goes."""
        self._over.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        if self._file:
            with contextlib.suppress(OSError):
                self._write()

    def _keep_writing(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            try:
                self._write()
            except OSError as error:
                logger.warning("Kernel faults: %s: %s", self._file, error.strerror)

    def _write(self) -> None:
        write_to_textfile(self._file, self._registry)


def _plain(name: str) -> str:
    return name.replace(".", "_")
