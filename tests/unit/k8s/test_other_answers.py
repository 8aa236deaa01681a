"""Answers that no API server gives: they cost themselves alone, and are named."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from chaoskernel.backend.record import State
from chaoskernel.errors import ChaosKernelError, ClusterError, TimeLimit
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import streams
from chaoskernel.k8s.backend import ClusterBackend
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.job import Settings
from chaoskernel.k8s.retry import Patience
from tests.unit.k8s.api_server import Answer, Make, Server, a_pod
from tests.unit.k8s.fake_cluster import FakeCluster, Script, armed, counted, disarmed

# A thread that dies of an exception fails its test.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

JUNK: dict[str, bytes] = {
    "html": b"<html><body>proxy says hello</body></html>",
    "a list": b"[]",
    "null": b"null",
    "a number": b"17",
    "text": b'"x"',
    "true": b"true",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "half": b'{"type": "ADDED", "obj',
    "binary": bytes(set(range(256)) - {10}) * 10,
    "a million bytes": b"x" * 1_000_000,
    "infinite": b'{"type": 1e999, "object": NaN}',
    "a long number": b"9" * 5000,
    "blanks": b"   ",
}

DOCUMENTS: dict[str, Any] = {
    "no type": {"object": a_pod("x")},
    "no object": {"type": "ADDED"},
    "an object that is null": {"type": "ADDED", "object": None},
    "an object that is a list": {"type": "ADDED", "object": []},
    "no metadata": {"type": "ADDED", "object": {}},
    "metadata null": {"type": "ADDED", "object": {"metadata": None}},
    "metadata a list": {"type": "ADDED", "object": {"metadata": []}},
    "no name": {"type": "ADDED", "object": {"metadata": {}}},
    "a name that is a number": {"type": "ADDED", "object": {"metadata": {"name": 5}}},
    "labels a list": {"type": "ADDED", "object": {"metadata": {"name": "x", "labels": []}}},
    "owners text": {"type": "ADDED", "object": {"metadata": {"name": "x", "ownerReferences": "y"}}},
    "status a list": {"type": "ADDED", "object": {**a_pod("x"), "status": []}},
    "statuses of null": {
        "type": "ADDED",
        "object": {**a_pod("x"), "status": {"containerStatuses": [None]}},
    },
    "a state that is text": {
        "type": "ADDED",
        "object": {**a_pod("x"), "status": {"containerStatuses": [{"name": "a", "state": "up"}]}},
    },
}
LINES = {**JUNK, **{name: json.dumps(document).encode() for name, document in DOCUMENTS.items()}}


@pytest.mark.parametrize("kind", LINES)
def test_a_watch_passes_over_what_it_does_not_understand(
    kind: str, serving: Make, caplog: pytest.LogCaptureFixture
) -> None:
    good = json.dumps({"type": "ADDED", "object": a_pod("good")}).encode()
    cluster, _ = serving(lambda *_: (200, [(LINES[kind] + b"\n") * 3, good + b"\n"]))
    seen = cluster.watch_pods("c", "a=b", threading.Event())
    events = [next(seen) for _ in range(4)]
    assert [event for event, _ in events] == ["ERROR"] * 3 + ["ADDED"]
    assert "watch pods of c is not understood: " in events[0][1]["message"]
    assert events[3][1]["metadata"]["name"] == "good"
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


def test_an_error_of_the_server_is_reported_and_one_of_old_age_is_not(serving: Make) -> None:
    lines = [
        json.dumps({"type": "ERROR", "object": {"code": code, "message": "etcd"}})
        for code in (410, 500)
    ]
    cluster, _ = serving(lambda *_: (200, lines))
    kind, document = next(cluster.watch_pods("c", "a=b", threading.Event()))
    assert (kind, document["message"]) == ("ERROR", "the API server ended a watch: etcd")


@pytest.mark.parametrize("read", ["watch", "log"])
def test_a_line_without_an_end_takes_no_memory(read: str, serving: Make) -> None:
    good = json.dumps({"type": "ADDED", "object": a_pod("good")}).encode() + b"\n"
    chunk = b"x" * (1 << 20)
    cluster, _ = serving(lambda *_: (200, [*[chunk] * 100, b"\n", good]))
    tracemalloc.start()
    try:
        if read == "watch":
            watch = cluster.watch_pods("c", "a=b", threading.Event())
            assert [next(watch)[0] for _ in range(2)] == ["ERROR", "ADDED"]
        else:
            first, second = cluster.log("c", "p", "agent", threading.Event())
            assert (len(first), first[-1]) == (201, "…")
            assert second.encode() + b"\n" == good
        assert tracemalloc.get_traced_memory()[1] < 4 * streams.MAX_LINE
    finally:
        tracemalloc.stop()


def test_an_answer_without_an_end_takes_no_memory(
    serving: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams.body, "__defaults__", (1 << 20,))
    cluster, _ = serving(lambda *_: (200, [b" " * (1 << 18)] * 100))
    with pytest.raises(ClusterError, match="an answer of more than 1048576 bytes"):
        list(cluster.nodes())


@pytest.mark.parametrize("kind", [kind for kind in JUNK if kind != "a million bytes"])
def test_an_answer_that_is_not_a_list_is_an_error(kind: str, serving: Make) -> None:
    cluster, _ = serving(lambda *_: (200, JUNK[kind]))
    with pytest.raises(ClusterError, match="the answer of the API server to list pods of shop"):
        list(cluster.pods("shop"))
    if kind != "infinite":  # which is an object all the same
        with pytest.raises(ClusterError, match="create a Job is not understood.*; is a proxy in"):
            cluster.create_job("c", {})


@pytest.mark.parametrize("page", [{"items": {}}, {"items": "x"}, {"metadata": []}])
def test_a_page_of_another_form_is_an_error(page: dict[str, Any], serving: Make) -> None:
    cluster, _ = serving(lambda *_: (200, page))
    with pytest.raises(ClusterError, match="list nodes is not understood: "):
        list(cluster.nodes())


@pytest.mark.parametrize(
    "item",
    [
        *(None, [], 5, "x", {}, {"metadata": None}, {"metadata": {"name": 5}}),
        {"metadata": {"name": "x", "namespace": "shop"}},
        {**a_pod("x"), "spec": 5},
        {**a_pod("x"), "spec": {"containers": [{}]}},
        {**a_pod("x"), "spec": {"hostNetwork": "yes"}},
        {**a_pod("x"), "status": {"podIPs": [None]}},
        {**a_pod("x"), "status": {"phase": 5}},
    ],
)
def test_an_object_of_another_form_is_left_out_of_a_list(
    item: Any, serving: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cluster, _ = serving(lambda *_: (200, {"items": [item, a_pod("good"), item]}))
    assert [pod["metadata"]["name"] for pod in cluster.pods("shop")] == ["good"]
    assert "An object is left out of list pods of shop" in caplog.text


@pytest.mark.parametrize(
    "event", [None, [], {"metadata": []}, {"involvedObject": 5}, {"message": 5}, {"reason": []}]
)
def test_an_event_of_another_form_is_left_out(event: Any, serving: Make) -> None:
    good = {"metadata": None, "involvedObject": {"name": "j"}, "message": "no quota"}
    cluster, _ = serving(lambda *_: (200, {"items": [event, good]}))
    assert list(cluster.warnings("c")) == [good]


@pytest.mark.parametrize("answer", [{}, {"metadata": None}, {"metadata": {"uid": None}}])
def test_a_job_whose_uid_is_not_told_is_known_by_its_name(
    answer: dict[str, Any], serving: Make
) -> None:
    cluster, _ = serving(lambda *_: (200, answer))
    assert cluster.create_job("c", {}) == ""


@pytest.mark.parametrize("body", [b"[" * 100_000, b"null", b"[]", b'{"message": 5}', b"\xff" * 99])
def test_a_refusal_in_other_words(body: bytes, serving: Make) -> None:
    cluster, _ = serving(lambda *_: (500, body))
    with pytest.raises(ClusterError, match="refused to create a Job") as caught:
        cluster.create_job("c", {})
    assert len(str(caught.value)) < 600


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
