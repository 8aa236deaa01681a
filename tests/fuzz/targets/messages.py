"""What agents write, what is written to them, and what they post for others."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import math
import os
import signal
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from unittest import mock

from chaoskernel.agent import main as agent
from chaoskernel.agent import notice
from chaoskernel.agent.lifeline import Requests
from chaoskernel.agent.output import Output
from chaoskernel.backend.agent_process import Agent, Waits
from chaoskernel.backend.record import Record
from chaoskernel.backend.series import Series
from chaoskernel.cli import ps, stop
from chaoskernel.engine.rehearsal import RehearsalEngine
from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits
from chaoskernel.k8s import aggregate
from chaoskernel.k8s.node import NodeAgent
from chaoskernel.k8s.progress import Roll
from chaoskernel.k8s.recent_events import Latest
from chaoskernel.kernel import processes
from chaoskernel.kernel.processes import Process, parsed
from chaoskernel.toolkit.evidence import leftovers, shortfalls
from tests.fuzz import mutate
from tests.fuzz.target import Target, invoked, require, require_told
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
    {"type": "counters", "counters": counted(3), "at": _EVENT["at"], "since": _EVENT["at"]},
    {"type": "point", "counters": {"reached": 3}, "at": _EVENT["at"], "since": _EVENT["at"]},
    {"type": "events", "events": [_EVENT], "dropped": 1},
    {"type": "progress", "step": "compiling"},
    {"type": "types", "number": 0, "of": 1, "text": "eJw="},
    {"type": "error", "error": "InvalidFault", "message": "m", "hint": "h", "key": "k", "value": 1},
    disarmed(4, events=[_EVENT], dropped=2, leftovers=[7]),
)
_WORDS = (
    *("type", "armed", "counters", "events", "error", "disarmed", "progress", "frames", "pods"),
    *("processes", "dropped", "leftovers", "ended_at", "expires_at", "programs", "targets", "node"),
    *("reached", "injected", "symbol", "entered", "stack", "hook", "command", "step", "reason"),
    *("point", "at", "since"),
)
_LINES = (
    *mutate.DEEP,
    "<html>proxy says hello</html>",
    "Traceback (most recent call last):",
    "\x1b[2J",
)
_WELL_LINES = tuple(map(json.dumps, _MESSAGES))
_FAULT = Fault(name="demo", kind=Kind.SLAB, scope=Scope(system_wide=True), limits=Limits(times=3))


def _is_json(value: Any) -> None:
    json.loads(json.dumps(value, allow_nan=False))


def _try_log(given: str, _: Path) -> None:
    """Hear a line of a node's log between a beginning and an end that are well."""
    latest = Latest()
    series = Series()
    node = NodeAgent("worker-1", "job", (), Roll(), latest, series)
    node.see("ADDED", pod("agent"))
    for line in (json.dumps(_MESSAGES[0]), given, json.dumps({"type": "counters", **_COUNTED})):
        node.hear(line)
        _look(node, latest, series)
    if not node.over:
        require(node.counters() == _COUNTED["counters"], "a line is not heard after it")
    node.hear(json.dumps(_MESSAGES[-1]))
    node.log_ended(pod_is_gone=True)
    _look(node, latest, series)


_COUNTED: dict[str, Any] = {"counters": counted(5)}


def _look(node: NodeAgent, latest: Latest, series: Series) -> None:
    """Ask for everything that is known of a node's fault."""
    record = aggregate.record(_FAULT, [node], latest, series)
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
        self.stdin, self.stderr = None, io.StringIO(line)
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
    with _memory(lines) as requests, _memory() as said, _signals_kept():
        output = Output(os.dup(said), gone=lambda: None)
        try:
            agent.serve(fault, RehearsalEngine(), Requests(requests), output)
        finally:
            require(output.flush(5), "it does not write")
            output.close()
        written = os.pread(said, os.fstat(said).st_size, 0).decode()
    last = json.loads(written.splitlines()[-1])
    require(last["type"] == "disarmed", "it says nothing at its end")


_COUNTERS, _STOP = '{"request":"counters"}', '{"request":"stop"}'


@contextlib.contextmanager
def _memory(content: bytes = b"") -> Iterator[int]:
    """Yield a descriptor of a file that is nowhere; it may be larger than a pipe."""
    descriptor = os.memfd_create("memory")
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
    "pid": "@pid",
    "started": "@started",
    "message": {
        **armed(),
        "name": "posted",
        "targets": [{"pid": 7, "command": "victim"}, {"system_wide": True}],
        "callchain": [{"symbol": "__x64_sys_mount", "mechanism": "fentry"}],
        "programs": [],
    },
}
"""What an agent posts; its pid and its start become those of the process that posts it."""
_WELL = json.dumps(_POSTED).replace('"posted"', '"well-known"')
_NOTICES = (
    *mutate.DEEP,
    "sparse 100000000000",
    "sparse 300000000",
    "sparse 0",
    '{"pid":"@pid","started":"@started","message":{"name":"x","targets":[5]}}',
    '{"pid":"@pid","started":"@started","message":{"name":"x","programs":["x"]}}',
    '{"pid":"@pid","started":"@started","message":{"name":"x","programs":[1]}}',
    '{"pid":"@pid","started":"@started","message":{"name":"well-known"}}',
    '{"pid":"@pid","started":"@started","message":{"name":"\\u001b]0;x\\u0007"}}',
    '{"pid":1,"started":"@started","message":{"name":"x"}}',
)


def _try_notice(given: str, scratch: Path) -> None:
    """Show, and end, faults of which one has posted this, and another one a message that is well.

    Ending takes as long as all the rest: of mutated inputs, each fourth is ended.

    :raises ChaosKernelError: the notice is not believed.
    """
    with _posting(given) as posted, _posting(_WELL) as well, _only(posted, well):
        invoked(ps.command, "--json")
        said = invoked(ps.command)
        require("well-known" in said, "ps does not show another fault")
        believed = "is not believed" not in said
        if given in _NOTICES or zlib.crc32(given.encode(errors="replace")) % 4 == 0:
            invoked(stop.command, "--all", "--timeout", "1")
            require(not well.runs(), "stop --all does not end another fault")
            require(posted.runs() is not believed, "stop --all ends what it does not believe")
        if not believed:
            raise ChaosKernelError("the notice is not believed")


class _Poster:
    """A process that is an agent to all that can be seen of it, and posts anything."""

    def __init__(self, given: str) -> None:
        ready, begun = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _hold(given, begun)
        os.close(begun)
        os.read(ready, 1)
        os.close(ready)

    def seen(self) -> Process | None:
        """Return what /proc tells of it."""
        return parsed(self.pid, Path(f"/proc/{self.pid}/stat").read_text("utf-8", "replace"))

    def runs(self) -> bool:
        """Tell whether it runs; what has ended is a zombie until it is waited for."""
        return "\nState:\tZ" not in Path(f"/proc/{self.pid}/status").read_text("utf-8", "replace")

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _hold(given: str, begun: int) -> None:
    """Post as `notice.posted` does, and wait for a signal."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        Path("/proc/self/comm").write_text(notice.COMMAND, encoding="ascii")
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        with os.fdopen(os.memfd_create("chaoskernel-fault", flags), "wb") as file:
            _write(file, given)
            file.flush()
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            os.write(begun, b".")
            signal.pause()
    finally:
        os._exit(1)


_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def _write(file: BinaryIO, given: str) -> None:
    if given.startswith(_SPARSE):
        file.truncate(int(given[len(_SPARSE) :]))
        return
    own = parsed(os.getpid(), Path("/proc/self/stat").read_text("utf-8"))
    assert own, "this process runs"
    said = given.replace('"@pid"', str(own.pid)).replace('"@started"', str(own.started))
    file.write(said.encode("utf-8", "surrogatepass"))


_SPARSE = "sparse "


@contextlib.contextmanager
def _posting(given: str) -> Iterator[_Poster]:
    poster = _Poster(given)
    try:
        yield poster
    finally:
        poster.close()


def _only(*posters: _Poster) -> contextlib.AbstractContextManager[object]:
    """Have the commands see these processes, and none of this host's others."""
    seen = {each.pid: process for each in posters if (process := each.seen())}
    return mock.patch.object(processes, "snapshot", lambda: seen)


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
