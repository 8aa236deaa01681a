"""The experiments that are shipped, and what each has to show in its journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gallery import EXPERIMENTS, assert_the_service_was_hit_and_is_well, outputs, played
from tests.programs import loaded_programs
from tests.stock.test_gallery import GALLERY as ON_STOCK_KERNELS
from tests.stock.test_gallery import STAND_IN

pytestmark = pytest.mark.usefixtures("lab")


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a run has to show.

    :param said: what its probes printed, by their names.
    :param injected: the least and the largest number of injections.
    """

    said: Mapping[str, str]
    injected: tuple[int, int]


NO_MEMORY, EIO = "Cannot allocate memory", "Input/output error"

GALLERY = {
    "btrfs-mount-enomem.json": Shown(
        {
            "mount btrfs": f"2 x {NO_MEMORY}\n",
            "mount ext4": "2 x Success\n",
            "mount btrfs again": "2 x Success\n",
        },
        (2, 2),
    ),
    "ext4-mount-enomem.json": Shown(
        {
            "mount ext4": f"2 x {NO_MEMORY}\n",
            "mount btrfs": "2 x Success\n",
            "mount ext4 again": "2 x Success\n",
        },
        (2, 2),
    ),
    "one-file-name.json": Shown(
        {
            "create bananas": f"3 x {NO_MEMORY}\n",
            "create bananas0": "3 x Success\n",
            "create bananas again": "3 x Success\n",
        },
        (3, 3),
    ),
    "order-1-pages.json": Shown({"send 11192 bytes": "5 x Success\n"}, (5, 5)),
    "one-sector-eio.json": Shown(
        {
            "read sector 128": f"2 x {EIO}\n",
            "read sector 136": "2 x Success\n",
            "read sector 128 of another disk": "2 x Success\n",
            "read sector 128 again": "2 x Success\n",
        },
        (2, 2),
    ),
    "one-container.json": Shown(
        {
            "what its program reports": f"{NO_MEMORY}\n" * 3,
            "execute a program in it again": "",
        },
        (3, 10_000),
    ),
    "mount-times.json": Shown(
        {"mount ten times in each of eight threads": f"73 x Success\n7 x {NO_MEMORY}\n"}, (7, 7)
    ),
    # Of 400 mounts half fail, give or take five standard deviations of 10.
    "mount-probability.json": Shown({}, (150, 250)),
    "kernel-chaos-example.yaml": Shown({}, (2, 10_000)),
}


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return {}


@pytest.mark.parametrize("name", GALLERY)
def test_an_experiment_completes_and_shows_what_it_is_to_show(
    name: str, tmp_path: Path, journals: dict[str, dict[str, Any]]
) -> None:
    before = loaded_programs()
    journal = journals.setdefault(name, played(name, tmp_path))
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = outputs(journal)
    for probe, text in GALLERY[name].said.items():
        assert seen[probe]["stdout"] == text
    (fault,) = journal["chaoskernel"]["faults"]
    least, most = GALLERY[name].injected
    assert least <= fault["counters"]["injected"] <= most
    assert (fault["state"], fault["leftovers"]) == ("ended", [])
    assert {run["status"] for run in journal["rollbacks"]} == {"succeeded"}
    assert loaded_programs() == before


def test_every_shipped_experiment_is_run_by_a_test() -> None:
    shipped = {path.name for kind in ("json", "yaml") for path in EXPERIMENTS.glob(f"*.{kind}")}
    on_a_cluster = {name for name in shipped if name.startswith("kubernetes-")}
    elsewhere = {
        "mount-enomem.json",
        "stock-demo.json",
        "database-fsync-eio.json",
        STAND_IN,
        *ON_STOCK_KERNELS,
    }
    assert shipped - on_a_cluster == {*GALLERY, *elsewhere}


def test_a_database_reports_a_disk_that_confirms_nothing(tmp_path: Path) -> None:
    before = loaded_programs()
    assert_the_service_was_hit_and_is_well(
        played("database-fsync-eio.json", tmp_path),
        {
            "add rows": "3 x Error: stepping, disk I/O error (10)\n",
            "read meanwhile": "1 rows, 1 confirmed\n",
            "add rows again": "3 x Success\n",
            "read again": "4 rows, 4 confirmed\n",
        },
        {"fsync-eio": (3, 100)},
    )
    assert loaded_programs() == before


def test_half_of_the_mounts_failed_and_no_more_were_injected(
    journals: dict[str, dict[str, Any]],
) -> None:
    seen = outputs(journals["mount-probability.json"])
    well, failed = seen["mount 50 times in each of eight threads"]["stdout"].splitlines()
    injected = seen["how many failed"]
    assert (well, failed) == (f"{400 - injected} x Success", f"{injected} x {NO_MEMORY}")


def test_the_requests_that_failed_were_for_two_pages(journals: dict[str, dict[str, Any]]) -> None:
    events = outputs(journals["order-1-pages.json"])["which requests failed"]["events"]
    assert [event["arguments"]["order"] for event in events] == [1] * 5


def test_a_program_that_is_executed_in_the_container_is_hit(
    journals: dict[str, dict[str, Any]],
) -> None:
    assert outputs(journals["one-container.json"])["execute a program in it"]["status"] != 0


def test_the_state_of_the_sample_is_told_as_chaos_mesh_does(
    journals: dict[str, dict[str, Any]],
) -> None:
    seen = outputs(journals["kernel-chaos-example.yaml"])
    report = seen["what the program reports"]["stdout"]
    assert f"{NO_MEMORY}\nInvalid argument\n{NO_MEMORY}" in report
    state, paused = seen["the state of the KernelChaos"], seen["pause it"]
    conditions = ("selected", "allInjected", "allRecovered", "paused", "desiredPhase")
    assert [state[key] for key in conditions] == [True, True, False, False, "Run"]
    assert [paused[key] for key in conditions] == [True, False, True, True, "Stop"]
    assert paused["injected"] >= state["injected"] >= 2
