"""Builds the lab's kernel from the distribution's source package, once.

A finished kernel is laid out like an installed one, below a directory that
virtme-ng takes for a root:

    boot/vmlinuz-<release>
    lib/modules/<release>/build/     headers and .config, as BCC wants them
    kernel.json                      written last: without it nothing is finished
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import LabError, TimeLimit
from chaoskernel.lab import cache, parent_death, step, tools
from chaoskernel.lab.foreign import Architecture
from chaoskernel.lab.progress import Progress

RECORD = "kernel.json"

_BUILD_SECONDS = 3600.0
_UNPACK_SECONDS = 300.0
_CONFIGURE_SECONDS = 300.0
_TIMED_OUT = 124  # the exit status of timeout(1)

# BTF holds types, not the places of variables; tracking those costs a tenth of the time.
_COMPILER_FLAGS = "-fno-var-tracking -fno-var-tracking-assignments -gno-variable-location-views"
# Objects that linux 6.1 compiles with lab.config; other versions differ by a few per cent.
_EXPECTED_OBJECTS = 1350
_OBJECT = re.compile(r"  (?:CC|AS|HOSTCC) +\S+$")
_SETTING = re.compile(r"^(CONFIG_\w+)=(.+)$", flags=re.MULTILINE)
_ERROR = re.compile(r"\berror: |\*\*\* ")


@dataclass(frozen=True)
class Source:
    """A source package of the distribution.

    :param tarball: its file.
    :param version: tells two editions of one package apart.
    """

    tarball: Path
    version: str


def find_source(version: str, directory: Path = tools.SOURCES) -> Source | None:
    """Return a linux-source tarball, or None when there is none.

    :param version: such as 6.12; without one it is the newest.
    """
    tarballs = sorted(directory.glob(f"linux-source-{version or '*'}.tar.xz"), key=_version_key)
    if not tarballs:
        return None
    facts = tarballs[-1].stat()
    return Source(tarballs[-1], f"{tarballs[-1].name} {facts.st_size} {int(facts.st_mtime)}")


def default_version(depends: str | None = None) -> str:
    """Return the version that the package linux-source stands for; empty where it is none.

    Another one beside it is there for a reason of its own.

    :param depends: what it depends on, as dpkg-query prints it; asked for when None.
    """
    if depends is None:
        query = ["dpkg-query", "--show", "--showformat=${Depends}", "linux-source"]
        known = shutil.which(query[0])
        depends = process.run(query, seconds=10, check=False).stdout if known else ""
    found = re.match(r"linux-source-([\d.]+)", depends)
    return found[1] if found else ""


def _version_key(tarball: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", tarball.name.removesuffix(".tar.xz")))


def fragment(more: str = "", architecture: Architecture | None = None) -> str:
    """Return the text of the package's configuration fragment.

    :param more: another fragment; its options take the place of the package's.
    :param architecture: None for this machine's.
    """
    own = _own_fragment("lab.config")
    if architecture:
        own = _over(_own_fragment(f"lab.{architecture.name}.config"), own)
    return _over(more, own)


def _own_fragment(name: str) -> str:
    return resources.files("chaoskernel.lab").joinpath(name).read_text(encoding="utf-8")


def _over(more: str, own: str) -> str:
    """Return a fragment with options of another one in it; one without a value is left open."""
    lines = more.splitlines()
    overridden = {line.partition("=")[0] for line in lines if "=" in line}
    kept = [line for line in own.splitlines() if line.partition("=")[0] not in overridden]
    return "".join(f"{line}\n" for line in [*kept, *lines] if not line.endswith("="))


def digest(*texts: str) -> str:
    """Return a short name for texts: the same for the same, on every machine."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def directory(root: Path, source: Source, options: str) -> Path:
    """Return where the kernel of this source and fragment is kept."""
    return root / "kernels" / digest(source.version, options)


def build(
    root: Path,
    source: Source,
    options: str,
    progress: Progress,
    architecture: Architecture | None = None,
) -> tuple[Path, str]:
    """Build the kernel, or go on where an interrupted build stopped.

    :param root: the cache directory.
    :param options: the configuration fragment.
    :param architecture: None for this machine's.
    :returns: the directory of the finished kernel, and its release.
    :raises LabError: a step failed, or an option of the fragment did not take.
    :raises TimeLimit: a step took too long.
    """
    target = directory(root, source, options)
    with cache.lock(
        target.with_suffix(".lock"),
        seconds=_BUILD_SECONDS,
        on_wait=lambda: progress.phase("waiting for another build of this kernel"),
    ):
        record = target / RECORD
        if record.exists():
            return target, json.loads(record.read_text(encoding="utf-8"))["release"]
        tree = target / "linux"
        if not tree.exists():
            progress.phase(f"unpacking {source.tarball.name}")
            _unpack(source, tree)
        if not _is_configured(tree, options):
            progress.phase("configuring")
            _configure(tree, options, architecture)
        progress.phase("compiling")
        _compile(tree, target / "build.log", progress, architecture)
        progress.phase("keeping the image and its headers")
        release = _install(tree, target, architecture)
        cache.write(record, json.dumps({"release": release, "fragment": digest(options)}))
        shutil.rmtree(tree)
    return target, release


def _unpack(source: Source, tree: Path) -> None:
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _run(
        ["tar", "--extract", f"--file={source.tarball}", "--strip-components=1"],
        cwd=partial,
        seconds=_UNPACK_SECONDS,
    )
    partial.rename(tree)


def _is_configured(tree: Path, options: str) -> bool:
    config = tree / ".config"
    return config.exists() and not refused(options, config.read_text(encoding="utf-8"))


def _make(architecture: Architecture | None) -> list[str]:
    if architecture is None:
        return ["make"]
    return ["make", f"ARCH={architecture.name}", f"CROSS_COMPILE={architecture.compiler}-"]


def _configure(tree: Path, options: str, architecture: Architecture | None) -> None:
    (tree / "lab.config").write_text(options, encoding="utf-8")
    make = _make(architecture)
    _run([*make, "tinyconfig"], cwd=tree, seconds=_CONFIGURE_SECONDS)
    _run(
        ["scripts/kconfig/merge_config.sh", "-m", ".config", "lab.config"],
        cwd=tree,
        seconds=_CONFIGURE_SECONDS,
    )
    _run([*make, "olddefconfig"], cwd=tree, seconds=_CONFIGURE_SECONDS)
    config = (tree / ".config").read_text(encoding="utf-8")
    if lost := refused(options, config):
        raise LabError(
            f"this kernel's source does not take {', '.join(lost)}",
            hint="install another linux-source package",
        )


def refused(options: str, config: str) -> tuple[str, ...]:
    """Return the lines of a fragment that a configuration does not have.

    :param options: the fragment; `=n` is met by an option that is absent.
    :param config: the text of the .config file.
    """
    have = dict(_SETTING.findall(config))
    return tuple(
        f"{name}={value}"
        for name, value in _SETTING.findall(options)
        if have.get(name, "n") != value
    )


def _compile(tree: Path, log: Path, progress: Progress, architecture: Architecture | None) -> None:
    image = architecture.image if architecture else "bzImage"
    command = parent_death.tied(
        [
            *("timeout", f"{_BUILD_SECONDS:g}"),
            *(
                *_make(architecture),
                f"-j{os.cpu_count() or 1}",
                f"KCFLAGS={_COMPILER_FLAGS}",
                image,
            ),
        ]
    )
    done = sum(1 for _ in tree.rglob("*.o"))
    first_error = ""
    with (
        log.open("w", encoding="utf-8") as copy,
        process.spawn(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            copy.write(line)
            if is_object(line):
                done += 1
                progress.advance(done, max(done, _EXPECTED_OBJECTS))
            elif not first_error and _ERROR.search(line):
                first_error = line.strip()
        status = child.wait()
        if status == _TIMED_OUT:
            raise TimeLimit(f"the kernel was not built within {_BUILD_SECONDS:g} s")
        if status != 0:
            raise LabError(
                f"the kernel's build failed: {first_error or 'make gave no reason'}",
                hint=f"see {log}",
            )


def is_object(line: str) -> bool:
    """Tell whether a line of make's output announces the compilation of one file."""
    return _OBJECT.match(line) is not None


def _install(tree: Path, target: Path, architecture: Architecture | None) -> str:
    """Copy what a boot and BCC need out of the build tree; return the release."""
    release = (tree / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    modules = target / "lib/modules" / release
    shutil.rmtree(target / "lib", ignore_errors=True)
    own = tree / "arch" / (architecture.name if architecture else "x86")
    for headers in ("include", f"arch/{own.name}/include"):
        shutil.copytree(tree / headers, modules / "build" / headers, symlinks=True)
    shutil.copy(tree / ".config", modules / "build/.config")
    # There are no modules.  The empty list keeps virtme-ng from running depmod.
    (modules / "modules.dep").touch()
    (target / "boot").mkdir(exist_ok=True)
    image = own / "boot" / (architecture.image if architecture else "bzImage")
    shutil.copy(image, target / "boot" / f"vmlinuz-{release}")
    return release


def _run(command: list[str], *, cwd: Path, seconds: float) -> None:
    trouble, hint = f"{command[0]} failed", f"remove {cwd} and build again"
    step.run(command, cwd=cwd, seconds=seconds, trouble=trouble, hint=hint)
