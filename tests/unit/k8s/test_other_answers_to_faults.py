"""A fault on nodes whose API server and agents give answers that nobody expects."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from chaoskernel.backend.record import State
from chaoskernel.errors import ChaosKernelError, TimeLimit
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s.backend import ClusterBackend
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.job import Settings
from chaoskernel.k8s.retry import Patience
from tests.unit.k8s.api_server import Answer, Make, Server
from tests.unit.k8s.fake_cluster import FakeCluster, Script, armed, counted, disarmed
from tests.unit.k8s.odd_answers import JUNK, LINES


class Api:
    """An API server of one fault, that says other things as well.

    :param watched: comes before each list of pods that is watched.
    :param said: comes before what an agent says.
    :param shown: whether pods of Jobs are seen at all.
    """

    def __init__(
        self, watched: bytes = b"", said: bytes = b"", *, shown: bool = True, agent: bool = True
    ) -> None:
        self.watched, self.said, self.shown, self.agent = watched, said, shown, agent
        self.jobs: dict[str, bool] = {}
        self.server: Server

    def __call__(self, method: str, path: str, query: dict[str, str]) -> Answer:
        if method == "POST":
            name = self.server.bodies[-1]["metadata"]["name"]
            self.jobs[name] = True
            return 200, {"metadata": {"name": name, "uid": f"uid of {name}"}}
        if method == "DELETE":
            self.jobs = dict.fromkeys(self.jobs, False)
            return 200, {}
        if path.endswith("/log"):
            lines = [armed(), {"type": "counters", "counters": counted(3)}] if self.agent else []
            if not any(self.jobs.values()):
                lines.append(disarmed(4))
            return 200, [self.said + b"\n", *(json.dumps(line) for line in lines)]
        if "watch" in query:
            return 200, [self.watched + b"\n", *(self._event(name) for name in self.jobs)]
        return 200, {"items": []}

    def _event(self, job: str) -> bytes:
        if not self.shown:
            return b"\n"
        running = self.jobs[job]
        owner = {"kind": "Job", "name": job, "uid": f"uid of {job}", "controller": True}
        pod = {
            "metadata": {"name": f"{job}-x", "ownerReferences": [owner]},
            "status": {
                "phase": "Running" if running else "Failed",
                "containerStatuses": [{"name": "agent", "state": {"running": {}}}],
            },
        }
        kind = "ADDED" if running else "DELETED"
        return json.dumps({"type": kind, "object": pod}).encode() + b"\n"


POD = PodScope("shop", "db-0", "1234abcd", "n", (PodContainer("app"),))
FAULT = Fault(name="x", kind=Kind.SLAB, scope=Scope(pods=(POD,)))


def reached(api: Api, serving: Make, *, start: float = 20.0) -> ClusterBackend:
    cluster, api.server = serving(api)
    waits = Waits(start=start, stop=10, retry=0.05)
    return ClusterBackend(cluster, Settings("c", "i"), waits=waits)


@pytest.mark.parametrize("kind", ["html", "a list", "deep lists", "binary", "a million bytes"])
def test_a_fault_starts_and_ends_whatever_else_is_in_watch_and_log(
    kind: str, serving: Make
) -> None:
    target = reached(Api(JUNK[kind], JUNK[kind]), serving)
    assert target.start(FAULT).state is State.ACTIVE
    (record,) = target.stop("x")
    assert (record.state, record.reason, record.counters["injected"]) == (State.ENDED, "stop", 4)


@pytest.mark.parametrize("kind", ["html", "a list", "no metadata", "deep lists"])
def test_a_start_that_cannot_see_pods_does_not_blame_the_job(kind: str, serving: Make) -> None:
    target = reached(Api(LINES[kind], shown=False), serving, start=1.5)
    with pytest.raises(TimeLimit, match="answer of the API server to watch pods of c is not under"):
        target.start(FAULT)


def test_a_start_without_a_pod_blames_the_job_when_the_watch_works(serving: Make) -> None:
    target = reached(Api(shown=False), serving, start=1.5)
    with pytest.raises(TimeLimit, match="its Job has made no pod"):
        target.start(FAULT)


def test_a_watch_that_is_refused_for_a_while_is_named(serving: Make) -> None:
    class Refusing(Api):
        def __call__(self, method: str, path: str, query: dict[str, str]) -> Answer:
            return (
                (503, {"message": "etcd"})
                if "watch" in query
                else super().__call__(method, path, query)
            )

    target = reached(Refusing(), serving, start=1.5)
    with pytest.raises(TimeLimit, match="refused to watch pods of c: etcd"):
        target.start(FAULT)


def test_a_log_that_says_other_things_is_quoted(serving: Make) -> None:
    target = reached(Api(said=JUNK["html"], agent=False), serving, start=2.5)
    with pytest.raises(TimeLimit, match="is at: its first word; its log says '<html>"):
        target.start(FAULT)


def test_a_pod_that_its_job_does_not_control_is_not_listened_to(serving: Make) -> None:
    class Foreign(Api):
        def _event(self, job: str) -> bytes:
            return super()._event(job).replace(b"uid of", b"another uid than that of")

    target = reached(Foreign(), serving, start=1.5)
    with pytest.raises(TimeLimit, match="its Job has made no pod"):
        target.start(FAULT)


QUICK = Waits(start=5.0, stop=1.0, retry=0.01)


def fake(cluster: FakeCluster, waits: Waits = QUICK) -> ClusterBackend:
    return ClusterBackend(cluster, Settings("c", "i"), waits=waits)


class Stumbling(FakeCluster):
    """Raises what nobody expects, of a watch or a log that has begun and then once more."""

    def __init__(self, *calls: str, times: int = 2) -> None:
        super().__init__()
        self.left = dict.fromkeys(calls, times)

    def _stumble(self, call: str) -> None:
        if self.left.get(call, 0):
            self.left[call] -= 1
            raise RuntimeError("a bug")

    def watch_pods(
        self, namespace: str, labels: str, over: threading.Event
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        self._stumble("watch")
        yield from super().watch_pods(namespace, labels, over)

    def log(self, namespace: str, pod: str, container: str, over: threading.Event) -> Iterator[str]:
        self._stumble("log")
        yield from super().log(namespace, pod, container, over)


def test_threads_go_on_after_an_error_that_nobody_expected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = Stumbling("watch", "log")
    target = fake(cluster)
    target.start(FAULT)
    assert cluster.left == {"watch": 0, "log": 0}
    assert "the watch of pods goes on after this: RuntimeError: a bug" in caplog.text
    assert "reading the log of" in caplog.text
    (record,) = target.stop("x")
    assert (record.state, record.reason) == (State.ENDED, "stop")


def test_a_watch_that_never_works_is_what_a_start_fails_of() -> None:
    target = fake(Stumbling("watch", times=10_000), Waits(start=0.5, stop=0.2, retry=0.01))
    with pytest.raises(TimeLimit, match="the watch of pods does not work: RuntimeError: a bug"):
        target.start(FAULT)


@pytest.mark.parametrize(
    "pod",
    [
        {},
        {"metadata": None},
        {"metadata": {"ownerReferences": [None]}},
        {"metadata": {"ownerReferences": 5}},
    ],
)
def test_a_malformed_pod_costs_itself_alone(pod: dict[str, Any]) -> None:
    class Odd(FakeCluster):
        def watch_pods(
            self, namespace: str, labels: str, over: threading.Event
        ) -> Iterator[tuple[str, dict[str, Any]]]:
            yield "ADDED", pod
            yield from super().watch_pods(namespace, labels, over)

    target = fake(Odd())
    assert target.start(FAULT).state is State.ACTIVE
    target.stop("x")


WRONG: dict[str, Callable[[], dict[str, Any]]] = {
    "counters a list": lambda: {"type": "counters", "counters": []},
    "reached text": lambda: {"type": "counters", "counters": {**counted(3), "reached": "many"}},
    "a frame without a symbol": lambda: {
        "type": "counters",
        "counters": {**counted(3), "frames": [{"entered": 1}]},
    },
    "pods a number": lambda: {"type": "counters", "counters": {**counted(3), "pods": 5}},
    "events of numbers": lambda: {**disarmed(4), "events": [5]},
    "dropped text": lambda: {**disarmed(4), "dropped": "x"},
    "leftovers a number": lambda: {**disarmed(4), "leftovers": 5},
    "an end that is a number": lambda: {**disarmed(4), "ended_at": 5},
    "targets null": lambda: {**armed(), "targets": None},
    "another type": lambda: {"type": "paused", "since": "noon"},
    "no type": lambda: {},
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_message_with_wrong_types_is_passed_over(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = WRONG[kind]()
    usual = Script()
    # A log of the script ends with what looks like a last word.
    early = () if wrong.get("type") == "disarmed" else (wrong,)
    script = Script(first=(*early, *usual.first, *early), last=(wrong, *usual.last))
    cluster = FakeCluster({"n": script})
    target = fake(cluster)
    target.start(FAULT)
    (record,) = target.stop("x")
    assert (record.state, record.counters["injected"]) == (State.ENDED, 4)
    assert target.counters("x")["reached"] == 6
    assert "node n: " in caplog.text


@pytest.mark.parametrize("reached", [[], {}, [1], {"a": 1}])
def test_counters_of_another_version_are_not_added_up(reached: Any) -> None:
    other = {"type": "counters", "counters": {"injected": 1, "reached": reached, "held": reached}}
    here = {"type": "counters", "counters": {**counted(3), "held": 2}}
    script = {"n": Script(first=(armed(), other)), "m": Script(first=(armed(), here))}
    target = fake(FakeCluster(script))
    pods = (POD, PodScope("shop", "db-1", "abcd1234", "m"))
    target.start(Fault(name="x", kind=Kind.SLAB, scope=Scope(pods=pods)))

    def counters() -> Mapping[str, Any]:
        return target.counters("x")

    deadline = Patience(5)
    while counters().get("injected") != 4 and deadline.wait(0.05):
        pass
    assert (counters()["reached"], counters()["held"], counters()["matched"]) == (5, 2, 3)
    with contextlib.suppress(ChaosKernelError):
        target.stop()
