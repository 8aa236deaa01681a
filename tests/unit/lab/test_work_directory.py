from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaoskernel import scratch
from chaoskernel.errors import LostGuest
from chaoskernel.lab import script, work_directory

JOB = script.Job(("true",), Path("/"))


def test_it_has_the_script_and_goes_with_its_guest() -> None:
    with work_directory.made(JOB) as mail:
        assert os.access(mail / work_directory.ENTRY, os.X_OK)
    assert not mail.exists()


def test_what_a_killed_one_left_is_removed_and_what_is_held_or_new_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, new = tmp_path / "chaoskernel-lab-left", tmp_path / "chaoskernel-lab-new"
    other = tmp_path / "other"
    for each in (left, new, other):
        each.mkdir()
        (each / work_directory.ENTRY).touch()
    with work_directory.made(JOB) as held:
        for each in (left, held, other):
            os.utime(each, (0, 0))
        scratch.sweep(tmp_path, "chaoskernel-lab-")
        assert set(tmp_path.iterdir()) == {new, held, other}
    assert set(tmp_path.iterdir()) == {new, other}


@pytest.mark.parametrize("number", [0, 7, 125, 255])
def test_the_status_is_the_commands(tmp_path: Path, number: int) -> None:
    (tmp_path / script.STATUS).write_text(f"{number}\n")
    assert work_directory.status(tmp_path) == number


def test_a_guest_without_a_status_is_lost_and_its_panic_is_reported(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_text("booting\nKernel panic - not syncing: why\nrebooting\n")
    with pytest.raises(LostGuest, match="last words: Kernel panic - not syncing: why"):
        work_directory.status(tmp_path)


def test_a_guest_that_never_started_is_lost_before_its_command_began(tmp_path: Path) -> None:
    with pytest.raises(work_directory.NeverBegan, match="it did not start"):
        work_directory.status(tmp_path)


def test_a_guest_that_is_lost_while_its_command_runs_is_not_booted_again(tmp_path: Path) -> None:
    (tmp_path / script.BEGUN).touch()
    with pytest.raises(LostGuest) as caught:
        work_directory.status(tmp_path)
    assert not isinstance(caught.value, work_directory.NeverBegan)
