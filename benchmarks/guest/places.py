"""What it costs to look where a file lies: a `write` fault, and a job that writes to one file.

It runs on a distribution's own kernel, whose security hooks the lab's kernel lacks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.guest.contenders import Arm, armed, run_twice
from benchmarks.guest.peers import peers
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits
from chaoskernel.fault.where import Where

HOOK = "security_file_permission"
ITERATIONS = 50_000
LEVELS = (4, 16)
"""Dentries from a file to the root of its file system, both included: what a look-up reads."""

_ROOT = Path("/tmp")  # noqa: S108 - a tmpfs of a machine that ends with the measurement
_ELSEWHERE = _ROOT / "elsewhere"


def file_at(level: int) -> Path:
    """Return a file that so many dentries lead to; its directories are made."""
    directory = _ROOT.joinpath(*(f"{n}" for n in range(level - 2)))
    directory.mkdir(parents=True, exist_ok=True)
    return directory / "file"


def fault(pid: int, path: Path, *, dry_run: bool = False) -> Fault:
    """Return a fault that fails writes below a path."""
    return Fault(
        name="bench",
        kind=Kind.WRITE,
        scope=Scope(pids=(pid,)),
        limits=Limits(duration=3600),
        where=Where(paths=(str(path),)),
        dry_run=dry_run,
    )


def contenders(bystander: int) -> Iterator[tuple[str, Path, Arm]]:
    """Yield what is compared: its name, the file that the job writes to, and what is attached."""
    _ELSEWHERE.mkdir(exist_ok=True)
    shallow = file_at(LEVELS[0])
    yield "nothing attached", shallow, lambda _: contextlib.nullcontext()
    yield "floor: an empty fmod_ret", shallow, lambda _: peers(("floor_fmod_ret", HOOK))
    yield "core, out of scope", shallow, lambda _: armed(fault(bystander, _ELSEWHERE))
    for level in LEVELS:
        yield (
            f"core, in scope, off the path, {level} levels",
            file_at(level),
            lambda pid: armed(fault(pid, _ELSEWHERE)),
        )
    yield (
        "core, in scope, on the path (dry run)",
        shallow,
        lambda pid: armed(fault(pid, shallow.parent, dry_run=True)),
    )
    yield (
        "core, injecting: each write fails",
        shallow,
        lambda pid: armed(fault(pid, shallow.parent)),
    )


def measure(file: Path, arm: Arm) -> dict[str, Any]:
    """Have the job run twice under a contender: how long an iteration took."""
    return {"ns": run_twice(arm, 1, ITERATIONS, str(file))}
