"""The experiments on services, on an unmodified kernel, and what the services say meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.gallery import (
    assert_the_service_was_hit_and_is_well,
    outputs,
    played,
    summary,
)
from tests.programs import loaded_programs

pytestmark = pytest.mark.usefixtures("lab")

MANY = 10**9


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a run has to show.

    :param said: what its probes printed, by their names.
    :param injected: the least and the largest number of injections, by the faults' names.
    """

    said: Mapping[str, str]
    injected: Mapping[str, tuple[int, int]]


GALLERY = {
    "database-enospc.json": Shown(
        {
            "add rows": "3 x Error: stepping, database or disk is full (13)\n",
            "add rows without new files": (
                "3 x Error: stepping, unable to open database file (14)\n"
            ),
            "read while it is full": "1 rows, 1 confirmed\n",
            "add rows again": "3 x Success\n",
            "read again": "4 rows, 4 confirmed\n",
        },
        {"full-write": (3, MANY), "full-create": (3, MANY)},
    ),
    "redis-enospc.json": Shown(
        {
            "store until it refuses": (
                "MISCONF Errors writing to the AOF file: No space left on device\n"
            ),
            "read while it is full": "cherry\n",
            "it notices that there is room": (
                "AOF write error looks solved, Redis can write again.\n"
            ),
            "store again": "OK\n",
            "what it has kept": "cherry\ncherry\n",
        },
        {"redis-full": (1, MANY)},
    ),
    "redis-fork-enomem.json": Shown(
        {
            "save in the background": "ERR\n",
            "what the server reports": "Can't save in background: fork: Cannot allocate memory\n",
            "store meanwhile": (
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to "
                "persist to disk. Commands that may modify the data set are disabled, because this "
                "instance is configured to report errors during writes if RDB snapshotting fails "
                "(stop-writes-on-bgsave-error option). Please check the Redis logs for details "
                "about the RDB error.\n"
            ),
            "read meanwhile": "banana\n",
            "save in the background again": "Background saving started\n",
            "it has saved": "Background saving terminated with success\n",
            "store again": "OK\n",
        },
        {"redis-fork": (1, 10)},
    ),
    "redis-emfile.json": Shown(
        {
            "save": "ERR\n",
            "send a value to a server": "IOERR error or timeout connecting to the client\n",
            "a new client asks": "no answer\n",
            "why it is not served": "Accepting client connection: accept: Too many open files\n",
            "a new client asks again": "PONG\n",
            "save again": "OK\n",
        },
        {"emfile-open": (1, MANY), "emfile-socket": (1, 10), "emfile-accept": (1, MANY)},
    ),
    "redis-one-port-refused.json": Shown(
        {
            "the client asks": (
                "Could not connect to Redis at 127.0.0.1:16379: Connection refused\n"
            ),
            "the client asks the second server": "PONG\n",
            "another client asks": "banana\n",
            "the client asks again": "banana\n",
        },
        {"one-port-refused": (1, 10)},
    ),
    "redis-connect-refused.json": Shown(
        {
            "the client asks": (
                "Could not connect to Redis at 127.0.0.1:16379: Connection refused\n"
            ),
            "another client asks": "banana\n",
            "the client asks again": "banana\n",
        },
        {"connect-refused": (1, 10)},
    ),
}


@pytest.mark.parametrize("name", GALLERY)
def test_a_service_is_hit_says_so_and_is_well_afterwards(name: str, tmp_path: Path) -> None:
    before = loaded_programs()
    journal = played(name, tmp_path)
    assert_the_service_was_hit_and_is_well(journal, GALLERY[name].said, GALLERY[name].injected)
    assert loaded_programs() == before


STAND_IN = "kernel-chaos-stand-in.yaml"


def test_the_sample_of_chaos_mesh_is_played_by_the_stand_in_which_is_labelled_everywhere(
    tmp_path: Path,
) -> None:
    before = loaded_programs()
    journal = played(STAND_IN, tmp_path)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = outputs(journal)
    report = seen["what the program reports"]["stdout"]
    assert "Cannot allocate memory\nInvalid argument\nCannot allocate memory" in report
    (fault,) = journal["chaoskernel"]["faults"]
    counters = seen["what stands in"]
    for labelled in (seen["apply the sample manifest"]["applied"][0], counters, fault):
        assert labelled["stand_in_for"] == "slab"
    assert fault["fault"] == "allocation"
    assert any("allocation stands in for slab" in line for line in fault["warnings"])
    assert fault["counters"]["injected"] >= counters["injected"] >= 2
    assert {hook["symbol"] for hook in counters["hooks"]} == set(fault["hooks"])
    assert "allocation for slab, which this kernel lacks" in summary(tmp_path)
    assert loaded_programs() == before
