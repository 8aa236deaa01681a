"""What agents write, what is written to them, and what they post for others."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from chaoskernel.agent import main as agent
from chaoskernel.agent import notice
from chaoskernel.agent.lifeline import Requests
from chaoskernel.backend.child import Agent, Waits
from chaoskernel.backend.target import Record
from chaoskernel.cli import ps, stop
from chaoskernel.engine.rehearsal import RehearsalEngine
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits
from chaoskernel.k8s import sums
from chaoskernel.k8s.latest import Latest
from chaoskernel.k8s.node import NodeAgent
from chaoskernel.k8s.roll import Roll
from chaoskernel.toolkit.evidence import leftovers, shortfalls
from tests.fuzz import mutate
from tests.fuzz.target import Target, invoked, require, require_told
from tests.fuzz.targets.documents import DEEP
from tests.unit.k8s.fake_cluster import armed, counted, disarmed, pod

_EVENT = {
    "at": "2026-01-01T00:00:01+00:00",
    "pid": 42,
    "tid": 43,
    "command": "victim",
    "cgroup": "/a",
    "arguments": {"order": 1},
    "stack": ["should_failslab+0x1"],
}
_MESSAGES: tuple[dict[str, Any], ...] = (
    {**armed(), "callchain": [{"symbol": "__x64_sys_mount", "mechanism": "fentry"}]},
    {"type": "counters", "counters": counted(3)},
    {"type": "events", "events": [_EVENT], "dropped": 1},
    {"type": "progress", "step": "compiling"},
    {"type": "error", "error": "InvalidFault", "message": "m", "hint": "h", "key": "k", "value": 1},
    disarmed(4, events=[_EVENT], dropped=2, leftovers=[7]),
)
_WORDS = (
    *("type", "armed", "counters", "events", "error", "disarmed", "progress", "frames", "pods"),
    *("processes", "dropped", "leftovers", "ended_at", "expires_at", "programs", "targets", "node"),
    *("reached", "injected", "symbol", "entered", "stack", "hook", "command", "step", "reason"),
)
_LINES = (*DEEP, "<html>proxy says hello</html>", "Traceback (most recent call last):", "\x1b[2J")
_WELL_LINES = tuple(map(json.dumps, _MESSAGES))
_FAULT = Fault(name="demo", kind=Kind.SLAB, scope=Scope(system_wide=True), limits=Limits(times=3))


def _is_json(value: Any) -> None:
    json.loads(json.dumps(value, allow_nan=False))


def _try_log(given: str, _: Path) -> None:
    """Hear a line of a node's log between a beginning and an end that are well."""
    latest = Latest()
    node = NodeAgent("worker-1", "job", (), Roll(), latest)
    node.see("ADDED", pod("agent"))
    for line in (json.dumps(_MESSAGES[0]), given, json.dumps({"type": "counters", **_COUNTED})):
        node.hear(line)
        _look(node, latest)
    if not node.over:
        require(node.counters() == _COUNTED["counters"], "a line is not heard after it")
    node.hear(json.dumps(_MESSAGES[-1]))
    node.log_ended(pod_is_gone=True)
    _look(node, latest)


_COUNTED: dict[str, Any] = {"counters": counted(5)}


def _look(node: NodeAgent, latest: Latest) -> None:
    """Ask for everything that is known of a node's fault."""
    record = sums.record(_FAULT, [node], latest)
    _journalled(record)
    if error := node.error():
        require_told(error)
    node.waits_for()
    require(math.isfinite(node.silent_for()), "no seconds")


def _journalled(record: Record) -> None:
    _is_json(record.to_json())
    list(leftovers([record]))
    shortfalls([], [], [record])


class _Child:
    """A process that has written a line and has ended."""

    pid = 0
    returncode = 0

    def __init__(self, line: str) -> None:
        self.stdin, self.stderr = io.StringIO(), io.StringIO(line)
        self.stdout = io.StringIO("\n".join((json.dumps(_MESSAGES[0]), line, _LAST)))

    def wait(self, timeout: float = 0) -> int:
        return 0

    def send_signal(self, number: int) -> None:
        pass


_LAST = json.dumps(_MESSAGES[-1])


def _try_pipe(given: str, _: Path) -> None:
    """Read a line of a local agent's output, between its first message and its last."""
    child = Agent(cast("subprocess.Popen[str]", _Child(given)), "demo")
    child.finish(Waits())
    record = child.record(_FAULT)
    _journalled(record)
    require(bool(record.ended_at), "its last message is not heard")
    child.await_armed(0)


def _try_request(given: str, _: Path) -> None:
    """Serve a rehearsal that gets a line between requests; it has to come to its end."""
    fault = Fault("demo", Kind.SLAB, Scope(system_wide=True), dry_run=True)
    lines = f"{_COUNTERS}\n{given}\n{_COUNTERS}\n{_STOP}\n".encode(errors="replace")
    output = io.StringIO()
    with _pipe(lines) as end, contextlib.redirect_stdout(output), _signals_kept():
        agent.serve(fault, RehearsalEngine(), Requests(end))
    said = [json.loads(line) for line in output.getvalue().splitlines()]
    require(said[-1]["type"] == "disarmed", "it says nothing at its end")


_COUNTERS, _STOP = '{"request":"counters"}', '{"request":"stop"}'


@contextlib.contextmanager
def _pipe(content: bytes) -> Iterator[int]:
    """Yield a descriptor from which the content is read; it may be larger than a pipe."""
    descriptor = os.memfd_create("requests")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Give back the handlers of signals that an agent takes."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


_POSTED = {
    **armed(),
    "name": "posted",
    "targets": [{"pid": 7, "command": "victim"}, {"system_wide": True}],
    "callchain": [{"symbol": "__x64_sys_mount", "mechanism": "fentry"}],
    "programs": [],
}


def _try_notice(given: str, scratch: Path) -> None:
    """Show, and end, faults of which one has posted this, and another one a message that is well.

    Ending takes as long as all the rest: of mutated inputs, each fourth is ended.
    """
    content = given.encode("utf-8", "surrogatepass")
    with _posting(scratch, content), _posting(scratch, _WELL) as well:
        _shown_of(scratch, "--json")
        require("well-known" in _shown_of(scratch), "ps does not show another fault")
        if given in _NOTICES or zlib.crc32(content) % 4 == 0:
            _stopped(scratch)
            require(not well.alive(), "stop --all does not end another fault")


_NOTICES = (
    *DEEP,
    "sparse 100000000000",
    "sparse 300000000",
    "sparse 0",
    '{"targets":[5]}',
    '{"programs":["x"]}',
    '{"name":"well-known"}',
    '{"name":"\\u001b]0;x\\u0007"}',
)
_WELL = json.dumps({**_POSTED, "name": "well-known"}).encode()


class _Poster:
    """A process that holds a notice, in a folder that looks like /proc."""

    def __init__(self, proc: Path, content: bytes) -> None:
        ready, begun = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            _hold(content, begun)
        os.close(begun)
        os.read(ready, 1)
        os.close(ready)
        self._entry = proc / str(self._pid)
        self._entry.symlink_to(f"/proc/{self._pid}")

    def alive(self) -> bool:
        """Tell whether it runs; what has ended is a zombie until it is waited for."""
        return "\nState:\tZ" not in (self._entry / "status").read_text("utf-8", "replace")

    def close(self) -> None:
        self._entry.unlink()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _hold(content: bytes, begun: int) -> None:
    """Post as `notice.posted` does, any content; wait for a signal."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        descriptor = os.memfd_create("chaoskernel-fault")
        if content.startswith(_SPARSE):
            os.truncate(descriptor, int(content[len(_SPARSE) :]))
        else:
            os.write(descriptor, content)
        os.write(begun, b".")
        signal.pause()
    finally:
        os._exit(1)


_SPARSE = b"sparse "


@contextlib.contextmanager
def _posting(proc: Path, content: bytes) -> Iterator[_Poster]:
    poster = _Poster(proc, content)
    try:
        yield poster
    finally:
        poster.close()


def _shown_of(proc: Path, *arguments: str) -> str:
    with _notices_of(proc):
        return invoked(ps.command, *arguments)


def _stopped(proc: Path) -> None:
    with _notices_of(proc):
        invoked(stop.command, "--all", "--timeout", "1")


@contextlib.contextmanager
def _notices_of(proc: Path) -> Iterator[None]:
    """Have the commands see the notices of a folder and not those of this host."""
    before = notice.notices
    for module in (ps, stop):
        module.notices = lambda: before(proc)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in (ps, stop):
            module.notices = before  # type: ignore[attr-defined]


TARGETS = (
    Target("log-lines", 15, mutate.documents(_MESSAGES, _WORDS), _try_log, _WELL_LINES, _LINES),
    Target(
        "pipe-lines", 6, mutate.documents(_MESSAGES, _WORDS), _try_pipe, _WELL_LINES[:4], _LINES
    ),
    Target(
        "requests",
        4,
        mutate.documents(
            ({"request": "counters"}, {"request": "events", "limit": 100}),
            ("request", "limit", "stop", "events", "counters"),
        ),
        _try_request,
        (_COUNTERS, '{"request": "events", "limit": 100}'),
        _LINES,
    ),
    Target(
        "notices",
        5,
        mutate.documents((_POSTED,), _WORDS),
        _try_notice,
        (json.dumps(_POSTED),),
        _NOTICES,
    ),
)
