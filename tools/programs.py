"""Programs of this host in another root file system, each with what it is linked to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import MissingTool

_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(name: str) -> Path:
    """Return where a program of this host is.

    :raises MissingTool: it is nowhere.
    """
    found = shutil.which(name, path=_SYSTEM)
    if not found:
        raise MissingTool(
            f"{name} is not installed", hint="run: tools/packages tools/cluster/packages.txt"
        )
    return Path(found)


def add(root: Path, file: Path) -> None:
    """Add a program or library under the name that it is asked for, with what it is linked to."""
    _copy(root, file)
    add_libraries(root, file)


def add_libraries(root: Path, file: Path) -> None:
    """Add what a program or library is linked to."""
    for library in _linked(file):
        _copy(root, library)


def _copy(root: Path, file: Path) -> None:
    target = root / file.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)


def _linked(file: Path) -> Iterable[Path]:
    listed = process.run(["ldd", str(file)], seconds=60, check=False).stdout
    return [Path(place) for place in re.findall(r"(/\S+) \(0x", listed)]
