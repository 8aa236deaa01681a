"""What the lab needs of the machine, and what of it is missing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from chaoskernel.errors import MissingTool

VIRTME_RUN = "virtme-run"
SOURCES = Path("/usr/src")

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


BOOT_NEEDS = (
    Need("virtme-ng", "", (VIRTME_RUN,)),
    Need("qemu-system-x86_64", "qemu-system-x86", ("qemu-system-x86_64",)),
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


def remedy(absent: Iterable[Need]) -> str:
    """Return the one command line that installs what is missing."""
    packages = list(dict.fromkeys(need.package for need in absent))
    commands = []
    if any(packages):
        commands.append("apt-get install " + " ".join(filter(None, packages)))
    if "" in packages:
        commands.append("pip install 'chaostoolkit-kernel[lab]'")
    return " && ".join(commands)
