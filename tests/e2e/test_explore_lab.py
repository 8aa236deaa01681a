"""Explorations in throwaway guests: one that is lost is an outcome, and the next goes on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.explore.conftest import SOURCE, explore


@pytest.fixture(autouse=True, scope="module")
def host() -> None:
    if os.environ.get("CHAOSKERNEL_IN_LAB") == "1":
        pytest.skip("a lab within the lab")


def test_lost_guest_is_an_outcome_and_the_exploration_goes_on(tmp_path: Path) -> None:
    program = Path("build") / "planted"  # the guest has a /tmp of its own
    program.parent.mkdir(exist_ok=True)
    subprocess.run(["gcc", "-static", "-O1", "-o", program, SOURCE], check=True, timeout=120)
    directory = Path("build") / f"explore-{os.getpid()}"
    directory.mkdir()
    state = directory / "x.jsonl"
    try:
        kernel = ("--lab", "--package", "linux-image-amd64", "--fault", "ipc")
        found = explore(state, *kernel, "--", str(program), "lose", seconds=1800)
    finally:
        state.unlink(missing_ok=True)
    came = {site["entered"]["name"]: site["outcome"] for site in found["sites"]}
    assert came == {"shmget": "reported", "semget": "survived", "msgget": "kernel"}
    assert found["ended_by"] == "complete"
    lost = [site for site in found["sites"] if site["outcome"] == "kernel"]
    assert all("panic" in " ".join(site["kernel_log"]).lower() for site in lost)
