"""Runs a shipped experiment by the real `chaos`, and reads its journal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXPERIMENTS = Path("experiments")


def played(name: str, directory: Path, seconds: float = 400) -> dict[str, Any]:
    """Run an experiment; return its journal.

    :param directory: takes the journal and the toolkit's log.
    """
    journal = directory / "journal.json"
    ended = subprocess.run(
        [_program("chaos"), "--no-version-check", "--log-file", directory / "chaos.log",
         "run", "--journal-path", journal, EXPERIMENTS / name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )  # fmt: skip
    print(ended.stdout)
    assert ended.returncode == 0
    found: dict[str, Any] = json.loads(journal.read_text(encoding="utf-8"))
    return found


def summary(directory: Path) -> str:
    """Return what `chaoskernel summary` prints of the journal in a directory."""
    printed = subprocess.run(
        [_program("chaoskernel"), "summary", directory / "journal.json"],
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return printed.stdout


def outputs(journal: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each activity of the method returned, by its name."""
    return {run["activity"]["name"]: run.get("output") for run in journal["run"]}


def assert_the_service_was_hit_and_is_well(
    journal: Mapping[str, Any], said: Mapping[str, str], injected: Mapping[str, tuple[int, int]]
) -> None:
    """Check what the service said, that each fault made something fail, and that none is left.

    :param said: what probes printed, by their names.
    :param injected: the least and the largest number of injections, by the faults' names.
    """
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = outputs(journal)
    printed = {name: seen[name]["stdout"] for name in said}
    assert printed == said
    assert {run["activity"]["name"]: run["status"] for run in journal["run"]} == {
        run["activity"]["name"]: "succeeded" for run in journal["run"]
    }
    # The hypothesis asks the service itself, again once all is over.
    assert journal["steady_states"]["after"]["steady_state_met"] is True
    faults = {fault["name"]: fault for fault in journal["chaoskernel"]["faults"]}
    assert faults.keys() == injected.keys()
    for name, (least, most) in injected.items():
        assert least <= faults[name]["counters"]["injected"] <= most, name
        assert (faults[name]["state"], faults[name]["leftovers"]) == ("ended", [])
    assert {run["status"] for run in journal["rollbacks"]} == {"succeeded"}
    listed = subprocess.run(
        [_program("chaoskernel"), "ps", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (json.loads(listed.stdout), listed.stderr) == ([], "")


def _program(name: str) -> Path:
    return Path(sys.executable).with_name(name)
