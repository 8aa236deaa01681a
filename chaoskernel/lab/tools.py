"""What the lab needs of the machine, and what of it is missing."""

from __future__ import annotations

import shutil
import struct
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chaoskernel.errors import MissingTool
from chaoskernel.extras import pip_install

if TYPE_CHECKING:
    from chaoskernel.lab.foreign import Architecture

VIRTME_RUN = "virtme-run"
SOURCES = Path("/usr/src")

_PT_INTERP = 3
_SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/local/sbin")


@dataclass(frozen=True)
class Need:
    """A program, or a file, that the lab cannot do without.

    :param name: how the message calls it.
    :param package: the Debian package that has it; empty when pip has it.
    :param places: program names (searched for) or absolute paths and globs; one is enough.
    """

    name: str
    package: str
    places: tuple[str, ...]


_QEMU = "qemu-system-x86_64"

BOOT_NEEDS = (
    Need("virtme-ng", "", (VIRTME_RUN,)),
    Need(_QEMU, "qemu-system-x86", (_QEMU,)),
    # Without udevd nothing names the guest's virtio ports: output and status are lost.
    Need(
        "udevd",
        "udev",
        ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd", "udevd"),
    ),
    Need("unshare", "util-linux", ("unshare",)),
    Need("setpriv", "util-linux", ("setpriv",)),
    Need("modprobe", "kmod", ("modprobe",)),
    Need("file", "file", ("file",)),
)

BUILD_NEEDS = (
    Need("the kernel's source", "linux-source", (f"{SOURCES}/linux-source-*.tar.xz",)),
    Need("tar", "tar", ("tar",)),
    Need("xz", "xz-utils", ("xz",)),
    Need("gcc", "gcc", ("gcc",)),
    Need("make", "make", ("make",)),
    Need("flex", "flex", ("flex",)),
    Need("bison", "bison", ("bison",)),
    Need("bc", "bc", ("bc",)),
    Need("perl", "perl", ("perl",)),
    Need("pahole", "dwarves", ("pahole",)),
    Need("libelf's headers", "libelf-dev", ("/usr/include/libelf.h",)),
    Need("OpenSSL's headers", "libssl-dev", ("/usr/include/openssl/opensslv.h",)),
)


def build_needs(architecture: Architecture | None) -> tuple[Need, ...]:
    """Return what building the lab's kernel takes.

    :param architecture: the guest's; None for this machine's.
    """
    if architecture is None:
        return BUILD_NEEDS
    cross = f"{architecture.compiler}-gcc"
    return (*BUILD_NEEDS, Need(cross, f"gcc-{architecture.compiler}", (cross,)))


PACKAGE_NEEDS = (
    Need("dpkg-deb", "dpkg", ("dpkg-deb",)),
    Need("depmod", "kmod", ("depmod",)),
)
_BUSYBOX = Need("a static busybox", "busybox-static", ("busybox", "/usr/lib/busybox/busybox"))


def needs(architecture: Architecture | None) -> tuple[Need, ...]:
    """Return what booting a guest takes.

    :param architecture: the guest's; None for this machine's.
    """
    if architecture is None:
        return BOOT_NEEDS
    qemu = f"qemu-system-{architecture.machine}"
    return (
        *(need for need in BOOT_NEEDS if need.name != _QEMU),
        Need(qemu, architecture.emulator, (qemu,)),
        Need("mmdebstrap", "mmdebstrap", ("mmdebstrap",)),
    )


def find(place: str) -> str | None:
    """Return the path of a program, or of the first file that a path or glob names."""
    if place.startswith("/"):
        matches = sorted(Path("/").glob(place.lstrip("/")))
        return str(matches[0]) if matches else None
    beside_python = Path(sys.executable).with_name(place)
    if beside_python.exists():
        return str(beside_python)
    return shutil.which(place) or shutil.which(place, path=":".join(_SYSTEM_DIRECTORIES))


def missing(needs: Iterable[Need], finder: Callable[[str], str | None] = find) -> tuple[Need, ...]:
    """Return the needs that nothing on this machine meets."""
    return tuple(need for need in needs if not any(finder(place) for place in need.places))


def require(needs: Iterable[Need], finder: Callable[[str], str | None] = find) -> None:
    """Stop before anything is started when something is missing.

    :raises MissingTool: names everything that is missing, and how to install it all.
    """
    absent = missing(needs, finder)
    if absent:
        names = ", ".join(need.name for need in absent)
        raise MissingTool(f"the lab lacks {names}", hint=f"run: {remedy(absent)}")


def static_busybox(finder: Callable[[str], str | None] = find) -> Path:
    """Return a busybox that needs no library.

    :raises MissingTool: there is none.
    """
    for place in _BUSYBOX.places:
        found = finder(place)
        if found and is_static(Path(found).read_bytes()):
            return Path(found)
    raise MissingTool(f"the lab lacks {_BUSYBOX.name}", hint=f"run: {remedy([_BUSYBOX])}")


def is_static(program: bytes) -> bool:
    """Tell whether a 64-bit ELF program asks for no dynamic linker.

    :param program: the content of its file.
    """
    if program[:5] != b"\x7fELF\x02":
        return False
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    kinds = [struct.unpack_from("<I", program, table + n * size)[0] for n in range(count)]
    return _PT_INTERP not in kinds


def remedy(absent: Iterable[Need]) -> str:
    """Return the one command line that installs what is missing."""
    packages = list(dict.fromkeys(need.package for need in absent))
    commands = []
    if any(packages):
        commands.append("apt-get install " + " ".join(filter(None, packages)))
    if "" in packages:
        commands.append(pip_install("lab"))
    return " && ".join(commands)
