"""Tries the inputs of one target in a process of its own, which a crash or a hang may take."""

from __future__ import annotations

import collections
import dataclasses
import logging
import mmap
import multiprocessing
import multiprocessing.connection
import os
import random
import resource
import signal
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from hypothesis import HealthCheck, given, settings

from tests.fuzz.target import ACCEPTED, REFUSED, Target, kind_of, outcome

SECONDS = 4.0
"""How long one input may take: several times what the slowest takes on an idle machine."""
_PATIENCE = 8
"""A process that waits for its turn on a busy machine does not take long."""
_LOST_SECONDS = 40.0
"""From then on a worker is killed: code in C takes no alarm."""
_MEMORY = 4 << 30
_BATCH = 200
_BYTES = 1 << 11

_fork = multiprocessing.get_context("fork")


@dataclasses.dataclass
class Tally:
    """What became of a target's inputs.

    :param kinds: how many inputs had each outcome.
    :param examples: the shortest input of each kind of failure.
    :param slowest: seconds that the slowest input took.
    """

    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    examples: dict[str, str] = dataclasses.field(default_factory=dict)
    slowest: float = 0.0

    def note(self, kind: str, given: str, seconds: float) -> None:
        self.kinds[kind] += 1
        self.slowest = max(self.slowest, seconds)
        if kind not in (ACCEPTED, REFUSED):
            known = self.examples.get(kind)
            if known is None or len(given) < len(known):
                self.examples[kind] = given

    def add(self, other: Tally) -> None:
        for kind, example in other.examples.items():
            self.note(kind, example, 0.0)
            self.kinds[kind] -= 1
        self.kinds += other.kinds
        self.slowest = max(self.slowest, other.slowest)


class _TooLong(BaseException):
    """An input takes longer than it may."""


def first_inputs(target: Target) -> tuple[str, ...]:
    """Return those that are tried as they are."""
    return (*target.well, *target.directed)


def inputs(target: Target, seed: int) -> Callable[[int], str]:
    """Return what makes the input of a number: the directed ones come first."""
    drawn: list[str] = []
    first = first_inputs(target)

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def take(one: str) -> None:
        drawn.append(one)

    make = take.hypothesis.fuzz_one_input  # type: ignore[attr-defined]

    def numbered(number: int) -> str:
        if number < len(first):
            return first[number]
        source = random.Random(f"{seed} {target.name} {number}")
        size = _BYTES
        while True:  # some need more bytes than others
            drawn.clear()
            make(source.randbytes(size))
            if drawn:
                return drawn[0]
            size *= 2

    return numbered


def tried(
    target: Target,
    given: str,
    scratch: Path,
    limit: float = SECONDS,
    on_error: Callable[[BaseException], None] | None = None,
) -> tuple[str, float]:
    """Try an input; return what became of it, and the seconds that it took.

    :param limit: seconds of the processor; of a process that is blocked, `_PATIENCE` times as many.
    :param on_error: is told what was raised.
    """
    loose: list[BaseException] = []
    threading.excepthook = lambda what: loose.append(what.exc_value or SystemExit())
    began, used = time.monotonic(), time.process_time()

    def on_alarm(_number: int, _frame: FrameType | None) -> None:
        busy = time.process_time() - used
        if busy >= limit or time.monotonic() - began >= limit * _PATIENCE:
            signal.setitimer(signal.ITIMER_REAL, 0)  # not a second time while this is on its way
            raise _TooLong

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, limit, limit / 4)
    try:
        kind = outcome(target, given, scratch, on_error or _quietly)
    except _TooLong as error:
        kind = f"takes too long, {kind_of(error).partition(' ')[2]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if loose:
        kind = f"{kind_of(loose[0])}, in a thread"
    return kind, time.monotonic() - began


def _quietly(_: BaseException) -> None:
    """Let the kind of an error say enough."""


def run(target: Target, count: int, seed: int, progress: Callable[[int, Tally], None]) -> Tally:
    """Try a target's inputs; those that take the process with them count as failures."""
    tally, done, lost = Tally(), 0, set[int]()
    while done < count:
        with mmap.mmap(-1, 8) as place, tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
            ours, theirs = _fork.Pipe(duplex=False)
            worker = _fork.Process(
                target=_work,
                args=(target, range(done, count), seed, lost, place, theirs, scratch),
            )
            worker.start()
            theirs.close()
            for part in _parts(worker, ours, place):
                tally.add(part)
                done = min(count, done + _BATCH)
                progress(done, tally)
            worker.join()
            if done < count:  # it did not get to its end
                number = struct.unpack("q", place[:8])[0]
                tally.note(_ended(worker.exitcode or 0), inputs(target, seed)(number), 0.0)
                lost.add(number)
    return tally


def _ended(status: int) -> str:
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return f"the process was ended by {how}"


def _parts(
    worker: multiprocessing.process.BaseProcess,
    messages: multiprocessing.connection.Connection,
    place: mmap.mmap,
) -> Iterator[Tally]:
    """Yield what a worker reports; end one that has been at the same input for too long."""
    at, since = b"", time.monotonic()
    while True:
        try:
            if messages.poll(1.0):
                yield messages.recv()
                continue
        except EOFError:
            return
        if place[:8] != at:
            at, since = place[:8], time.monotonic()
        elif time.monotonic() - since > _LOST_SECONDS:
            worker.kill()


def _work(
    target: Target,
    numbers: range,
    seed: int,
    lost: set[int],
    place: mmap.mmap,
    reports: multiprocessing.connection.Connection,
    scratch: str,
) -> NoReturn:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable()
    make, home = inputs(target, seed), Path(scratch)
    for start in range(numbers.start, numbers.stop, _BATCH):
        part = Tally()
        for number in range(start, min(start + _BATCH, numbers.stop)):
            if number not in lost:
                place[:8] = struct.pack("q", number)
                given = make(number)
                kind, seconds = tried(target, given, home)
                part.note(kind, given, seconds)
        reports.send(part)
    os._exit(0)
