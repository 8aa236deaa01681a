"""The images of a cluster: that of sandboxes, and the agent's, which is the workloads' too."""

from __future__ import annotations

import tempfile
from pathlib import Path

from chaoskernel import __version__, process
from chaoskernel.errors import LabError
from chaoskernel.lab import build, cache
from chaoskernel.lab.foreign import Architecture
from chaoskernel.lab.progress import Progress

PAUSE = "localhost/pause:1"
AGENT = f"localhost/chaoskernel-slim:{__version__}"

_ROOT = Path(__file__).parents[2]
_AGENT_ARCHIVE = "build/image/chaoskernel-slim.tar"
_AGENT_FOR_ALL = "build/image/chaoskernel-slim-all.tar"
"""The same for each architecture, under one manifest list."""

_SOURCE = Path(__file__).with_name("pause.c")
_SECONDS = 60.0


def agent(architecture: Architecture | None = None) -> Path:
    """Return the archive of the agent's slim image, which has Python and a shell for workloads.

    :param architecture: None for this machine's.
    :raises LabError: it is not there.
    """
    name = _AGENT_FOR_ALL if architecture else _AGENT_ARCHIVE
    archive = _ROOT / name
    if not archive.exists():
        raise LabError(f"the agent's image is not built: {archive}", hint=f"run: make {name}")
    return archive


def pause(
    progress: Progress, root: Path | None = None, architecture: Architecture | None = None
) -> Path:
    """Return the archive of the sandboxes' image; make it when it is not there.

    :param root: the cache directory; the user's own when None.
    :param architecture: None for this machine's.
    :raises CommandFailed: a step failed.
    """
    name = f"pause-{build.digest(_SOURCE.read_text(encoding='utf-8'))}"
    if architecture:
        name += f"-{architecture.name}"
    archive = (cache.root() if root is None else root) / "images" / f"{name}.tar"
    if not archive.exists():
        progress.phase("making the image of sandboxes")
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as place:
            made = _make(Path(place), architecture)
            made.rename(archive)
    return archive


def _make(place: Path, architecture: Architecture | None) -> Path:
    """Make an image of one static program."""
    compiler = f"{architecture.machine}-linux-gnu-gcc" if architecture else "gcc"
    platform = ("--platform", f"linux/{architecture.name}") if architecture else ()
    program, recipe, archive = place / "pause", place / "Containerfile", place / "pause.tar"
    recipe.write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n', encoding="utf-8")
    for command in (
        [compiler, "-static", "-s", "-O2", "-o", str(program), str(_SOURCE)],
        [
            *("buildah", "bud", "--quiet", "--isolation", "chroot", *platform),
            *("--tag", PAUSE, str(place)),
        ],
        ["buildah", "push", "--quiet", PAUSE, f"oci-archive:{archive}:{PAUSE}"],
    ):
        process.run(command, seconds=_SECONDS)
    return archive
