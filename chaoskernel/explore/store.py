"""The store: each result is a line of JSON on disk before the next run begins.

docs/explore.md has the records.  A line that was cut off by a crash is the last one, and is
dropped; nobody else may write to the file meanwhile.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import chaoskernel
from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.explore.findings import Findings
from chaoskernel.explore.plan import Plan
from chaoskernel.fault import checks

SCHEMA = 1
_MOST_BYTES = 1 << 30

# What a file of another form leads to, wherever in it the form is another.
_OF_ANOTHER_FORM = (
    ArithmeticError,
    AttributeError,
    InvalidFault,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Store:
    """The records of one exploration."""

    def __init__(self, path: Path, descriptor: int, findings: Findings) -> None:
        self.path = path
        self.findings = findings
        self._descriptor = descriptor
        self._begun = time.monotonic()
        self._before = findings.seconds

    @property
    def seconds(self) -> float:
        """How long the exploration has taken, interruptions left out."""
        return self._before + time.monotonic() - self._begun

    def add(self, kind: str, **more: Any) -> None:
        """Write a record; it is on disk when this returns.

        :raises ChaosKernelError: the disk is full, or gone.
        """
        self.add_each(kind, [more])

    def add_each(self, kind: str, many: Iterable[Mapping[str, Any]]) -> None:
        """Write records of one kind; all are on disk when this returns.

        :raises ChaosKernelError: the disk is full, or gone; then none of them is there.
        """
        seconds = round(self.seconds, 3)
        records = [{"record": kind, **each, "seconds": seconds} for each in many]
        _write(self._descriptor, self.path, records)
        for record in records:
            self.findings.take(record)


def begin(path: Path, plan: Plan) -> contextlib.AbstractContextManager[Store]:
    """Begin an exploration in a new file.

    :raises ChaosKernelError: there is one, or it cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_APPEND
    return _open(path, flags, plan)


def resume(path: Path) -> contextlib.AbstractContextManager[Store]:
    """Go on with an exploration.

    :raises ChaosKernelError: there is none, another process goes on with it already, or the kernel
        is another one.
    """
    return _open(path, os.O_RDWR | os.O_CLOEXEC | os.O_APPEND, None)


@contextlib.contextmanager
def scratch(findings: Findings) -> Iterator[Store]:
    """Have a store for what is known, which keeps nothing more."""
    with tempfile.TemporaryFile() as file:
        yield Store(Path("/dev/null"), file.fileno(), findings)


@contextlib.contextmanager
def _open(path: Path, flags: int, plan: Plan | None) -> Iterator[Store]:
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileExistsError:
        raise ChaosKernelError(
            f"{path} has an exploration already",
            hint="go on with it by --resume, name another file by --state, or remove it",
        ) from None
    except FileNotFoundError:
        raise ChaosKernelError(
            f"{path} cannot be opened: no such file", hint="--state names the file to go on with"
        ) from None
    except OSError as error:
        raise ChaosKernelError(f"{path} cannot be opened: {error.strerror}") from error
    findings: Findings | None = None
    try:
        _lock(path, descriptor)
        if plan:
            head = head_of(plan)
            _write(descriptor, path, [head])
            findings = Findings.begun_by(head)
        else:
            findings = _read(path, descriptor)
        yield Store(path, descriptor, findings)
    except Exception:
        if plan and not (findings and findings.results):
            path.unlink(missing_ok=True)  # nothing was found that could be lost
        raise
    finally:
        os.close(descriptor)


def read(path: Path) -> Findings:
    """Return what a file has, without going on.

    :raises ChaosKernelError: it cannot be read, or is something else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ChaosKernelError(
            f"{path} cannot be read: {error.strerror}", hint="--state names the file"
        ) from error
    try:
        return _read(path, descriptor, writing=False)
    finally:
        os.close(descriptor)


def head_of(plan: Plan) -> dict[str, Any]:
    """Return the first record of a file."""
    return {
        "record": "plan",
        "schema": SCHEMA,
        "plan": plan.to_json(),
        "kernel": running_kernel(),
        "versions": {"chaoskernel": chaoskernel.__version__, "python": platform.python_version()},
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def running_kernel() -> dict[str, str]:
    """Return what tells the running kernel from others: sites are the same in every boot of it."""
    names = os.uname()
    return {"release": names.release, "build": names.version, "machine": names.machine}


def check_kernel(findings: Findings) -> None:
    """Check that the sites of an exploration are the running kernel's.

    :raises ChaosKernelError: another kernel runs.
    """
    if dict(findings.kernel) != (now := running_kernel()):
        was = f"{findings.kernel.get('release')} {findings.kernel.get('build')}"
        raise ChaosKernelError(
            f"the exploration is of kernel {was}; {now['release']} {now['build']} runs",
            hint="boot that one, or begin anew with another --state",
        )


def _lock(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ChaosKernelError(
            f"{path} is being written by another exploration",
            hint="wait for it, or name another file by --state",
        ) from None


def _write(descriptor: int, path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in records)
    left = memoryview(text.encode())
    before = os.fstat(descriptor).st_size
    try:
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise ChaosKernelError(
            f"{path} cannot be written: {error.strerror}",
            hint="what was found so far is kept; free some space and go on with --resume",
        ) from error


def _read(path: Path, descriptor: int, *, writing: bool = True) -> Findings:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        text = file.read(_MOST_BYTES)
    whole, _, cut = text.rpartition(b"\n")
    if cut and writing:
        os.ftruncate(descriptor, len(text) - len(cut))
    lines = whole.decode(errors="replace").split("\n")
    try:
        head = checks.document("record", lines[0])
        if head["schema"] != SCHEMA:
            raise ChaosKernelError(
                f"{path} has schema {head['schema']}; this version reads {SCHEMA}",
                hint="go on with the version that has written it",
            )
        findings = Findings.begun_by(head)
        for line in lines[1:]:
            findings.take(checks.document("record", line))
    except _OF_ANOTHER_FORM as wrong:
        why = " ".join(str(wrong).split())[:200]
        raise ChaosKernelError(
            f"{path} is not an exploration's file: {why}", hint="name another one by --state"
        ) from None
    return findings
