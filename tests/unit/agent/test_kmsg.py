"""Lines of ours in the kernel's log."""

from __future__ import annotations

from pathlib import Path

from chaoskernel.agent import kmsg


def test_a_line_has_its_level_and_who_says_it(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.touch()
    kmsg.say("fault 'x' is in force", log)
    assert log.read_text(encoding="utf-8") == "<5>chaoskernel: fault 'x' is in force\n"


def test_a_line_is_one_line_and_short(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.touch()
    kmsg.say("a\n<0>panic\x1b" + "x" * 2000, log)
    said = log.read_text(encoding="utf-8")
    assert said.startswith("<5>chaoskernel: a?<0>panic?xxx")
    assert said.count("\n") == 1
    assert len(said) < 1000


def test_a_host_without_a_log_is_left_alone(tmp_path: Path) -> None:
    kmsg.say("nobody hears it", tmp_path / "kmsg")
    assert not list(tmp_path.iterdir())
