"""The logs of many agents at the same time: how they are opened, and how they are read."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from chaoskernel.backend.series import Series
from chaoskernel.errors import ClusterError, NotPermitted
from chaoskernel.k8s import streams
from chaoskernel.k8s.logs import Few, Logs
from chaoskernel.k8s.node import NodeAgent
from chaoskernel.k8s.progress import Roll
from chaoskernel.k8s.recent_events import Latest
from chaoskernel.k8s.removal import AT_ONCE
from chaoskernel.k8s.sparing import SparingLog
from tests.unit.k8s.fake_cluster import FakeCluster, armed, disarmed
from tests.waiting import within

MANY = 3 * AT_ONCE
RUNNING = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}


class Opening(FakeCluster):
    """Says armed once all logs are open, and disarmed when it may; counts who opens at once."""

    def __init__(self, logs: int) -> None:
        super().__init__()
        self.most = self.opening = self.opened = 0
        self.may_end = threading.Event()
        self.refused: list[Exception] = []
        self._all_open = threading.Event()
        self._expected = logs
        self._counting = threading.Lock()

    def log(self, namespace: str, pod: str, container: str, over: threading.Event) -> Iterator[str]:
        with self._counting:
            self.opening += 1
            self.most = max(self.most, self.opening)
        time.sleep(0.005)
        with self._counting:
            self.opening -= 1
            if self.refused:
                raise self.refused.pop()
            self.opened += 1
            if self.opened == self._expected:
                self._all_open.set()
        return self._lines()

    def _lines(self) -> Iterator[str]:
        assert self._all_open.wait(10)
        yield json.dumps(armed())
        assert self.may_end.wait(10)
        yield json.dumps(disarmed(4))


def agents(number: int) -> list[NodeAgent]:
    roll, latest, series = Roll(), Latest(), Series()
    found = [NodeAgent(f"w{n}", f"j{n}", (), roll, latest, series) for n in range(number)]
    for agent in found:
        agent.belongs_to("")
        agent.see("ADDED", {"metadata": {"name": f"pod of {agent.job}"}, "status": RUNNING})
    return found


def logs(cluster: Any, over: threading.Event | None = None) -> Logs:
    log = SparingLog(logging.getLogger("chaoskernel"))
    return Logs(cluster, "c", over or threading.Event(), 0.01, log)


def test_few_open_logs_at_once_and_all_are_read_at_the_same_time() -> None:
    cluster, here = Opening(MANY), agents(MANY)
    hearing = logs(cluster)
    for agent in here:
        hearing.hear(agent)
    assert within(10, lambda: all(agent.armed for agent in here))
    assert 1 < cluster.most <= AT_ONCE
    assert not any(agent.disarmed for agent in here)
    cluster.may_end.set()
    assert within(10, lambda: all(agent.settled for agent in here))
    assert cluster.opened == MANY


@pytest.mark.parametrize("error", [ClusterError("busy", status=500), OSError("cut off")])
def test_a_log_that_could_not_be_opened_is_asked_for_again(error: Exception) -> None:
    cluster, (here,) = Opening(1), agents(1)
    cluster.refused = [error]
    cluster.may_end.set()
    logs(cluster).hear(here)
    assert within(10, lambda: here.disarmed)


def test_a_log_that_may_not_be_read_fails_the_start() -> None:
    cluster, (here,) = Opening(1), agents(1)
    cluster.refused = [NotPermitted("no right to pods/log", hint="grant it")]
    logs(cluster).hear(here)
    assert within(10, lambda: here.error() is not None)
    assert "no right to pods/log" in str(here.error())


def test_a_log_of_which_nothing_is_there_ends_the_agent() -> None:
    cluster, (here,) = Opening(1), agents(1)
    cluster.refused = [ClusterError("gone", status=404)]
    logs(cluster).hear(here)
    assert within(10, lambda: here.over)
    assert cluster.opened == 0


def test_logs_that_break_off_are_not_opened_by_the_few() -> None:
    """Else nodes that are cut off would hold up the others."""

    class CutOff(Opening):
        seen: ClassVar[set[str]] = set()

        def log(self, namespace: str, pod: str, *more: Any) -> Iterator[str]:
            if pod in self.seen:
                assert self.may_end.wait(10)  # an answer that does not come
            self.seen.add(pod)
            return super().log(namespace, pod, *more)

        def _lines(self) -> Iterator[str]:
            yield json.dumps(armed())

    cluster, here, over = CutOff(MANY), agents(MANY), threading.Event()
    hearing = logs(cluster, over)
    for agent in here:
        hearing.hear(agent)
    assert within(10, lambda: all(agent.armed for agent in here))
    (one_more,) = agents(1)
    one_more.pod = "another"
    hearing.hear(one_more)
    assert within(5, lambda: one_more.armed)
    over.set()
    cluster.may_end.set()


def test_few_do_all_things_and_end() -> None:
    few, done, lock, most = Few(3), [], threading.Lock(), [0, 0]

    def thing(number: int) -> Callable[[], None]:
        def do() -> None:
            with lock:
                most[0] += 1
                most[1] = max(most)
            time.sleep(0.002)
            with lock:
                most[0] -= 1
                done.append(number)

        return do

    before = threading.active_count()
    for number in range(20):
        few.do(thing(number))
    assert within(5, lambda: len(done) == 20)
    assert most[1] == 3
    assert sorted(done) == list(range(20))
    assert within(5, lambda: threading.active_count() <= before)
    few.do(thing(20))  # and they begin again
    assert within(5, lambda: 20 in done)


class Stream:
    """An answer in pieces; notes how many were read."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.read = 0

    def stream(self, size: int, **_: Any) -> Iterator[bytes]:
        for piece in self.pieces:
            self.read += 1
            yield piece

    def close(self) -> None:
        pass

    release_conn = close


LONG = b"x" * 20_000


def test_long_lines_of_many_streams_are_read_one_after_the_other() -> None:
    turns, over = streams.Turns(1), threading.Event()
    first, second = (Stream(b"a\n", LONG, LONG, b"\n", b"b\n") for _ in range(2))
    one, other = (streams.lines(each, over, turns) for each in (first, second))
    assert next(one) == next(other) == "a"
    assert len(next(one)) == 40_000  # and its turn lasts as long as it is looked at
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.extend(map(len, other)))
    waiting.start()
    assert within(5, lambda: second.read == 2)
    time.sleep(0.05)
    assert (second.read, found) == (2, [])
    assert next(one) == "b"
    waiting.join(5)
    assert found == [40_000, 1]
    assert is_free(turns)


def is_free(turns: streams.Turns) -> bool:
    """Tell whether nobody has the only turn."""
    given = turns.begin()
    if given:
        turns.end()
    return given


def test_nobody_waits_for_one_that_has_come_to_a_halt() -> None:
    turns, over = streams.Turns(1, seconds=0.01), threading.Event()
    held = streams.lines(Stream(LONG, b"\n", b"end"), over, turns)
    assert len(next(held)) == 20_000
    assert [len(line) for line in streams.lines(Stream(LONG, LONG), over, turns)] == [40_000]
    assert not is_free(turns)  # another's turn is not ended
    assert list(held) == ["end"]
    assert is_free(turns)


def test_many_wait_for_their_turn_for_as_long_as_others_come_to_an_end() -> None:
    turns, given = streams.Turns(1, seconds=0.2), []

    def take_turn() -> None:
        given.append(turns.begin())
        time.sleep(0.02)
        turns.end()

    threads = [threading.Thread(target=take_turn) for _ in range(30)]  # 0.6 s in all
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert given == [True] * 30


@pytest.mark.parametrize("leave", ["close", "over"])
def test_a_stream_that_is_left_ends_its_turn(leave: str) -> None:
    turns, over = streams.Turns(1, seconds=0.01), threading.Event()
    lines = streams.lines(Stream(LONG, b"\n", LONG, b"\n"), over, turns)
    next(lines)
    assert not is_free(turns)
    if leave == "close":
        lines.close()  # type: ignore[attr-defined]
    else:
        over.set()
        assert list(lines) == []
    assert is_free(turns)
