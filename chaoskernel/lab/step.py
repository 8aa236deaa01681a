"""One step of what the lab prepares: a program that does all of it, or says why not in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import LabError
from chaoskernel.lab import apt, parent_death

_ERROR = re.compile(r"(E:|error)", flags=re.IGNORECASE)


def run(
    command: Sequence[str], *, seconds: float, trouble: str, hint: str, cwd: Path | None = None
) -> None:
    """Run a program that ends with this process.

    :param trouble: what it means when the program fails; its own reason follows.
    :param cwd: its working directory; this process's when None.
    :raises LabError: it failed, or the disk is full.
    :raises TimeLimit: it took too long.
    """
    environment = dict(os.environ) | {"LC_ALL": "C"}
    done = process.run(
        parent_death.tied(command), seconds=seconds, check=False, env=environment, cwd=cwd
    )
    if done.returncode == 0:
        return
    if "No space left on device" in done.stderr:
        raise apt.full_disk()
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    errors = [line for line in lines if _ERROR.match(line)]
    raise LabError(f"{trouble}: {(errors or lines or ['it gave no reason'])[-1]}", hint=hint)
