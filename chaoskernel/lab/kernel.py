"""Which kernel the lab boots: the running one, a cached one, or one yet to be built."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chaoskernel.errors import MissingTool
from chaoskernel.lab import build, cache, foreign, stock, tools
from chaoskernel.lab.foreign import ARCHITECTURES, Architecture
from chaoskernel.lab.progress import Progress

Origin = Literal["running", "cached", "built", "stock"]

# What injecting faults by BPF needs, and must be built in.
_FAULT_OPTIONS = (
    "KPROBES",
    "BPF_SYSCALL",
    "BPF_JIT",
    "BPF_EVENTS",
    "BPF_KPROBE_OVERRIDE",
    "FUNCTION_ERROR_INJECTION",
    "DEBUG_INFO_BTF",
    "FAILSLAB",
    "FAIL_PAGE_ALLOC",
    "FAIL_MAKE_REQUEST",
)
# What the boot under virtme-ng needs; a module will do.
_BOOT_OPTIONS = ("NET_9P_VIRTIO", "9P_FS", "OVERLAY_FS", "VIRTIO_PCI", "VIRTIO_CONSOLE")


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted.

    :param image: the bootable image.
    :param release: what `uname -r` says in the guest.
    :param headers: where /lib/modules/<release>/build leads in the guest; None
        when there are no headers, and BCC must do without.
    :param origin: the machine's own, found in the cache, built just now, or a package's.
    :param initramfs: what loads the modules that the boot needs; None when they are built in.
    :param modules: the directory of loadable modules; None when there are none.
    :param architecture: None for this machine's.
    :param root: of the guest, where this machine's cannot serve; None where it does.
    """

    image: Path
    release: str
    headers: Path | None
    origin: Origin
    initramfs: Path | None = None
    modules: Path | None = None
    architecture: Architecture | None = None
    root: Path | None = None


def lacking(config: str) -> tuple[str, ...]:
    """Return the options that a kernel's configuration lacks for the lab.

    :param config: the text of a .config file.
    """
    have = dict(re.findall(r"^CONFIG_(\w+)=([ym])$", config, flags=re.MULTILINE))
    faults = [option for option in _FAULT_OPTIONS if have.get(option) != "y"]
    boot = [option for option in _BOOT_OPTIONS if option not in have]
    return (*faults, *boot)


def running(root: Path = Path("/")) -> Kernel | None:
    """Return the machine's own kernel when it qualifies.

    :param root: where /boot, /proc and /lib/modules are; for tests.
    """
    release = os.uname().release
    image = root / "boot" / f"vmlinuz-{release}"
    config = _config_text(root, release)
    if config is None or lacking(config) or not os.access(image, os.R_OK):
        return None
    headers = root / "lib/modules" / release / "build"
    return Kernel(image, release, headers if headers.exists() else None, "running")


def _config_text(root: Path, release: str) -> str | None:
    packed = root / "proc/config.gz"
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode()
    installed = root / "boot" / f"config-{release}"
    return installed.read_text(encoding="utf-8") if installed.exists() else None


def cached(
    root: Path, source: build.Source | None, fragment: str, version: str = ""
) -> Kernel | None:
    """Return the kernel in the cache that a build would give, if it is there.

    Without the source's tarball, for instance in a copied cache, any kernel that
    was built from this fragment will do.

    :param root: the cache directory.
    :param version: of the kernel, such as 6.12; empty for any.
    """
    if source is not None:
        candidates = [build.directory(root, source, fragment)]
    else:
        candidates = sorted((root / "kernels").glob("*"))
    for candidate in candidates:
        record = candidate / build.RECORD
        if record.exists():
            facts = json.loads(record.read_text(encoding="utf-8"))
            right = f"{facts['release']}.".startswith(f"{version}." if version else "")
            if right and facts["fragment"] == build.digest(fragment):
                return _installed(candidate, facts["release"], "cached")
    return None


@dataclass(frozen=True)
class Wanted:
    """Which kernel a user wants; by default any that can be made to fail.

    :param version: of the source package, such as 6.12.
    :param options: a configuration fragment, beside the package's own.
    :param packages: the distribution's package of a stock kernel, or its files.
    :param suite: of the distribution, such as unstable, for a stock kernel.
    :param architecture: such as arm64; empty for this machine's.  Without a version and options
        it is a stock kernel.
    """

    version: str = ""
    options: str = ""
    packages: tuple[str, ...] = ()
    suite: str = ""
    architecture: str = ""

    @property
    def is_stock(self) -> bool:
        """Whether the kernel is the distribution's own."""
        if self.packages or self.suite:
            return True
        return bool(self.architecture) and not (self.version or self.options)

    @property
    def foreign(self) -> Architecture | None:
        """The architecture, as the lab knows it; None for this machine's."""
        return ARCHITECTURES.get(self.architecture)

    @property
    def choice(self) -> stock.Choice:
        """The kernel as the distribution has it."""
        return stock.Choice(self.packages, self.suite, self.foreign)


_ANY = Wanted()


def find(wanted: Wanted = _ANY, *, root: Path | None = None) -> Kernel | None:
    """Return the kernel the lab would boot without building one.

    :param root: the cache directory; the user's own when None.
    """
    where = cache.root() if root is None else root
    if wanted.is_stock:
        ready = stock.cached(where, wanted.choice)
        found = _stock(ready, wanted.foreign, where) if ready else None
    else:
        own = running() if wanted == _ANY else None
        options = build.fragment(wanted.options, wanted.foreign)
        found = own or cached(where, _source(wanted), options, wanted.version)
        found = _on_its_root(found, wanted.foreign, where) if found else None
    return found if found and (not found.root or found.root.exists()) else None


def find_or_build(
    progress: Progress, wanted: Wanted = _ANY, *, root: Path | None = None, newest: bool = False
) -> Kernel:
    """Return the kernel that is wanted; build or fetch it when it is not there.

    :param progress: is told what the build does.
    :param root: the cache directory; the user's own when None.
    :param newest: ask the archive for a newer package even when the cache has one.
    :raises MissingTool: something that the boot or the build needs is not installed.
    :raises LabError: the build failed.
    :raises TimeLimit: the build took too long.
    """
    where = cache.root() if root is None else root
    architecture = wanted.foreign
    tools.require(tools.needs(architecture))
    asks_archive = wanted.is_stock and newest
    if not asks_archive and (found := find(wanted, root=where)):
        return found
    if wanted.is_stock:
        return _stock(stock.fetch(where, wanted.choice, progress), architecture, where)
    tools.require(tools.build_needs(architecture))
    source = _source(wanted)
    if source is None:
        package = f"linux-source-{wanted.version}" if wanted.version else "linux-source"
        raise MissingTool(
            f"the lab lacks the kernel's source, {package}", hint=f"run: apt-get install {package}"
        )
    options = build.fragment(wanted.options, architecture)
    if architecture:
        foreign.make(where, architecture, progress)
    installed, release = build.build(where, source, options, progress, architecture)
    return _on_its_root(_installed(installed, release, "built"), architecture, where)


def _source(wanted: Wanted) -> build.Source | None:
    return build.find_source(wanted.version or build.default_version())


def _stock(ready: stock.Ready, architecture: Architecture | None, where: Path) -> Kernel:
    modules = ready.directory / "modules/lib/modules" / ready.release
    headers = modules / "build"
    return Kernel(
        image=ready.directory / "boot" / f"vmlinuz-{ready.release}",
        release=ready.release,
        headers=headers if headers.exists() else None,
        origin="stock",
        initramfs=ready.directory / "boot/initramfs",
        modules=modules,
        architecture=architecture,
        root=foreign.directory(where, architecture) if architecture else None,
    )


def _on_its_root(kernel: Kernel, architecture: Architecture | None, where: Path) -> Kernel:
    """Return a kernel with the root that its guests have, where this machine's cannot serve."""
    if architecture is None:
        return kernel
    root = foreign.directory(where, architecture)
    return dataclasses.replace(kernel, architecture=architecture, root=root)


def _installed(directory: Path, release: str, origin: Origin) -> Kernel:
    return Kernel(
        image=directory / "boot" / f"vmlinuz-{release}",
        release=release,
        headers=directory / "lib/modules" / release / "build",
        origin=origin,
    )
