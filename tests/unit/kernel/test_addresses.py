"""Whether the kernel tells its addresses, and that none gets into a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskernel.kernel.addresses import hidden, without_addresses

ZEROS = "".join(f"{'0' * 16} T f{number}\n" for number in range(100_000))
PER_CPU = "".join(f"{'0' * 16} A percpu{number}\n" for number in range(20))


@pytest.mark.parametrize(
    ("text", "level", "why", "remedy"),
    [
        (ZEROS, "2\n", "kernel.kptr_restrict=2 hides", "sysctl kernel.kptr_restrict=1"),
        (ZEROS, "1\n", "from this process", "CAP_SYSLOG"),
        (ZEROS, "0\n", "from this process", "CAP_SYSLOG"),
        (ZEROS, None, "from this process", "CAP_SYSLOG"),
        ("", "0\n", "from this process", "CAP_SYSLOG"),
    ],
)
def test_addresses_that_are_all_zero_are_hidden(
    tmp_path: Path, text: str, level: str | None, why: str, remedy: str
) -> None:
    (tmp_path / "kallsyms").write_text(text)
    if level is not None:
        (tmp_path / "kptr").write_text(level)
    found = hidden(tmp_path / "kallsyms", tmp_path / "kptr")
    assert found
    assert why in found.why
    assert remedy in found.remedy


def test_addresses_behind_the_symbols_of_each_cpu_are_shown(tmp_path: Path) -> None:
    (tmp_path / "kallsyms").write_text(f"{PER_CPU}ffffffff81000000 T _text\n")
    assert hidden(tmp_path / "kallsyms", tmp_path / "kptr") is None


def test_a_kernel_without_a_list_names_none(tmp_path: Path) -> None:
    found = hidden(tmp_path / "kallsyms", tmp_path / "kptr")
    assert found
    assert found.remedy == "CONFIG_KALLSYMS lists them"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("r1 = 0xffff88810a4b5c00", "r1 = [unknown]"),
        ("at ffffffff8116012a, and 0xFFFFFFFFA020306E.", "at [unknown], and [unknown]."),
        ("var_off=(0x0; 0xffffffffffffffff)", "var_off=(0x0; 0xffffffffffffffff)"),
        ("R2 min value is 0xfff, id deadbeefffff88810a4b5c001", None),
    ],
)
def test_a_text_loses_what_looks_like_an_address(text: str, safe: str | None) -> None:
    assert without_addresses(text) == (text if safe is None else safe)
