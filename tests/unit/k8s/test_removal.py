"""Jobs are deleted some at a time, and one by one where that fails; every one is tried."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from chaoskernel.errors import ChaosKernelError, ClusterError, NotPermitted
from chaoskernel.k8s import removal
from chaoskernel.k8s.retry import Patience
from tests.unit.k8s.fake_cluster import FakeCluster


class Cluster(FakeCluster):
    """Records what is asked of it; refuses what `refuse` has an error for."""

    def __init__(self, refuse: Callable[[str], ChaosKernelError | None] = lambda _: None) -> None:
        super().__init__()
        self.asked: list[str] = []
        self._error_for = refuse
        self._lock = threading.Lock()

    def delete_job(self, namespace: str, name: str, patience: Patience | None = None) -> None:
        self._ask(f"{namespace}/{name}")

    def delete_jobs(self, namespace: str, labels: str, patience: Patience | None = None) -> None:
        self._ask(f"{namespace}?{labels}")

    def _ask(self, what: str) -> None:
        with self._lock:
            self.asked.append(what)
            error = self._error_for(what)
        if error:
            raise error


def remove(cluster: Cluster, jobs: dict[str, list[str]]) -> dict[str, str]:
    return removal.remove(cluster, "c", jobs, patience=0.5, retry=0.01)


@pytest.mark.parametrize(
    ("jobs", "parts"), [(0, 1), (1, 1), (8, 1), (9, 2), (10, 2), (100, 13), (128, 16), (5000, 16)]
)
def test_many_jobs_are_in_as_many_parts_as_are_deleted_at_once(jobs: int, parts: int) -> None:
    assert removal.parts(jobs) == parts


def test_a_part_is_deleted_by_one_request() -> None:
    cluster = Cluster()
    assert remove(cluster, {"part=0": ["a", "b"], "part=1": ["d"]}) == {}
    assert sorted(cluster.asked) == ["c?part=0", "c?part=1"]


def test_the_jobs_of_a_part_that_fails_are_deleted_one_by_one_and_those_left_are_reported() -> None:
    refused = {"c?part=0": ClusterError("no", status=422), "c/b": ClusterError("kept", status=422)}
    cluster = Cluster(refused.get)
    assert remove(cluster, {"part=0": ["a", "b"], "part=1": ["d"]}) == {"b": "kept"}
    assert sorted(cluster.asked) == ["c/a", "c/b", "c?part=0", "c?part=1"]


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_server_that_is_not_there_is_asked_again(status: int) -> None:
    answers = [ClusterError("away", status=status) for _ in range(3)]
    cluster = Cluster(lambda _: answers.pop() if answers else None)
    assert remove(cluster, {"part=0": ["a"]}) == {}
    assert cluster.asked == ["c?part=0", "c/a", "c/a", "c/a"]


def test_a_missing_right_to_delete_many_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    error = NotPermitted("u may not deletecollection jobs.batch in namespace c", hint="grant it")
    cluster = Cluster(lambda what: error if "?" in what else None)
    with caplog.at_level(logging.WARNING):
        assert remove(cluster, {"part=0": ["a"], "part=1": ["b"]}) == {}
    (message,) = caplog.messages
    assert message.startswith("Jobs are deleted one by one: u may not deletecollection jobs.batch")


def test_as_many_are_at_work_as_the_server_is_asked_at_once() -> None:
    everyone = threading.Barrier(removal.AT_ONCE, timeout=10)

    def meet(_: int) -> None:
        everyone.wait()

    assert removal.each(meet, list(range(2 * removal.AT_ONCE))) == []
