"""A journal with a kernel fault, in the real `chaos report` of chaostoolkit-reporting."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.victim import Victim

HERE = Path(sys.executable).parent
CONTROL = {"type": "python", "module": "chaoskernel.control"}


def run(*words: object) -> None:
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def action(function: str, **arguments: object) -> dict[str, object]:
    called = {"module": "chaoskernel.actions", "func": function, "arguments": arguments}
    return {"type": "action", "name": function, "provider": {"type": "python", **called}}


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toolkit with its plugin, in an environment of its own, as a user installs them."""
    place = tmp_path_factory.mktemp("reporting")
    venv.create(place, with_pip=True)
    pip = [place / "bin/python", "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "chaostoolkit", "chaostoolkit-reporting")
    return place / "bin/chaos"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """What the real `chaos` writes of a rehearsal, which attaches nothing and runs anywhere."""
    experiment, written = tmp_path / "experiment.json", tmp_path / "journal.json"
    with Victim(tmp_path) as victim:
        rehearsal = {"name": "x", "fault": "slab", "engine": "none", "dry_run": True}
        document = {
            "title": "Slab memory is scarce",
            "description": "A rehearsal.",
            "controls": [{"name": "kernel faults", "provider": CONTROL}],
            "method": [action("start_injection", pids=[victim.pid], **rehearsal)],
            "rollbacks": [action("stop_injection", name="x")],
        }
        experiment.write_text(json.dumps(document), encoding="utf-8")
        chaos = (HERE / "chaos", "--no-version-check", "--no-log-file", "run")
        # A rehearsal injects nothing, and an experiment that injected nothing deviates.
        subprocess.run([*chaos, "--journal-path", written, experiment], timeout=120, check=False)
    return written


def test_a_journal_is_rendered_with_our_timeline(
    reporting: Path, journal: Path, tmp_path: Path
) -> None:
    charted = tmp_path / "with-charts.json"
    run(HERE / "chaoskernel", "report", journal, "--charts", charted)
    pictures = []
    for document in (journal, charted):
        page = tmp_path / f"{document.stem}.html"
        report = [reporting, "--no-version-check", "--no-log-file", "report"]
        run(*report, "--export-format=html", document, page)
        shown = page.read_text(encoding="utf-8")
        assert "Slab memory is scarce" in shown
        pictures.append("<svg" in shown or "image/svg" in shown)
    assert pictures == [False, True]
