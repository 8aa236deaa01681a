"""Answers that no API server gives: they cost themselves alone, and are named."""

from __future__ import annotations

import json
import logging
import threading
import tracemalloc
from typing import Any

import pytest

from chaoskernel.errors import ClusterError
from chaoskernel.k8s import streams
from tests.unit.k8s.api_server import Make, a_pod
from tests.unit.k8s.odd_answers import JUNK, LINES

# A thread that dies of an exception fails its test.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


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
