"""Guests of arm64, emulated on another machine: a part of `make test-arm64`."""

from __future__ import annotations

from tests.e2e.test_lab import LOST, in_lab

ARM64 = ("--arch", "arm64", "--timeout", "300")


def test_return_addresses_are_signed_there() -> None:
    said = in_lab("dmesg", options=ARM64, seconds=400)
    assert "detected: Address authentication" in said.stdout, said.stderr


def test_a_lost_guest_tells_the_kernels_last_words() -> None:
    ended = in_lab("sh", "-c", "echo c > /proc/sysrq-trigger; sleep 60", options=ARM64, seconds=400)
    assert ended.returncode == LOST
    assert "Kernel panic - not syncing: sysrq triggered crash" in ended.stderr
