"""A guest's surroundings: programs and their libraries in memory, apart from the guest's root.

The lab's root is a file system of the host's; one failed allocation inside of it can damage a file
for all later processes of the guest.  What is explored, and what checks it, is therefore copied
to the guest's memory, and each copy is mounted over its original.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.plan import Plan

_SECONDS = 60.0
_MOST_BYTES = 256 << 20
_SHELL = "/bin/sh"
_LIBRARY = re.compile(r"(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def settle(plan: Plan) -> list[Path]:
    """Copy what a plan runs to memory, and mount the copies; return the files.

    :raises ChaosKernelError: one cannot be mounted.
    """
    files = list(dict.fromkeys(_files(programs(plan))))
    place = Path(tempfile.mkdtemp(prefix="chaoskernel-files-"))
    for number, file in enumerate(files):
        copy = place / f"{number}-{file.name}"
        shutil.copy2(file, copy)
        process.run(["mount", "--bind", str(copy), str(file)], seconds=_SECONDS)
    return files


def programs(plan: Plan) -> list[str]:
    """Return the files of the programs that a plan names."""
    texts = (plan.workload, plan.fixture, plan.ready, plan.check, plan.stop, plan.verify)
    words = [plan.command[0], _SHELL]
    for text in texts:
        words += re.findall(r"[\w./+-]+", text)
    found = (shutil.which(word) for word in dict.fromkeys(words))
    return [each for each in found if each]


def _files(found: Iterable[str]) -> Iterator[Path]:
    for program in found:
        path = Path(program).resolve()
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            continue
        yield path
        try:
            said = process.run(["ldd", str(path)], seconds=_SECONDS, check=False).stdout
        except ChaosKernelError:
            continue
        for library in _LIBRARY.findall(said):
            yield Path(library).resolve()
