"""Programs in another root file system, each with what it is linked to."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import LabError, MissingTool

HOST = Path("/")
_LIBRARIES = ("lib", "usr/lib")
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


def add(root: Path, file: Path, source: Path = HOST) -> None:
    """Add a program or library under the name that it is asked for, with what it is linked to.

    :param file: its place in the source.
    :param source: the root that it is taken from, which may be of another architecture.
    :raises LabError: the source lacks a library.
    """
    _copy(root, file, source)
    add_libraries(root, file, source)


def add_libraries(root: Path, file: Path, source: Path = HOST) -> None:
    """Add what a program or library is linked to; see `add`."""
    if source == HOST:
        for library in _linked(file):
            _copy(root, library, source)
    else:
        for library in _needed(file, source):
            if not (root / library.relative_to("/")).exists():
                add(root, library, source)


def _copy(root: Path, file: Path, source: Path) -> None:
    target = root / file.relative_to("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / file.relative_to("/"), target)


def _linked(file: Path) -> Iterable[Path]:
    listed = process.run(["ldd", str(file)], seconds=60, check=False).stdout
    return [Path(place) for place in re.findall(r"(/\S+) \(0x", listed)]


def _needed(file: Path, source: Path) -> Iterable[Path]:
    """Return what a file of another root names, which no loader of this host's can look up."""
    own = str(source / file.relative_to("/"))
    said = process.run(["readelf", "--wide", "--dynamic", "--program-headers", own], seconds=60)
    yield from map(Path, re.findall(r"program interpreter: (/\S+)\]", said.stdout))
    for name in re.findall(r"\(NEEDED\).*\[(\S+)\]", said.stdout):
        places = (each for lib in _LIBRARIES for each in (source / lib).glob(f"*-linux-gnu/{name}"))
        if not (found := next(places, None)):
            raise LabError(f"{own} needs {name}, which {source} lacks", hint="add its package")
        yield HOST / found.relative_to(source)
