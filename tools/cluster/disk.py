"""The disk of a machine that is a node: the programs of one, its images, and nothing of the rest.

It is made of this host's own programs, or of Debian's packages for another architecture, and once:
another one is made when any of them, or an image, has changed.  A machine gets a copy, which it may
write to.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from chaoskernel import process
from chaoskernel.lab import cache, foreign, parent_death
from chaoskernel.lab.foreign import Architecture
from chaoskernel.lab.progress import Progress
from tools import programs

INIT = "/usr/sbin/init"

_INIT = Path(__file__).with_name("machine-init.sh")
_PROGRAMS = (
    *("sh", "ip", "mkdir", "mount", "sleep", "umount"),
    *("containerd", "containerd-shim-runc-v2", "runc"),
)
_PLUGINS = tuple(Path("/usr/lib/cni") / name for name in ("bridge", "host-local", "loopback"))
_PACKAGES = (
    *("busybox-static", "containerd", "containernetworking-plugins", "coreutils", "dash"),
    *("iproute2", "libc-bin", "mount", "runc"),
)
"""What has those programs, for another architecture."""

_MERGED = ("bin", "lib", "lib64", "sbin")
_DIRECTORIES = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/src", "var/lib/containerd")

_SIZE = "6G"
"""What the machine sees; its file has holes where nothing is written."""

_LOCK_SECONDS = 600.0
_IMPORT_SECONDS = 300.0
_FORMAT_SECONDS = 300.0

# Nothing is run here: what has to do with pods would look for their network.
_IMPORTER = """\
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
"""
_IMPORT = """\
containerd --config config.toml --root {root} --state "$PWD/state" --address "$PWD/socket" \\
    --log-level warn &
until [ -S socket ]; do sleep 0.1; done
for image in {images}; do
    ctr --address "$PWD/socket" --namespace k8s.io images import {platform} "$image"
done
kill $!
wait $!
"""


def copy(
    kubelet: Path,
    images: Sequence[Path],
    target: Path,
    progress: Progress,
    root: Path | None = None,
    architecture: Architecture | None = None,
) -> None:
    """Write a node's disk to a file; it is made when there is none like it.

    :param images: archives, as `ctr images import` takes them.
    :param root: the cache directory; the user's own when None.
    :param architecture: None for this machine's.
    :raises MissingTool: a program of a node is not installed here.
    :raises CommandFailed: an image cannot be imported, or the disk cannot be made.
    """
    where = cache.root() if root is None else root
    home = where / ("nodes" if architecture is None else f"nodes-{architecture.name}")
    files = [*map(programs.find, _PROGRAMS), *_PLUGINS] if architecture is None else []
    with cache.lock(
        home / "lock",
        seconds=_LOCK_SECONDS,
        on_wait=lambda: progress.phase("waiting for another process that makes a node's disk"),
    ):
        made_by = (Path(__file__), _INIT, Path(programs.__file__))
        kept = home / f"{digest([*files, kubelet, *images, *made_by])}.ext4"
        if not kept.exists():
            for old in home.glob("*.ext4*"):
                old.unlink()
            partial = kept.with_suffix(".ext4.partial")
            _gather(home / "root", files, kubelet, progress, architecture)
            _make(partial, home / "root", images, progress, architecture)
            partial.rename(kept)
        process.run(["cp", "--sparse=always", str(kept), str(target)], seconds=_FORMAT_SECONDS)


def unpacked(progress: Progress, architecture: Architecture, root: Path | None = None) -> Path:
    """Return the packages of a node of another architecture, unpacked; see foreign.unpack().

    They come from the network, which nodes and their cluster lack: have them before those begin.
    """
    home = (cache.root() if root is None else root) / f"nodes-{architecture.name}"
    wanted = hashlib.sha256(" ".join(_PACKAGES).encode()).hexdigest()[:16]
    place = home / f"packages-{wanted}"
    if not place.exists():
        progress.phase(f"unpacking a node's packages for {architecture.name}")
        partial = home / "packages.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        foreign.unpack(partial, architecture, _PACKAGES)
        partial.rename(place)
    return place


def digest(files: Iterable[Path]) -> str:
    """Return a short name for what is in files: the same for the same."""
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()[:16]


def _gather(
    root: Path,
    files: Sequence[Path],
    kubelet: Path,
    progress: Progress,
    architecture: Architecture | None,
) -> None:
    """Put a node's root file system together, anew."""
    progress.phase("gathering a node's programs")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    if architecture is None:
        for name in _MERGED:
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
    else:
        packages = unpacked(progress, architecture)
        # There are devices among its files, which are not to be read.
        process.run(["cp", "-a", f"{packages}/.", str(root)], seconds=_FORMAT_SECONDS)
    for name in _DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    for file in files:
        programs.add(root, file)
    shutil.copy(kubelet, root / "usr/bin")
    # Sandboxes of pods get copies of what their node knows of names: nothing.
    for name in ("hosts", "resolv.conf"):
        (root / "etc" / name).write_bytes(b"")
    init = root / INIT.lstrip("/")
    shutil.copy(_INIT, init)
    init.chmod(0o755)


def _make(
    disk: Path,
    root: Path,
    images: Sequence[Path],
    progress: Progress,
    architecture: Architecture | None,
) -> None:
    """Make a disk of a root file system, which is removed."""
    progress.phase("importing a node's images")
    _import(root / "var/lib/containerd", images, architecture)
    progress.phase("making a node's disk")
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(disk), _SIZE]
    process.run(command, seconds=_FORMAT_SECONDS)
    shutil.rmtree(root)


def _import(root: Path, images: Sequence[Path], architecture: Architecture | None) -> None:
    """Put images where a node's containerd will find them, by a containerd of this host."""
    platform = f"--platform linux/{architecture.name}" if architecture else ""
    with tempfile.TemporaryDirectory() as state:
        Path(state, "config.toml").write_text(_IMPORTER, encoding="utf-8")
        names = shlex.join(str(image.absolute()) for image in images)
        script = _IMPORT.format(root=shlex.quote(str(root)), images=names, platform=platform)
        command = parent_death.tied(["sh", "-ec", script])
        process.run(command, cwd=Path(state), seconds=_IMPORT_SECONDS)
