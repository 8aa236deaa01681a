"""What `make demo-stock` runs, and what its journal has to show."""

from __future__ import annotations

from pathlib import Path

from tests.gallery import outputs, played
from tests.programs import loaded_programs

EXPERIMENT = "stock-demo.json"
DIRECTORIES = Path("/run/chaoskernel-demo/full-demo")


def test_the_demo_shows_a_full_directory_and_mounts_without_memory(
    lab: None, tmp_path: Path
) -> None:
    before = loaded_programs()
    journal = played(EXPERIMENT, tmp_path)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = {
        name: output["stdout"]
        for name, output in outputs(journal).items()
        if isinstance(output, dict) and "stdout" in output
    }
    assert "No space left on device" in seen["write to the database"]
    for probe in ("write to another directory", "write to the database again"):
        assert "No space" not in seen[probe]
        assert seen[probe].endswith("written\n")
    report = seen["the loop reports: Cannot allocate memory"]
    assert "Cannot allocate memory\nInvalid argument\nCannot allocate memory" in report
    faults = {fault["name"]: fault for fault in journal["chaoskernel"]["faults"]}
    assert faults["directory-full"]["counters"]["injected"] == 1
    assert faults["stock-mount-enomem"]["counters"]["injected"] >= 2
    assert [fault["leftovers"] for fault in faults.values()] == [[], []]
    assert loaded_programs() == before
    assert not DIRECTORIES.exists()
