"""Where telemetry goes, as the environment asks for it; nowhere unless it does."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from chaoskernel.backend.record import Record
from chaoskernel.errors import ChaosKernelError, MissingTool
from chaoskernel.extras import pip_install
from chaoskernel.log import logger

OTEL_VARIABLE = "CHAOSKERNEL_OTEL"
"""Anything but empty and 0 turns OpenTelemetry on."""

PROMETHEUS_VARIABLE = "CHAOSKERNEL_PROMETHEUS"
"""A port of this host, or a file whose name ends in .prom."""

Records = Callable[[], Sequence[Record]]
"""Returns what is known of the faults, as of now."""


class Sink(Protocol):
    """Something that tells of faults while it lasts."""

    def close(self, records: Sequence[Record]) -> None:
        """Tell the last values; the faults are over."""


def sinks(records: Records) -> list[Sink]:
    """Return what the environment asks for.

    :raises MissingTool: its extra is not installed.
    :raises ChaosKernelError: a port or a file cannot be used.
    """
    found: list[Sink] = []
    if os.environ.get(OTEL_VARIABLE, "") not in ("", "0"):
        found.append(_of_extra("otel").OpenTelemetry(records))
    if where := os.environ.get(PROMETHEUS_VARIABLE, ""):
        found.append(_of_extra("prometheus").Prometheus(records, where))
    return found


@contextlib.contextmanager
def telling(records: Records) -> Iterator[None]:
    """Tell of faults for the time of the block.

    :raises ChaosKernelError: see `sinks`.
    """
    opened = sinks(records)
    try:
        yield
    finally:
        close(opened, records())


def close(opened: Sequence[Sink], records: Sequence[Record]) -> None:
    """Close sinks; what goes wrong with one is logged."""
    for each in opened:
        try:
            each.close(records)
        except (ChaosKernelError, OSError) as error:
            logger.warning("Kernel faults: telemetry: %s", error)


def _of_extra(name: str) -> Any:
    try:
        return importlib.import_module(f"chaoskernel.telemetry.{name}")
    except ImportError as missing:
        raise MissingTool(
            f"{missing.name} is not installed, which telemetry needs",
            hint=pip_install(name),
        ) from missing
