"""What an agent imports on its way, in a process of its own: what it has no use for costs time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaoskernel.agent.start import UNUSED

ROOT = Path(__file__).resolve().parents[3]
LOADED = """
import sys, types
sys.path.append(sys.argv[1])
from chaoskernel.agent import start
start.main(0, sys.argv[2])
print(*(name for name in sys.modules if type(sys.modules[name]) is types.ModuleType))
"""
UNWANTED = (
    # what the standard library imports for nothing, and what that imports
    *UNUSED,
    *("ast", "dis", "tokenize"),
    # for whoever listens to agents, or starts them
    *("argparse", "asyncio", "logging", "shutil", "socket", "subprocess", "tempfile"),
    *("chaoskernel.agent.shapes", "chaoskernel.backend", "chaoskernel.process"),
    # for what is wrong
    *("difflib", "chaoskernel.kernel.advice", "traceback"),
    # for objects, and for C in a fault
    *("base64", "chaoskernel.fault.c_text", "chaoskernel.fault.c_tokens"),
    # for faults with sites, with paths, and with pods
    *("chaoskernel.fault.sites", "chaoskernel.engine.sites"),
    *("chaoskernel.engine.mounts", "chaoskernel.engine.views", "chaoskernel.kernel.views"),
    *("chaoskernel.fault.pods", "chaoskernel.kernel.podgroups"),
    # for another engine
    *("bcc", "chaoskernel.engine.bcc", "chaoskernel.bpf.bcc_text", "chaoskernel.engine.rehearsal"),
    *("datetime", "random", "urllib.request", "uuid"),
)


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """Return what is imported until a fault of core is refused, here, or is in force."""
    fault = (
        '{"name": "a", "fault": "slab", "engine": "core", "scope": {"pids": [2]}, '
        '"callchain": [{"funcname": "sys_mount"}]}'
    )
    command = [sys.executable, "-I", "-S", "-c", LOADED, str(ROOT), fault]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", UNWANTED)
def test_an_agent_does_not_import_what_it_has_no_use_for(loaded: set[str], name: str) -> None:
    assert name not in loaded


def test_an_agent_imports_what_it_arms_a_fault_with(loaded: set[str]) -> None:
    """The fault got as far as the engine."""
    assert {"chaoskernel.engine.core", "chaoskernel.engine.arming", "ctypes", "json"} <= loaded
