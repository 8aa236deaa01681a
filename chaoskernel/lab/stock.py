"""Makes a distribution's own kernel ready to boot, from its packages, without building anything.

A kernel that is ready is a directory below `stock` in the cache, named by package and version:

    boot/vmlinuz-<release>
    boot/initramfs              loads what the boot needs, see initramfs.py
    modules/lib/modules/<release>/   what the guest sees as /lib/modules/<release>
    lib/modules/<release>/      empty: virtme-ng takes this for the modules, and finds none
    kernel.json                 written last: without it nothing is finished
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from chaoskernel import process
from chaoskernel.errors import LabError
from chaoskernel.lab import apt, cache, foreign, tools, unpacked
from chaoskernel.lab.foreign import Architecture
from chaoskernel.lab.progress import Progress
from chaoskernel.lab.unpacked import BOOT_MODULES, Boot

DEFAULT_PACKAGE = "linux-image-amd64"

_RECORD = "kernel.json"
_LOCK_SECONDS = 3600.0
_ASK_SECONDS = 30.0
_MEGABYTE = 1000 * 1000
# Unpacked modules, with depmod's lists and room for the file system's own blocks.
_GROWTH = 1.2
# How much bigger than its file a package may be.
_PACKED = 6
_DOWNLOAD = "download"


@dataclass(frozen=True)
class Ready:
    """A stock kernel in the cache.

    :param directory: where it is.
    :param package: the package that names it, or a file's name.
    :param version: that package's version.
    :param release: what `uname -r` says in the guest.
    :param architecture: as Debian calls it; empty for this machine's.
    """

    directory: Path
    package: str
    version: str
    release: str
    architecture: str = ""


def is_file(name: str) -> bool:
    """Tell whether a user means a package's file, not its name."""
    return "/" in name or name.endswith(".deb")


class Choice(NamedTuple):
    """Which of the distribution's kernels is meant.

    :param names: one package name, or the paths of files.
    :param suite: of the distribution, such as unstable; empty for the machine's apt sources.
    :param architecture: None for this machine's.
    """

    names: Sequence[str] = ()
    suite: str = ""
    architecture: Architecture | None = None

    @property
    def package(self) -> str:
        """The package that is asked for."""
        if self.names:
            return self.names[0]
        return self.architecture.package if self.architecture else DEFAULT_PACKAGE

    @property
    def of_another(self) -> str:
        """Debian's name of the architecture; empty for this machine's."""
        return self.architecture.name if self.architecture else ""

    @property
    def source(self) -> str:
        """What lists of packages are kept by."""
        return f"{self.suite.replace('/', '_') or 'machine'} {self.of_another}".rstrip()


def cached(root: Path, choice: Choice) -> Ready | None:
    """Return the kernel that was last fetched for these names, without asking the archive.

    :param root: the cache directory.
    """
    name = choice.package
    if is_file(name):
        return _read(_store(root) / _digest(choice.names))
    asked = _asked(root, choice)
    if asked.exists() and (found := _read(_store(root) / asked.read_text(encoding="utf-8"))):
        return found
    matching = [
        each
        for each in everything(root)
        if name in (each.package, _title(each)) and each.architecture == choice.of_another
    ]
    return matching[-1] if matching else None


def everything(root: Path) -> list[Ready]:
    """Return all stock kernels in the cache, the newest last."""
    records = _store(root).glob(f"*/{_RECORD}")
    ordered = sorted(records, key=lambda record: (record.stat().st_mtime, record))
    return [found for record in ordered if (found := _read(record.parent))]


def fetch(root: Path, choice: Choice, progress: Progress) -> Ready:
    """Return a stock kernel; download and unpack what the cache does not have.

    :param root: the cache directory.
    :raises MissingTool: something that this needs is not installed.
    :raises LabError: there is no such kernel, it cannot be fetched, or it cannot boot here.
    :raises TimeLimit: a step took too long.
    """
    tools.require(tools.PACKAGE_NEEDS)
    with _disk_errors():
        boot = _boot(root, choice.architecture, progress)
        if is_file(choice.package):
            return _from_files(root, choice.names, boot, progress)
        apt.require()
        return _from_archive(root, choice, boot, progress)


def _boot(root: Path, architecture: Architecture | None, progress: Progress) -> Boot:
    if architecture is None:
        return Boot(tools.static_busybox(), BOOT_MODULES)
    busybox = foreign.make(root, architecture, progress) / "bin/busybox"
    return Boot(busybox, (*architecture.boot_modules, *BOOT_MODULES), architecture.name)


def _from_files(root: Path, names: Sequence[str], boot: Boot, progress: Progress) -> Ready:
    target = _store(root) / _digest(names)
    files = [Path(name) for name in names]
    with _locked(target, progress):
        if found := _read(target):
            return found
        package, version = _fields(files[0])
        sizes = [file.stat().st_size for file in files]
        _make_room(root, [apt.Package(package, version, 0, size * _PACKED) for size in sizes])
        return _unpack(files, target, (package, version), boot, progress)


def _from_archive(root: Path, choice: Choice, boot: Boot, progress: Progress) -> Ready:
    # The parent is not in the store: an unfinished state is no kernel.
    home = root / "apt" / choice.source
    with _locked(home, progress):
        try:
            archive = apt.Archive(home, choice.suite, choice.of_another)
            parts = _resolved(archive, choice.package, progress)
        except apt.Unreachable as error:
            if kept := cached(root, choice):
                progress.phase(f"keeping {_title(kept)}: {error.message}")
                return kept
            raise
        target = _store(root) / f"{parts[0].name}_{parts[0].version}".replace(":", "%3a")
        # The same kernel may be in two suites.
        with _locked(target, progress):
            if (found := _read(target)) is None:
                _make_room(root, parts)
                title = (parts[0].name, parts[0].version)
                with _downloaded(home, archive, parts, progress) as files:
                    found = _unpack(files, target, title, boot, progress)
        cache.write(_asked(root, choice), target.name)
        return found


def _resolved(archive: apt.Archive, name: str, progress: Progress) -> tuple[apt.Package, ...]:
    """Return the packages of a kernel, as the archive has them today."""
    progress.phase("asking the archive for its newest kernel")
    try:
        archive.refresh()
    except LabError as error:
        if archive.suite:
            raise
        # One of several sources failed; the kernel may come from another one.
        try:
            found = archive.kernel(name)
        except apt.UnknownPackage:
            raise error from None
        progress.phase(f"going on without one of the apt sources: {error.message}")
        return found
    return archive.kernel(name)


@contextlib.contextmanager
def _downloaded(
    home: Path, archive: apt.Archive, parts: tuple[apt.Package, ...], progress: Progress
) -> Iterator[list[Path]]:
    """Yield the files of packages, which go with the context."""
    size = sum(part.size for part in parts)
    progress.phase(f"downloading {parts[0].name} {parts[0].version}, {size // _MEGABYTE} MB")
    into = home / _DOWNLOAD
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    try:
        yield archive.download(parts, into, progress)
    finally:
        shutil.rmtree(into)


def _unpack(
    files: Sequence[Path],
    target: Path,
    title: tuple[str, str],
    boot: Boot,
    progress: Progress,
) -> Ready:
    """Unpack packages, and make what virtme-ng boots of them."""
    package, version = title
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    content = partial / "content"
    content.mkdir(parents=True)
    try:
        for number, file in enumerate(files):
            progress.phase(f"unpacking {file.name} ({number + 1} of {len(files)})")
            unpacked.extract(file, content)
        release = unpacked.arrange(content, partial, package)
        progress.phase("preparing its modules")
        unpacked.prepare_modules(partial, release, package, boot)
        shutil.rmtree(content)
        ready = Ready(target, package, version, release, boot.architecture)
        record = asdict(ready)
        del record["directory"]
        cache.write(partial / _RECORD, json.dumps(record))
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return ready


def _fields(file: Path) -> tuple[str, str]:
    """Return a package file's name and version."""
    words = ["dpkg-deb", "--show", "--showformat=${Package}\t${Version}", str(file)]
    done = process.run(words, seconds=_ASK_SECONDS, check=False)
    if done.returncode != 0:
        raise LabError(
            f"--package: {file} is not a Debian package",
            hint="give a file that `apt-get download` saved",
        )
    name, _, version = done.stdout.partition("\t")
    return name, version


def _make_room(root: Path, parts: Sequence[apt.Package]) -> None:
    """Stop before a download that the disk cannot hold."""
    need = sum(part.size + int(part.installed * _GROWTH) for part in parts)
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < need:
        raise LabError(
            f"{parts[0].name} needs {need // _MEGABYTE} MB in {root}, "
            f"which has {free // _MEGABYTE} MB",
            hint=apt.full_disk().hint,
        )


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise apt.full_disk() from error
        raise


@contextlib.contextmanager
def _locked(place: Path, progress: Progress) -> Iterator[None]:
    with cache.lock(
        place.with_name(f"{place.name}.lock"),
        seconds=_LOCK_SECONDS,
        on_wait=lambda: progress.phase("waiting for another fetch of this kernel"),
    ):
        yield


def _store(root: Path) -> Path:
    return root / "stock"


def _asked(root: Path, choice: Choice) -> Path:
    """Return the file that says which kernel a name stood for when it was last fetched."""
    return root / "apt/asked" / f"{choice.source} {choice.package}"


def _title(ready: Ready) -> str:
    return f"{ready.package}={ready.version}"


def _digest(names: Sequence[str]) -> str:
    """Return a name for the content of files."""
    digest = hashlib.sha256()
    for name in names:
        with Path(name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"file-{digest.hexdigest()[:16]}"


def _read(directory: Path) -> Ready | None:
    try:
        facts = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
        kernel = (facts["package"], facts["version"], facts["release"])
        return Ready(directory, *kernel, facts.get("architecture", ""))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
