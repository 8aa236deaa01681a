"""The fuzzer finds every way to fail, counts what it tried, and can try a failure again."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from hypothesis import strategies as st

from chaoskernel.errors import ChaosKernelError, InvalidManifest
from tests.fuzz.__main__ import fuzz, replayed
from tests.fuzz.target import ACCEPTED, REFUSED, Target, invoked, require
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Tally, first_inputs, inputs, run, tried

LIMIT = 0.1


@click.command()
def prints_an_escape() -> None:
    click.echo("\x1b[2J")


def refuse(text: str) -> None:
    raise ChaosKernelError(text)


def misuse(text: str) -> None:
    raise click.UsageError(text)  # which takes text as it is


def loop() -> None:
    while True:
        pass


def fail_in_a_thread() -> None:
    thread = threading.Thread(target=[].pop)
    thread.start()
    thread.join()


def refuse_one_of_two_problems() -> None:
    error = InvalidManifest("a file", ["1:1: wrong"])
    error.problems = (*error.problems, "2:1: \x1b")  # which makes them harmless itself
    raise error


WAYS: dict[str, Callable[[], object]] = {
    "ZeroDivisionError outside of the package": lambda: 1 // 0,
    "SystemExit outside of the package": lambda: sys.exit(0),
    "broken: it is odd": lambda: require(False, "it is odd"),
    "broken: '\\x1b' is shown": lambda: invoked(prints_an_escape),
    "'\\x1b' in a message, ": lambda: misuse("a\x1bb"),
    "'\\u202e' in a message, ": lambda: misuse("a\u202eb"),
    "'\\x1b' in a message, outside": refuse_one_of_two_problems,
    "an empty message, ": lambda: refuse(""),
    "a message of more than ": lambda: refuse("x" * 1601),
    "takes too long, ": loop,
    "takes too long, outside": lambda: time.sleep(60),
    "IndexError outside of the package, in a thread": fail_in_a_thread,
    "refused, and is well-formed: 'well'": lambda: refuse("no"),
}


def one(attempt: Callable[[str, Path], None], *well: str) -> Target:
    return Target("one", 1, st.integers(0, 99).map(str), attempt, well)


@pytest.mark.parametrize("kind", WAYS)
def test_each_way_to_fail_is_one(kind: str, tmp_path: Path) -> None:
    found, _ = tried(one(lambda *_: (WAYS[kind](), None)[1], "well"), "well", tmp_path, LIMIT)
    assert found.startswith(kind)


def test_what_is_accepted_or_refused_is_no_failure(tmp_path: Path) -> None:
    target = one(lambda given, _: None if given == "good" else refuse("no"))
    assert tried(target, "good", tmp_path)[0] == ACCEPTED
    assert tried(target, "bad", tmp_path)[0] == REFUSED


def die_of_seven(given: str, _: Path) -> None:
    if given == "7":
        os.kill(os.getpid(), signal.SIGKILL)
    if given == "8":
        refuse("no")


@pytest.mark.slow
def test_a_process_that_dies_costs_its_input_alone() -> None:
    target, count = one(die_of_seven), 450
    make = inputs(target, 1)
    made = [make(number) for number in range(count)]
    tally = run(target, count, 1, lambda *_: None)
    died = "the process was ended by SIGKILL"
    assert made.count("7") > 1
    assert tally.kinds == {
        ACCEPTED: count - made.count("7") - made.count("8"),
        REFUSED: made.count("8"),
        died: made.count("7"),
    }
    assert tally.examples == {died: "7"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["predicates", "agent-documents"])
def test_a_seed_and_a_number_make_the_same_input_in_any_order(name: str) -> None:
    target = TARGETS[name]
    first, again, other = (inputs(target, seed) for seed in (1, 1, 2))
    start = len(first_inputs(target))
    numbers = range(start, start + 100)
    backwards = {number: again(number) for number in reversed(numbers)}
    made = {number: first(number) for number in numbers}
    assert made == backwards
    assert made != {number: other(number) for number in numbers}
    assert len(set(made.values())) > 80


def read_a_number(given: str, _: Path) -> None:
    int(given)


def test_the_shortest_input_of_each_failure_is_kept_and_fails_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Target("sums", 1, st.just("\ud800!!!"), read_a_number, ["1"], ["x"])
    assert fuzz([target], 20, 1, tmp_path) == 1
    (file,) = (tmp_path / "sums").iterdir()
    assert file.read_bytes() == b"x"
    row = [cell.strip() for cell in _row(capsys.readouterr().out, "sums").split("│")]
    assert row[2:6] == ["20", "1", "0", "19 (1 kinds)"]
    assert replayed(target, file) == 1
    assert "ValueError outside of the package, " in capsys.readouterr().out
    file.write_text("5")
    assert replayed(target, file) == 0


def test_a_run_without_a_failure_ends_well(tmp_path: Path) -> None:
    assert fuzz([one(lambda *_: None)], 10, 1, tmp_path) == 0
    assert not list(tmp_path.iterdir())


def test_tallies_add_up() -> None:
    whole, part = Tally(), Tally()
    whole.note("crash", "long", 1.0)
    part.note("crash", "x", 0.5)
    part.note(ACCEPTED, "", 2.0)
    whole.add(part)
    assert whole.kinds == {"crash": 2, ACCEPTED: 1}
    assert whole.examples == {"crash": "x"}
    assert whole.slowest == 2.0


def _row(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"│ {name} "))
