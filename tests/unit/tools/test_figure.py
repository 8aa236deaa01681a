"""A committed picture is written again for what it shows, and not for the run that it is of."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tools import figure


def picture(pid: int, seconds: float, injected: int, marks: str, rate: float) -> str:
    console = Console(record=True, width=60, quiet=True)
    console.print(f"mount_loop ({pid}): {injected}", style="bold")
    console.print(f"in force {seconds} s, {marks} up to {rate} a second, over {seconds:.0f} s")
    return console.export_svg(title="summary")


ONE = picture(94, 3.0, 2, "▁█▁", 0.7)


@pytest.mark.parametrize(
    ("other", "is_written"),
    [
        (picture(94, 3.0, 2, "▁█▁", 0.7), False),
        (picture(1204, 3.2, 2, "▁▁▁█▂", 11.5), False),
        (picture(94, 3.0, 3, "▁█▁", 0.7), True),
    ],
)
def test_ids_times_and_rates_are_no_change(other: str, is_written: bool, tmp_path: Path) -> None:
    new, kept = tmp_path / "new.svg", tmp_path / "kept.svg"
    new.write_text(ONE)
    figure.main([str(new), str(kept)])
    assert kept.read_text() == ONE
    new.write_text(other)
    figure.main([str(new), str(kept)])
    assert kept.read_text() == (other if is_written else ONE)
