"""What Python knows of the program's C is made from it."""

from __future__ import annotations

from tools import abi


def test_the_module_is_up_to_date() -> None:
    assert abi.OUTPUT.read_text(encoding="utf-8") == abi.text(), "run: python -m tools.abi"
