"""One attempt, played again: with a debugger or a tracer attached where that is wanted."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import ChaosKernelError, MissingTool
from chaoskernel.explore.findings import Findings, Found, attempt_of
from chaoskernel.explore.loop import Explorer
from chaoskernel.explore.observation import Attempt, Observation
from chaoskernel.explore.outcome import Verdict
from chaoskernel.explore.recording import Met, Recording
from chaoskernel.explore.session import Quiet, armed, stage
from chaoskernel.explore.store import Store, running_kernel
from chaoskernel.fault.sites import Site

_END_SECONDS = 30.0


class Around(enum.StrEnum):
    """What looks at the program; it attaches while the program is held, and is in no scope."""

    NOTHING = ""
    GDB = "gdb"
    STRACE = "strace"


def attempt_named(findings: Findings, name: str) -> Attempt:
    """Return the attempt of a name, such as 0123456789+abcdef0123@persistent.

    A site that is named alone fails as it was tried: with the one that it was met under.

    :raises ChaosKernelError: none of its sites is known.
    """
    sites, _, hits = name.partition("@")
    try:
        attempt = attempt_of({"sites": sites.split("+"), "hits": hits or "once"})
    except ChaosKernelError as error:
        raise ChaosKernelError(f"--replay {name}: {error}") from error
    for each in attempt.sites:
        if each not in findings.sites:
            raise ChaosKernelError(
                f"--replay {name}: no site {each} was found", hint="--json lists those that were"
            )
    if len(attempt.sites) == 1:
        return dataclasses.replace(attempt, sites=findings.sites[attempt.sites[0]].failing)
    return attempt


def play(store: Store, name: str, around: Around) -> tuple[Attempt, Observation, Verdict, str]:
    """Play an attempt once; return it, what was seen, what came of it, and a note.

    :raises ChaosKernelError: the baseline does not work, or the sites are unknown here.
    """
    findings = store.findings
    attempt = attempt_named(findings, name)
    with contextlib.ExitStack() as undo:
        faults = undo.enter_context(armed(findings.plan))
        target = undo.enter_context(stage(findings.plan, faults))
        explorer = Explorer(store, target, faults, Quiet())
        explorer.baseline()
        note = ""
        if dict(findings.kernel) != running_kernel():
            attempt = _here(findings, attempt, faults)
            note = "another build of the kernel: the sites were matched by their functions"
        if around is not Around.NOTHING:
            target.around = lambda pid: _attached(around, pid)
        played, verdict = explorer.judged(attempt)
    return attempt, played.observation, verdict, note


def _here(findings: Findings, attempt: Attempt, faults: Recording) -> Attempt:
    """Return an attempt on the sites of this kernel that have the same functions.

    :raises ChaosKernelError: one has no counterpart.
    """
    found = []
    for each in attempt.sites:
        wanted = _where(findings.sites[each])
        here = [met.site.id for met in faults.met if _where_met(met) == wanted]
        if not here:
            raise ChaosKernelError(
                f"this kernel came to no site with the functions of {each}",
                hint="explore anew on this kernel",
            )
        found.append(here[0])
    return dataclasses.replace(attempt, sites=tuple(found))


def _where(found: Found) -> tuple[str, ...]:
    return _where_met(Met(found.site, found.fault))


def _where_met(met: Met) -> tuple[str, ...]:
    site: Site = met.site
    return (met.fault.value, site.hook, *(place.function for place in site.places))


@contextlib.contextmanager
def _attached(around: Around, pid: int) -> Iterator[None]:
    """Have a tool attached to a held program; what it writes goes to standard error.

    :raises MissingTool: it is not installed.
    """
    tool = shutil.which(around.value)
    if not tool:
        raise MissingTool(f"{around} is not installed", hint=f"apt-get install {around}")
    if around is Around.STRACE:
        command = [tool, "-f", "-p", str(pid)]
    else:
        command = [tool, "-q", "-batch", "-p", str(pid)]
        for each in ("set confirm off", "set follow-fork-mode parent", "continue", "bt"):
            command += ["-ex", each]
    child = process.start(command, stdout=sys.stderr, stderr=sys.stderr)
    try:
        _await_attached(pid)
        yield
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_END_SECONDS)
    finally:
        process.end_group(child)


def _await_attached(pid: int) -> None:
    """Wait until a tracer is attached to a process."""
    end = time.monotonic() + _END_SECONDS
    while time.monotonic() < end:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        if "TracerPid:\t0\n" not in status:
            return
        time.sleep(0.05)
    raise ChaosKernelError("the tracer did not attach", hint="look at what it wrote")
