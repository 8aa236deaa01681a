"""Requests that a server is too busy for, lists that expire, and lists that do not end."""

from __future__ import annotations

import datetime
import email.utils
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from chaoskernel.errors import AgentError, ClusterError
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import asking
from chaoskernel.k8s.backend import ClusterBackend
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.injection import Waits
from chaoskernel.k8s.job import Settings
from chaoskernel.k8s.retry import LONGEST_SECONDS, Patience, retry_after
from tests.unit.k8s.api_server import Answer, Make, a_pod, refusal
from tests.waiting import within

EVENT = {"involvedObject": {"name": "j"}}
PAGE = {"items": [{**a_pod("a"), **EVENT}]}
WATCHED = [json.dumps({"type": "ADDED", "object": a_pod("a")})]


def nothing() -> threading.Event:
    return threading.Event()


CALLS: dict[str, tuple[Callable[[ApiCluster], Any], Any]] = {
    "list pods": (lambda cluster: list(cluster.pods("c")), PAGE),
    "list nodes": (lambda cluster: list(cluster.nodes()), PAGE),
    "list jobs": (lambda cluster: list(cluster.jobs("c", "a=b")), PAGE),
    "list events": (lambda cluster: list(cluster.warnings("c")), PAGE),
    "get": (lambda cluster: cluster.pod("c", "a"), a_pod("a")),
    "create": (lambda cluster: cluster.create_job("c", {}), {"metadata": {"uid": "u"}}),
    "delete": (lambda cluster: cluster.delete_job("c", "j"), {}),
    "delete many": (lambda cluster: cluster.delete_jobs("c", "a=b"), {}),
    "watch": (lambda cluster: next(cluster.watch_pods("c", "a=b", nothing())), WATCHED),
    "log": (lambda cluster: list(cluster.log("c", "p", "agent", nothing())), ["{}"]),
}


def later(status: int, seconds: str, message: str = "slow down") -> Answer:
    return (*refusal(status, message)[:2], {"Retry-After": seconds})


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("call", CALLS)
def test_a_busy_server_is_asked_again_by_every_call(call: str, status: int, serving: Make) -> None:
    ask, good = CALLS[call]
    answers = [later(status, "0"), later(status, "0"), (200, good)]
    cluster, server = serving(lambda *_: answers.pop(0))
    found = ask(cluster)
    assert (len(server.asked), answers) == (3, [])
    assert len({(method, path) for method, path, _ in server.asked}) == 1
    if call == "watch":
        assert found == ("ADDED", a_pod("a"))


def test_a_busy_server_that_does_not_say_when_is_asked_again(serving: Make) -> None:
    answers: list[Answer] = [refusal(429, "slow down"), (200, PAGE)]
    cluster, _ = serving(lambda *_: answers.pop(0))
    assert len(list(cluster.nodes())) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500, 503])
def test_other_refusals_are_not_asked_again(status: int, serving: Make) -> None:
    cluster, server = serving(lambda *_: refusal(status, "no"))
    with pytest.raises(ClusterError, match="no"):
        cluster.create_job("c", {})
    assert len(server.asked) == 1


def test_a_server_that_stays_busy_is_given_up_in_time(serving: Make) -> None:
    cluster, server = serving(lambda *_: later(429, "0"))
    begun = time.monotonic()
    with pytest.raises(ClusterError, match="refused to create a Job: slow down; .* too busy"):
        cluster.create_job("c", {}, Patience(1.0))
    assert time.monotonic() - begun < 1.5
    # It is asked less and less often.
    assert 3 <= len(server.asked) <= 5


def test_a_wait_that_would_last_too_long_is_not_begun(serving: Make) -> None:
    cluster, server = serving(lambda *_: later(503, "20"))
    begun = time.monotonic()
    with pytest.raises(ClusterError, match="slow down"):
        cluster.create_job("c", {}, Patience(10.0))
    assert time.monotonic() - begun < 5
    assert len(server.asked) == 1


def test_a_stop_ends_the_wait(serving: Make) -> None:
    cluster, _ = serving(lambda *_: later(429, "20"))
    over = threading.Event()
    threading.Timer(0.3, over.set).start()
    begun = time.monotonic()
    with pytest.raises(ClusterError, match="slow down"):
        cluster.create_job("c", {}, Patience(100.0, over))
    assert time.monotonic() - begun < 5


def test_a_start_that_waits_for_a_busy_server_is_stopped(serving: Make) -> None:
    def answer(method: str, path: str, query: dict[str, str]) -> Answer:
        if method == "POST":
            return later(429, "20")
        return (200, []) if "watch" in query else (200, {})

    cluster, server = serving(answer)
    target = ClusterBackend(cluster, Settings("c", "i"), waits=Waits(start=60, stop=5, retry=0.01))
    scope = Scope(pods=(PodScope("shop", "db-0", "1234abcd", "n"),))
    raised: list[Exception] = []

    def start() -> None:
        try:
            target.start(Fault(name="x", kind=Kind.SLAB, scope=scope))
        except AgentError as error:
            raised.append(error)

    starting = threading.Thread(target=start)
    starting.start()
    assert within(10, lambda: any(method == "POST" for method, *_ in server.asked))
    begun = time.monotonic()
    target.stop("x")
    starting.join(10)
    assert time.monotonic() - begun < 8
    assert [str(error) for error in raised] == ["fault 'x' was stopped before it was armed"]


def test_a_job_that_was_made_by_a_request_that_was_answered_with_later(serving: Make) -> None:
    answers = [later(503, "0"), refusal(409, 'jobs.batch "j" already exists')]
    cluster, _ = serving(lambda *_: answers.pop(0))
    assert cluster.create_job("c", {}) == ""


NOW = "Thu, 26 Nov 2026 15:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (503, {"retry-after": " 7 "}, 7),
        (429, {}, 1),
        (429, {"Retry-After": "soon"}, 1),
        (429, {"Retry-After": "-5"}, 1),
        (429, {"Retry-After": "1.5"}, 1),
        (429, {"Retry-After": "nan"}, 1),
        (429, {"Retry-After": "9" * 5000}, 1),
        (429, {"Retry-After": "Thu, 26 Nov 2026 15:00:09 GMT", "Date": NOW}, 9),
        (503, {"Retry-After": "Thu, 26 Nov 2026 15:00:09 -0000", "Date": NOW}, 9),
        (503, {"Retry-After": "Thu, 26 Nov 2026 14:00:00 GMT", "Date": NOW}, 0),
        (503, {"Retry-After": "Thu, 99 Nov 2026 14:00:00 GMT", "Date": NOW}, 1),
        (503, {}, None),
        (200, {"Retry-After": "7"}, None),
        (403, {"Retry-After": "7"}, None),
    ],
)
def test_when_a_request_is_made_again(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(status, headers) == seconds


def test_a_date_without_the_servers_clock_is_of_this_hosts() -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=30)
    seconds = retry_after(429, {"Retry-After": email.utils.format_datetime(then, usegmt=True)})
    assert seconds is not None
    assert 25 < seconds <= 30


def test_no_wait_is_longer_than_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    waited: list[float] = []
    monkeypatch.setattr(over, "wait", waited.append)
    assert Patience(1000, over).wait(500)
    assert waited == [LONGEST_SECONDS]


def names(cluster: ApiCluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods("shop")]


def paged(*answers: Answer) -> Callable[[str, str, dict[str, str]], Answer]:
    left = list(answers)
    return lambda *_: left.pop(0)


def page(*pods: str, more: str = "") -> Answer:
    return 200, {"items": [a_pod(name) for name in pods], "metadata": {"continue": more}}


def test_a_list_that_expires_is_listed_anew_once(serving: Make) -> None:
    gone = refusal(410, "The provided continue parameter is too old")
    cluster, server = serving(
        paged(page("a", "b", more="1"), gone, page("a", "b", more="2"), page("c"))
    )
    assert names(cluster) == ["a", "b", "c"]
    assert [query.get("continue") for *_, query in server.asked] == [None, "1", None, "2"]


def test_a_list_that_expires_twice_is_an_error(serving: Make) -> None:
    gone = refusal(410, "The provided continue parameter is too old")
    cluster, server = serving(paged(page("a", more="1"), gone, page("a", more="2"), gone))
    with pytest.raises(ClusterError, match="too old"):
        names(cluster)
    assert len(server.asked) == 4


@pytest.mark.parametrize("tokens", [["1"], ["1", "2"]])
def test_a_token_that_comes_again_is_an_error(tokens: list[str], serving: Make) -> None:
    left = tokens * 10
    cluster, server = serving(lambda *_: page("a", more=left.pop(0)))
    with pytest.raises(ClusterError, match="list pods of shop is not understood: .* token twice"):
        names(cluster)
    assert len(server.asked) == len(tokens) + 1


def test_a_list_without_an_end_is_an_error(serving: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MAX_PAGES", 7)
    count = iter(range(1000))
    cluster, server = serving(lambda *_: page(more=str(next(count))))
    with pytest.raises(ClusterError, match="more than 7 pages"):
        names(cluster)
    assert len(server.asked) == 7
