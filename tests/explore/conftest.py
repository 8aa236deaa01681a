"""The planted program, and explorations of it by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = str(Path(sys.executable).with_name("chaoskernel"))
SOURCE = Path(__file__).with_name("planted.c")

Explore = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program with planted weaknesses."""
    file = tmp_path_factory.mktemp("planted") / "planted"
    subprocess.run(["gcc", "-static", "-O1", "-o", file, SOURCE], check=True, timeout=120)
    return str(file)


@pytest.fixture(scope="session")
def kind() -> str:
    """What is failed: slab where the kernel has it, else allocation."""
    hooks = Path("/sys/kernel/debug/error_injection/list")
    listed = hooks.read_text(encoding="utf-8") if hooks.exists() else ""
    return "slab" if "should_failslab" in listed else "allocation"


def explore(state: Path, *words: str, seconds: float = 1800) -> dict[str, Any]:
    """Explore by the command line, and return the document of results."""
    done = subprocess.run(
        [PROGRAM, "explore", "--state", str(state), "--json", *words],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=seconds,
        env={**os.environ, "TMPDIR": "/tmp"},
    )
    assert done.returncode in (0, 3), done
    found: dict[str, Any] = json.loads(done.stdout)
    for site in found["sites"]:  # pytest shows them where the test fails
        for each in site["attempts"]:
            told = (site["entered"]["name"], site["function"], site["under"], site["steady"])
            print(*told, each["attempt"], each["outcome"], each["tries"], each["leaks"], sep=" | ")
    return found
