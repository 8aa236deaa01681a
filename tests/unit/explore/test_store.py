"""The store: nothing of what was found is lost, and nothing else is taken for it."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path

import pytest

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore import store
from chaoskernel.explore.findings import Found, Result
from chaoskernel.explore.observation import Attempt
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan
from chaoskernel.fault.hooks import Kind
from tests.unit.explore.samples import site

PLAN = Plan(("db", "x y"), faults=(Kind.SLAB,), check="true", budget=3.5)
ONE = site("getname")
RESULT = Result(Attempt((ONE.id,)), Outcome.CRASHED, "killed by SIGSEGV", leaks=("1 descriptor",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a site and its result."""
    file = tmp_path / "x.jsonl"
    with store.begin(file, PLAN) as opened:
        opened.add("site", found=Found(ONE, Kind.SLAB).to_json())
        opened.add("trying", attempt={"sites": [ONE.id], "hits": "once"})
        opened.add("result", result=RESULT.to_json())
    return file


def test_what_was_written_is_read(path: Path) -> None:
    found = store.read(path)
    assert found.plan == PLAN
    assert found.results == {ONE.id: RESULT}
    assert found.sites[ONE.id].site == ONE
    assert found.trying is None
    store.check_kernel(found)


@pytest.mark.parametrize("bytes_lost", [1, 20, 200])
def test_line_that_was_cut_off_is_dropped_and_the_next_one_is_whole(
    path: Path, bytes_lost: int
) -> None:
    os.truncate(path, path.stat().st_size - bytes_lost)
    assert store.read(path).results == {}
    with store.resume(path) as opened:
        assert opened.findings.trying == RESULT.attempt
        opened.add("result", result=RESULT.to_json())
    assert store.read(path).results == {ONE.id: RESULT}


def test_second_exploration_of_a_file_is_refused(path: Path) -> None:
    with store.resume(path):
        opened = store.resume(path)
        with pytest.raises(ChaosKernelError, match="by another exploration; wait"):
            opened.__enter__()
    opened = store.begin(path, PLAN)
    with pytest.raises(ChaosKernelError, match="has an exploration already; go on with it by --re"):
        opened.__enter__()


def test_full_disk_keeps_what_was_found(path: Path) -> None:
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with store.resume(path) as opened:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, limits[1]))
            with pytest.raises(ChaosKernelError, match="File too large; what was found so far is"):
                opened.add("end", why="complete " * 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before


def test_other_kernel_is_refused(path: Path) -> None:
    found = store.read(path)
    found.kernel = {**found.kernel, "build": "#2 SMP"}
    with pytest.raises(ChaosKernelError, match="is of kernel .* #2 SMP; .* runs; boot that one"):
        store.check_kernel(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not an exploration's file"),
        ("{}\n", "is not an exploration's file"),
        ("[1]\n", "is not an exploration's file"),
        ('{"schema": 99}\n', "has schema 99; this version reads 1"),
    ],
)
def test_file_of_another_kind_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "other"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ChaosKernelError, match=message):
        store.read(file)


def test_every_record_is_a_line_of_json_with_its_time(path: Path) -> None:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [each["record"] for each in records] == ["plan", "site", "trying", "result"]
    assert all(each["seconds"] >= 0 for each in records[1:])
