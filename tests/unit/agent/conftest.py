"""Agents in this process: their input, their output, their signals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from chaoskernel.agent.lifeline import Requests
from chaoskernel.agent.output import Output


@pytest.fixture
def pipe() -> Iterator[tuple[Requests, int]]:
    reader, writer = os.pipe()
    yield Requests(reader), writer
    os.close(reader)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """An agent leaves the signals ignored: its process is about to end."""
    kept = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Said:
    """What an agent says in this process, by way of a pipe."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        self.output = Output(writer, gone=lambda: None)

    def messages(self) -> list[dict[str, Any]]:
        self.output.close()
        with os.fdopen(self._reader, encoding="utf-8") as reader:
            return [json.loads(line) for line in reader]


@pytest.fixture
def said() -> Said:
    return Said()
