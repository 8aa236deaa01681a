"""What is told of faults to systems that watch, under one set of names; pure.

Attributes follow OpenTelemetry's conventions where those have a name; Prometheus gets the same
with underscores.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from chaoskernel.backend.record import Record, State
from chaoskernel.fault.checks import is_int

_HELD = "held_"
_FAULT, _KIND = "chaoskernel.fault.name", "chaoskernel.fault.kind"
_HOOK, _GUARD = "chaoskernel.hook", "chaoskernel.guard"
_POD, _NAMESPACE, _NODE = "k8s.pod.name", "k8s.namespace.name", "k8s.node.name"


class Instrument(NamedTuple):
    """A metric.

    :param attributes: what tells its series apart.
    :param counts: whether it only grows; what does not is a level.
    """

    description: str
    attributes: tuple[str, ...]
    counts: bool = True
    unit: str = "{call}"


_OF_FAULT = (_FAULT, _KIND)
INSTRUMENTS: Mapping[str, Instrument] = {
    "chaoskernel.fault.active": Instrument(
        "Faults in force", _OF_FAULT, counts=False, unit="{fault}"
    ),
    "chaoskernel.fault.reached": Instrument("Calls of the hook by tasks in scope", _OF_FAULT),
    "chaoskernel.fault.matched": Instrument("Calls under the call chain", _OF_FAULT),
    "chaoskernel.fault.injected": Instrument("Calls that were made to fail", _OF_FAULT),
    "chaoskernel.fault.held": Instrument(
        "Calls that a guard or a limit held back", (*_OF_FAULT, _GUARD)
    ),
    "chaoskernel.hook.reached": Instrument("Calls of one hook", (*_OF_FAULT, _HOOK)),
    "chaoskernel.hook.injected": Instrument("Failed calls of one hook", (*_OF_FAULT, _HOOK)),
    "chaoskernel.pod.injected": Instrument(
        "Failed calls of one pod", (*_OF_FAULT, _NAMESPACE, _POD, _NODE)
    ),
    "chaoskernel.node.injected": Instrument("Failed calls on one node", (*_OF_FAULT, _NODE)),
}
"""By name."""

Series = tuple[str, tuple[str, ...]]
"""An instrument, and the values of its attributes."""


def samples(records: Iterable[Record]) -> dict[Series, int]:
    """Return the values of all series; faults of one name, one after another, add up."""
    found: collections.Counter[Series] = collections.Counter()
    for record in records:
        for name, more, value in _of(record):
            found[name, (record.fault.name, record.fault.kind.value, *more)] += value
    return dict(found)


def _of(record: Record) -> Iterator[tuple[str, tuple[str, ...], int]]:
    counters = record.counters
    yield "chaoskernel.fault.active", (), int(record.state is State.ACTIVE)
    for name in ("reached", "matched", "injected"):
        yield f"chaoskernel.fault.{name}", (), _count(counters.get(name))
    for key, value in counters.items():
        if key.startswith(_HELD):
            yield "chaoskernel.fault.held", (key.removeprefix(_HELD),), _count(value)
    for hook in _objects(counters, "hooks"):
        symbol = str(hook.get("symbol", ""))
        yield "chaoskernel.hook.reached", (symbol,), _count(hook.get("reached"))
        yield "chaoskernel.hook.injected", (symbol,), _count(hook.get("injected"))
    for pod in _objects(counters, "pods"):
        namespace, _, name = str(pod.get("pod", "")).rpartition("/")
        where = (namespace, name, str(pod.get("node", "")))
        yield "chaoskernel.pod.injected", where, _count(pod.get("injected"))
    for node in _objects(counters, "nodes"):
        name = str(node.get("node", ""))
        yield "chaoskernel.node.injected", (name,), _count(node.get("injected"))


def _objects(counters: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = counters.get(key)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _count(value: object) -> int:
    return int(value) if is_int(value) else 0  # type: ignore[call-overload]
