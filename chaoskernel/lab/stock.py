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
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import LabError
from chaoskernel.lab import apt, cache, initramfs, parent_death, tools
from chaoskernel.lab.progress import Progress

DEFAULT_PACKAGE = "linux-image-amd64"

_RECORD = "kernel.json"
_LOCK_SECONDS = 3600.0
_UNPACK_SECONDS = 600.0
_DEPMOD_SECONDS = 300.0
_ASK_SECONDS = 30.0
_MEGABYTE = 1000 * 1000
# Unpacked modules, with depmod's lists and room for the file system's own blocks.
_GROWTH = 1.2
# How much bigger than its file a package may be.
_PACKED = 6
_DOWNLOAD = "download"

# What the guest's root, its streams and its status come through.
_BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "virtio_console", "overlay")
_INSMOD = re.compile(r"^insmod (\S.*\S)\s*$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Ready:
    """A stock kernel in the cache.

    :param directory: where it is.
    :param package: the package that names it, or a file's name.
    :param version: that package's version.
    :param release: what `uname -r` says in the guest.
    """

    directory: Path
    package: str
    version: str
    release: str


def is_file(name: str) -> bool:
    """Tell whether a user means a package's file, not its name."""
    return "/" in name or name.endswith(".deb")


def cached(root: Path, names: Sequence[str], suite: str = "") -> Ready | None:
    """Return the kernel that was last fetched for these names, without asking the archive.

    :param root: the cache directory.
    :param names: one package name, or the paths of files.
    """
    if names and is_file(names[0]):
        return _read(_store(root) / _digest(names))
    name = names[0] if names else DEFAULT_PACKAGE
    asked = _asked(root, name, suite)
    if asked.exists() and (found := _read(_store(root) / asked.read_text(encoding="utf-8"))):
        return found
    matching = [each for each in everything(root) if name in (each.package, _title(each))]
    return matching[-1] if matching else None


def everything(root: Path) -> list[Ready]:
    """Return all stock kernels in the cache, the newest last."""
    records = _store(root).glob(f"*/{_RECORD}")
    ordered = sorted(records, key=lambda record: (record.stat().st_mtime, record))
    return [found for record in ordered if (found := _read(record.parent))]


def fetch(root: Path, names: Sequence[str], suite: str, progress: Progress) -> Ready:
    """Return a stock kernel; download and unpack what the cache does not have.

    :param root: the cache directory.
    :param names: one package name, or the paths of files.
    :param suite: of the distribution, such as unstable; empty for the machine's apt sources.
    :raises MissingTool: something that this needs is not installed.
    :raises LabError: there is no such kernel, it cannot be fetched, or it cannot boot here.
    :raises TimeLimit: a step took too long.
    """
    tools.require(tools.PACKAGE_NEEDS)
    busybox = tools.static_busybox()
    with _disk_errors():
        if names and is_file(names[0]):
            return _from_files(root, names, busybox, progress)
        apt.require()
        name = names[0] if names else DEFAULT_PACKAGE
        return _from_archive(root, name, suite, busybox, progress)


def _from_files(root: Path, names: Sequence[str], busybox: Path, progress: Progress) -> Ready:
    target = _store(root) / _digest(names)
    files = [Path(name) for name in names]
    with _locked(target, progress):
        if found := _read(target):
            return found
        package, version = _fields(files[0])
        sizes = [file.stat().st_size for file in files]
        _make_room(root, [apt.Package(package, version, 0, size * _PACKED) for size in sizes])
        return _unpack(files, target, (package, version), busybox, progress)


def _from_archive(root: Path, name: str, suite: str, busybox: Path, progress: Progress) -> Ready:
    # The parent is not in the store: an unfinished state is no kernel.
    home = root / "apt" / (suite.replace("/", "_") or "machine")
    with _locked(home, progress):
        try:
            archive = apt.Archive(home, suite)
            parts = _resolved(archive, name, progress)
        except apt.Unreachable as error:
            if kept := cached(root, [name], suite):
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
                    found = _unpack(files, target, title, busybox, progress)
        cache.write(_asked(root, name, suite), target.name)
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
    busybox: Path,
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
            _run(["dpkg-deb", "--extract", str(file), str(content)], file, _UNPACK_SECONDS)
        release = _arrange(content, partial, package)
        progress.phase("preparing its modules")
        _prepare_modules(partial, release, package, busybox)
        shutil.rmtree(content)
        ready = Ready(target, package, version, release)
        record = asdict(ready)
        del record["directory"]
        cache.write(partial / _RECORD, json.dumps(record))
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return ready


def _arrange(content: Path, partial: Path, package: str) -> str:
    """Move a package's image and modules to their places; return the kernel's release."""
    image = next(iter(images(content)), None)
    if image is None:
        raise LabError(
            f"--package: {package} has no kernel image",
            hint="give one such as linux-image-amd64; a kernel in several files is given by "
            "--package for each",
        )
    in_boot = image.parent.name == "boot"
    release = image.name.removeprefix("vmlinuz-") if in_boot else image.parent.name
    (partial / "boot").mkdir()
    shutil.move(image, partial / "boot" / f"vmlinuz-{release}")
    modules = partial / "modules/usr/lib/modules" / release
    modules.mkdir(parents=True)
    # kmod is built for one of the two places.
    (partial / "modules/lib").symlink_to("usr/lib")
    for place in ("lib/modules", "usr/lib/modules"):
        there = content / place / release
        if there.is_dir():
            shutil.copytree(
                there, modules, symlinks=True, dirs_exist_ok=True, copy_function=shutil.move
            )
    config = content / "boot" / f"config-{release}"
    if config.exists():
        shutil.move(config, modules / "config")
    # Where Debian's linux-headers-<release> is once it is installed; BCC follows this.
    if not (modules / "build").is_symlink():
        (modules / "build").symlink_to(f"/usr/src/linux-headers-{release}")
    return release


def images(content: Path) -> list[Path]:
    """Return the kernel images in an unpacked package."""
    modules = ("lib/modules/*", "usr/lib/modules/*")
    beside = [f"{place}/{name}" for place in modules for name in ("vmlinuz", "vmlinuz.unsigned")]
    places = ("boot/vmlinuz-*", *beside)
    return [found for place in places for found in sorted(content.glob(place))]


def _prepare_modules(partial: Path, release: str, package: str, busybox: Path) -> None:
    base = partial / "modules"
    depmod = tools.find("depmod") or "depmod"
    _run([depmod, "-a", "-b", str(base), release], base, _DEPMOD_SECONDS)
    modules = modules_of(base, release, package)
    (partial / "boot/initramfs").write_bytes(initramfs.image(busybox, modules))
    decoy = partial / "lib/modules" / release
    decoy.mkdir(parents=True)
    # The empty list keeps virtme-ng from running depmod.
    (decoy / "modules.dep").touch()


def modules_of(
    base: Path, release: str, package: str, names: Sequence[str] = _BOOT_MODULES
) -> list[Path]:
    """Return the files of modules, and of those that they need, in the order of loading.

    :param base: has lib/modules of the release.
    :raises LabError: the kernel has some of them neither as a module nor built in.
    """
    files: dict[str, None] = {}
    lacking = []
    for name in names:
        modprobe = tools.find("modprobe") or "modprobe"
        words = [modprobe, "--show-depends", "-C", "/var/empty", "-d", str(base), "-S", release]
        done = process.run([*words, name], seconds=_ASK_SECONDS, check=False)
        if done.returncode != 0:
            lacking.append(name)
        files |= dict.fromkeys(_INSMOD.findall(done.stdout))
    if lacking:
        raise LabError(
            f"--package: {package} lacks {', '.join(lacking)}, without which the lab cannot boot "
            "it",
            hint=_remedy(base, package),
        )
    return [Path(file) for file in files]


def _remedy(base: Path, package: str) -> str:
    # Debian's linux-modules-... has the one, its linux-base-... the other.
    for content in ("kernel", "modules.builtin"):
        if not list((base / "lib/modules").glob(f"*/{content}")):
            return f"its {content!r} is in another package; repeat --package with that file"
    if "-cloud-" in package:
        return f"a cloud flavour is without 9p; give {package.replace('-cloud', '')}"
    return "give another package, such as linux-image-amd64"


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


def _run(command: list[str], file: Path, seconds: float) -> None:
    environment = dict(os.environ) | {"LC_ALL": "C"}
    done = process.run(parent_death.tied(command), seconds=seconds, check=False, env=environment)
    if done.returncode != 0:
        if "No space left on device" in done.stderr:
            raise apt.full_disk()
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise LabError(
            f"{Path(command[0]).name} failed on {file.name}: {last}",
            hint="fetch the package again",
        )


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


def _asked(root: Path, name: str, suite: str) -> Path:
    """Return the file that says which kernel a name stood for when it was last fetched."""
    return root / "apt/asked" / f"{suite.replace('/', '_') or 'machine'} {name}"


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
        return Ready(directory, facts["package"], facts["version"], facts["release"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
