"""An agent says its kernel's types in pieces, and who hears them has the same types."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from chaoskernel.agent import own_types, protocol
from chaoskernel.agent.output import Output
from chaoskernel.errors import AgentError, UnsupportedKernel
from chaoskernel.k8s.pieces import Pieces
from tests.unit.agent.conftest import Said

TYPES = b"\x9f\xeb\x01\x00" + random.Random(1).randbytes(40_000)


def said_of(said: Said, types: Path) -> list[str]:
    own_types.say_types(said.output, types)
    return [protocol.encode(message) for message in said.messages()]


def test_what_is_heard_is_what_the_kernel_has(said: Said, tmp_path: Path) -> None:
    (tmp_path / "btf").write_bytes(TYPES)
    lines = said_of(said, tmp_path / "btf")
    assert len(lines) == 5
    assert max(map(len, lines)) < 16_000, "a container runtime breaks longer ones"
    pieces = Pieces()
    # A log that breaks off is read from its beginning again.
    for line in [*lines[:2], *lines]:
        pieces.take(protocol.heard(line))
    assert pieces.whole() == TYPES


def test_a_kernel_without_types_says_what_it_lacks(said: Said, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedKernel, match="CONFIG_DEBUG_INFO_BTF"):
        own_types.say_types(said.output, tmp_path / "absent")


def test_an_agent_that_nobody_reads_gives_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(own_types, "_PIECE_SECONDS", 0.1)
    (tmp_path / "btf").write_bytes(TYPES * 4)
    reader, writer = os.pipe()
    with pytest.raises(AgentError, match="nobody reads"):
        own_types.say_types(Output(writer, gone=lambda: None), tmp_path / "btf")
    os.close(reader)
