"""One measurement, in a process of its own: `python -m benchmarks.scale.contenders NAME NODES`.

The cluster is the one of KUBECONFIG.  What was measured is written as one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmarks.scale import documents
from benchmarks.scale.bare import Bare, Word
from benchmarks.scale.calls import Calls
from chaoskernel.actions import start_pod_injection, stop_pod_injection

OURS = "chaoskernel"
FLOOR = "floor"
"""The bare client: as many Jobs, and one watch."""
FLOOR_WITH_LOGS = "floor with logs"
"""And it follows the log of each, for only there `armed` is said."""
FLOOR_WITH_STATUS = "floor with status"
"""Or it waits until each is ready, and then reads its log once."""

_LASTS_SECONDS = 3.0
"""How long the fault is in force: long enough for every agent to have counted."""


class Contender(Protocol):
    """What is measured."""

    def start(self) -> None:
        """Bring an agent onto every node; return when all are there."""

    def stop(self) -> None:
        """Take them back; return when none is left."""


class ChaosKernel:
    """The activities, as `chaos` calls them."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes

    def start(self) -> None:
        """See `Contender.start`."""
        started = start_pod_injection(
            name="scale",
            callchain=[*documents.CALLCHAIN],
            namespaces=[documents.TARGETS],
            mode="all",
            max_nodes=self._nodes,
            duration="10m",
            jobs_namespace=documents.JOBS,
        )
        _check("nodes", len(started["nodes"]), self._nodes)
        _check("targets", len(started["targets"]), self._nodes * documents.PODS_OF_A_NODE)

    def stop(self) -> None:
        """See `Contender.stop`."""
        (stopped,) = stop_pod_injection("scale")["faults"]
        injected = stopped["counters"]["injected"]
        _check("injected", injected, self._nodes * documents.INJECTED_BY_A_NODE)


CONTENDERS: Mapping[str, Callable[[int], Contender]] = {
    FLOOR: lambda nodes: Bare(nodes, Word.NONE),
    FLOOR_WITH_LOGS: lambda nodes: Bare(nodes, Word.LOG),
    FLOOR_WITH_STATUS: lambda nodes: Bare(nodes, Word.STATUS),
    OURS: ChaosKernel,
}


def measure(name: str, nodes: int) -> dict[str, Any]:
    """Return what one contender took, in seconds, calls and bytes."""
    _import_client()
    calls = Calls()
    contender = CONTENDERS[name](nodes)
    calls.install()
    memory, begun = [peak_bytes()], time.process_time()
    seconds: dict[str, float] = {}
    for step, do in (("start", contender.start), ("stop", contender.stop)):
        with _timed(seconds, step):
            do()
        memory.append(peak_bytes())
        if step == "start":
            time.sleep(_LASTS_SECONDS)
    return {
        "contender": name,
        "nodes": nodes,
        "pods": nodes * documents.PODS_OF_A_NODE,
        "seconds": seconds,
        "cpu_seconds": round(time.process_time() - begun, 3),
        "calls": calls.seen(),
        "peak_bytes": dict(zip(("before", "armed", "stopped"), memory, strict=True)),
    }


def _import_client() -> None:
    """Have what everyone needs before the clock starts: 1.5 s of importing, and 40 MB."""
    import kubernetes.config  # noqa: PLC0415
    import kubernetes.watch  # noqa: F401, PLC0415
    from kubernetes.client import BatchV1Api, CoreV1Api  # noqa: F401, PLC0415


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return the most memory that this process has had resident so far (VmHWM)."""
    for line in status.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{status} has no VmHWM")


@contextlib.contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    seconds[step] = round(time.monotonic() - begun, 3)


def _check(what: str, seen: int, expected: int) -> None:
    """Check that what was measured has happened."""
    if seen != expected:
        raise SystemExit(f"{what}: there are {seen}, and there should be {expected}")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1], int(sys.argv[2]))) + "\n")
