"""Makes the root of guests of another architecture, from Debian's packages and PyPI's wheels.

No program of this machine runs there, so the guest has a root of its own, and sees this machine's
directories at their places.  Nothing of that architecture is run to make it: packages are unpacked,
and what their scripts would do is left undone.

A root that is ready is a directory below `roots` in the cache:

    root/               what the guest has as /
    root.json           written last: without it nothing is finished
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import chaoskernel
from chaoskernel.extras import DISTRIBUTION
from chaoskernel.lab import cache, script, step
from chaoskernel.lab.progress import Progress

DEPENDENCIES = "/opt/python"
"""Where a guest has what this project depends on."""

_SUITE, _PYTHON = "bookworm", "3.11"
_PACKAGES = (
    *("bash", "bpftool", "busybox-static", "clang", "coreutils", "dash", "e2fsprogs"),
    *("findutils", "gcc", "grep", "iproute2", "kmod", "libbpf-dev", "libc-bin", "libc6-dev"),
    *("mount", "procps", "python3", "sed", "sqlite3", "udev", "util-linux"),
)
_BESIDE = ("chaostoolkit", "pytest >= 8")
"""What a guest is given to run, beside this project's own dependencies."""

_PROGRAMS = {
    "chaoskernel": "from chaoskernel.cli import main; main()",
    "chaos": "from chaostoolkit.__main__ import cli; cli()",
    "pytest": "import sys, pytest; sys.exit(pytest.main())",
}
_ALTERNATIVES = {"cc": "gcc"}
"""Links below /usr/bin that the scripts of packages would have made."""

_WHEELS = ("manylinux_2_17", "manylinux_2_28", "manylinux_2_34", "manylinux2014")
_RECORD = "root.json"
_LOCK_SECONDS = 3600.0
_UNPACK_SECONDS = 1800.0
_INSTALL_SECONDS = 900.0


@dataclass(frozen=True)
class Architecture:
    """One that a guest can have on any machine.

    :param name: Debian's, such as arm64.
    :param machine: what `uname -m` says there, which QEMU's program is named by.
    :param emulator: Debian's package that has that program.
    :param package: the kernel that is booted unless another one is named.
    :param boot_modules: what the boot needs beside what every architecture does.
    :param image: what the kernel's make calls its image.
    :param processor: QEMU's words for the processor.
    """

    name: str
    machine: str
    emulator: str
    package: str
    boot_modules: tuple[str, ...] = ()
    image: str = "Image"
    processor: tuple[str, ...] = ()

    @property
    def compiler(self) -> str:
        """The prefix of a compiler's programs for it; Debian's package is gcc-PREFIX."""
        return f"{self.machine}-linux-gnu"


ARCHITECTURES = {
    "arm64": Architecture(
        *("arm64", "aarch64", "qemu-system-arm", "linux-image-6.12-arm64"),
        boot_modules=("virtio_mmio",),
        # It signs return addresses, in the way that takes an emulator the fewest steps.
        processor=("-cpu", "max,pauth-impdef=on"),
    ),
}


def default(machine: str = os.uname().machine) -> str:
    """Return the architecture of guests where none is named; empty on x86-64.

    :param machine: as `uname -m` prints it.
    """
    return next((name for name, each in ARCHITECTURES.items() if each.machine == machine), "")


def directory(where: Path, architecture: Architecture) -> Path:
    """Return where the root of an architecture is, or would be.

    :param where: the cache directory.
    """
    return _home(where, architecture) / "root"


def make(where: Path, architecture: Architecture, progress: Progress) -> Path:
    """Return the root of an architecture; make it when the cache has none.

    :param where: the cache directory.
    :raises LabError: a package or a wheel cannot be had.
    :raises TimeLimit: a step took too long.
    """
    home = _home(where, architecture)
    with cache.lock(
        home.with_name(f"{home.name}.lock"),
        seconds=_LOCK_SECONDS,
        on_wait=lambda: progress.phase("waiting for another process that makes this root"),
    ):
        if not (home / _RECORD).exists():
            _make(home, architecture, progress)
    return home / "root"


def unpack(root: Path, architecture: Architecture, packages: Iterable[str]) -> None:
    """Unpack Debian's packages, and what they need, into a directory that is there.

    :raises LabError: a package cannot be had.
    :raises TimeLimit: it took too long.
    """
    _run(
        [
            *("mmdebstrap", "--quiet", "--variant=extract"),
            f"--architectures={architecture.name}",
            f"--include={','.join(packages)}",
            *(_SUITE, str(root)),
        ],
        _UNPACK_SECONDS,
    )


def shown(root: Path, directories: Iterable[Path]) -> tuple[Path, ...]:
    """Return which directories of this machine a guest is shown, with a place for each in its root.

    What lies below another one of them is shown with that, and what cannot be shared by itself
    with the nearest directory above it that can.
    """
    found: list[Path] = []
    for each in sorted(map(_shareable, directories), key=lambda path: len(path.parts)):
        if each == Path("/") or any(each.is_relative_to(other) for other in found):
            continue
        found.append(each)
        (root / each.relative_to("/")).mkdir(parents=True, exist_ok=True)
    return tuple(found)


def _shareable(directory: Path) -> Path:
    lineage = (directory, *directory.parents)
    return next(each for each in lineage if script.SHAREABLE.fullmatch(str(each)))


def own_place() -> Path:
    """Return the directory that has this package; Python finds it in a guest by that."""
    return Path(chaoskernel.__file__).resolve().parents[1]


def _home(where: Path, architecture: Architecture) -> Path:
    made = (*_PROGRAMS.values(), *_ALTERNATIVES)
    wanted = "\n".join((_SUITE, *_PACKAGES, *_requirements(), *made))
    return (
        where / "roots" / f"{architecture.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    )


def _requirements() -> list[str]:
    own = importlib.metadata.requires(DISTRIBUTION) or []
    return [*(each for each in own if "extra ==" not in each), *_BESIDE]


def _make(home: Path, architecture: Architecture, progress: Progress) -> None:
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    root = partial / "root"
    root.mkdir(parents=True)
    try:
        progress.phase(f"unpacking Debian's packages for {architecture.name}")
        unpack(root, architecture, _PACKAGES)
        progress.phase(f"fetching the Python packages for {architecture.name}")
        _run(_pip(root, architecture), _INSTALL_SECONDS)
        for name, code in _PROGRAMS.items():
            program = root / "usr/bin" / name
            program.write_text(f"#!/usr/bin/python3\n{code}\n", encoding="utf-8")
            program.chmod(0o755)
        for name, target in _ALTERNATIVES.items():
            (root / "usr/bin" / name).symlink_to(target)
        cache.write(partial / _RECORD, json.dumps({"suite": _SUITE}))
        shutil.rmtree(home, ignore_errors=True)
        partial.rename(home)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _pip(root: Path, architecture: Architecture) -> list[str]:
    platforms = [f"--platform={wheels}_{architecture.machine}" for wheels in _WHEELS]
    return [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
        *("--no-compile", "--only-binary=:all:", f"--python-version={_PYTHON}"),
        *(*platforms, f"--target={root}{DEPENDENCIES}"),
        *_requirements(),
    ]


def _run(command: list[str], seconds: float) -> None:
    trouble = f"{Path(command[0]).name} cannot make the guest's root"
    step.run(command, seconds=seconds, trouble=trouble, hint="check the network, and try again")
