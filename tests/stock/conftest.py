"""A kernel as the distribution ships it, in the lab: the engine core alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaoskernel.compiler.objects import assigned
from chaoskernel.engine import ArmedFault, stand_in
from chaoskernel.engine.core import CoreEngine
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.scope import Scope
from tests import sums
from tests.caller import Caller

Arm = Callable[..., ArmedFault]

_libc = ctypes.CDLL(None, use_errno=True)
_MS_BIND = 4096
_MNT_DETACH = 2
_IMAGE_BYTES = 16 << 20


@pytest.fixture
def arm(lab: None) -> Iterator[Arm]:
    """Arm faults for a process, or a scope, by the arguments of an activity.

    Each is disarmed in the end, and its counters have to add up: over its hooks, and over what
    became of each request.
    """
    armed: list[ArmedFault] = []

    def arm_one(whom: int | Scope, **arguments: object) -> ArmedFault:
        given = {"name": "x", "duration": "10m", **arguments}
        scope = whom if isinstance(whom, Scope) else Scope(pids=(whom,))
        wanted = assigned(fault_of(scope=scope, **given))
        engine = CoreEngine(wanted.object)
        started = stand_in.arm(wanted.fault, engine, print, lambda _: engine)
        armed.append(started.armed)
        return armed[-1]

    yield arm_one
    for fault in armed:
        counters, hits = sums.of_disarmed(fault)
        for name in ("reached", "matched"):
            assert sum(hook[name] for hook in counters["hooks"]) == counters[name]
        assert sum(hook["injected"] for hook in counters["hooks"]) == hits


@pytest.fixture
def victim(lab: None, tmp_path: Path) -> Iterator[Caller]:
    """A process that makes the calls that are to fail."""
    with Caller(tmp_path / "victim") as started:
        yield started


@pytest.fixture
def neighbour(lab: None, tmp_path: Path) -> Iterator[Caller]:
    """A process that makes the same calls and is never in scope."""
    with Caller(tmp_path / "neighbour") as started:
        yield started


class Mounts:
    """Mounts that a test makes, each at a directory that is made for it."""

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()

    def bind(self, source: Path, at: Path) -> Path:
        return self._mount(str(source), at, None, _MS_BIND)

    def tmpfs(self, at: Path) -> Path:
        return self._mount("none", at, "tmpfs")

    def overlay(self, root: Path) -> Path:
        """Mount the directory `upper` over `lower`, at `merged`; all are below the root."""
        (root / "work").mkdir()
        options = f"lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work"
        return self._mount("none", root / "merged", "overlay", options=options)

    def ext4(self, image: Path) -> tuple[Path, Path]:
        """Make a file system on a loop device; return that and where it is mounted."""
        with image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        _run("mkfs.ext4", "-q", str(image))
        device = _run("losetup", "--find", "--show", str(image)).strip()
        self._undo.callback(_run, "losetup", "--detach", device)
        return Path(device), self._mount(device, image.with_name("mounted"), "ext4")

    def close(self) -> None:
        """Undo them, the latest first; what is open below one stays usable."""
        self._undo.close()

    def _mount(
        self, source: str, at: Path, kind: str | None, flags: int = 0, options: str = ""
    ) -> Path:
        at.mkdir(parents=True, exist_ok=True)
        words = (source.encode(), bytes(at), kind.encode() if kind else None)
        if _libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(at))
        self._undo.callback(_libc.umount2, bytes(at), _MNT_DETACH)
        return at


@pytest.fixture
def mounts(lab: None) -> Iterator[Mounts]:
    """Mounts that are undone in the end."""
    made = Mounts()
    with contextlib.closing(made):
        yield made


def _run(*command: str) -> str:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=120
    ).stdout
