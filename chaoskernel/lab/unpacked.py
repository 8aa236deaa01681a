"""A kernel package's content -> what virtme-ng boots: the image, its modules and an initramfs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chaoskernel import process
from chaoskernel.errors import LabError
from chaoskernel.lab import initramfs, step, tools

# What the guest's root, its streams and its status come through.
BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "virtio_console", "overlay")

_UNPACK_SECONDS = 600.0
_DEPMOD_SECONDS = 300.0
_ASK_SECONDS = 30.0
_INSMOD = re.compile(r"^insmod (\S.*\S)\s*$", flags=re.MULTILINE)


class Boot(NamedTuple):
    """What a kernel is booted by.

    :param busybox: of its initramfs.
    :param modules: of its initramfs.
    :param architecture: Debian's name of the one that it is for; empty for this machine's.
    """

    busybox: Path
    modules: tuple[str, ...]
    architecture: str = ""


def extract(file: Path, content: Path) -> None:
    """Unpack a package's files into a directory.

    :raises LabError: it cannot be unpacked.
    """
    _run(["dpkg-deb", "--extract", str(file), str(content)], file, _UNPACK_SECONDS)


def arrange(content: Path, partial: Path, package: str) -> str:
    """Move a package's image and modules to their places; return the kernel's release.

    :raises LabError: there is no image among its files.
    """
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


def prepare_modules(partial: Path, release: str, package: str, boot: Boot) -> None:
    """Write the lists of the modules, and the initramfs that loads what the boot needs.

    :raises LabError: the kernel lacks a module without which it cannot boot here.
    """
    base = partial / "modules"
    depmod = tools.find("depmod") or "depmod"
    _run([depmod, "-a", "-b", str(base), release], base, _DEPMOD_SECONDS)
    modules = modules_of(base, release, package, boot.modules)
    (partial / "boot/initramfs").write_bytes(initramfs.image(boot.busybox, modules))
    decoy = partial / "lib/modules" / release
    decoy.mkdir(parents=True)
    # The empty list keeps virtme-ng from running depmod.
    (decoy / "modules.dep").touch()


def modules_of(
    base: Path, release: str, package: str, names: Sequence[str] = BOOT_MODULES
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


def _run(command: list[str], file: Path, seconds: float) -> None:
    trouble = f"{Path(command[0]).name} failed on {file.name}"
    step.run(command, seconds=seconds, trouble=trouble, hint="fetch the package again")
