"""Finds and downloads kernel packages with apt, in a state directory of the lab's own.

The machine's configuration of apt is read: its sources, proxies and keys.  Its lists,
caches and hooks are left alone.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import LabError, MissingTool, TimeLimit
from chaoskernel.lab import parent_death
from chaoskernel.lab.progress import Progress

_UPDATE_SECONDS = 300.0
_ASK_SECONDS = 60.0
_DOWNLOAD_SECONDS = 3600.0
_POLL_SECONDS = 0.2
_MEGABYTE = 1000 * 1000
_NEAR_NAMES = 3

_MIRROR = "http://deb.debian.org/debian/"
_KEYRINGS = Path("/usr/share/keyrings")

# A user's hooks may clean or notify the machine's own apt.  A repository without a valid
# signature is refused, whatever the machine's defaults are.
_SETTINGS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Update::Error-Mode "any";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
"""

# linux-image-6.1.0-50-amd64, linux-modules-extra-6.8.0-50-generic; not linux-base.
_PART = re.compile(r"linux-(?:image|binary|modules|base)(?:-[a-z]+)*-\d\S*")
_BINARY = re.compile(r"linux-binary(?:-unsigned)?-(\d\S*)")
_DEPENDENCY = re.compile(r"(?P<name>[^\s:(]+)[^(]*(?:\(= (?P<version>[^)]+)\))?")
_UNSIGNED = re.compile(r"NO_PUBKEY \w+|EXPKEYSIG \w+|REVKEYSIG \w+|BADSIG \w+|is not signed")

Stanza = Mapping[str, str]
"""The fields of a package, as apt-cache prints them."""


class UnknownPackage(LabError):
    """The archive has no package of that name."""


class Unreachable(LabError):
    """The archive did not answer."""


@dataclass(frozen=True)
class Package:
    """One version of a package.

    :param size: bytes to download.
    :param installed: bytes when unpacked.
    """

    name: str
    version: str
    size: int
    installed: int


def require() -> None:
    """Stop when this machine has no apt.

    :raises MissingTool: it has none.
    """
    if shutil.which("apt-get") is None or shutil.which("apt-cache") is None:
        raise MissingTool(
            "the lab lacks apt-get, which fetches kernel packages",
            hint="give --package the path of a .deb file",
        )


class Archive:
    """The machine's apt sources, or another suite of its distribution."""

    def __init__(self, home: Path, suite: str = "", architecture: str = "") -> None:
        """Make the state directory.

        :param home: the directory for lists and caches.
        :param suite: such as unstable; empty for the machine's own sources.
        :param architecture: whose packages are meant, such as arm64; empty for this machine's.
        """
        self.suite = suite
        self._architecture = architecture
        self._home = home
        for directory in ("lists/partial", "cache/archives/partial"):
            (home / directory).mkdir(parents=True, exist_ok=True)
        (home / "status").touch()
        (home / "apt.conf").write_text(_SETTINGS, encoding="utf-8")
        self.mirror = ""
        if suite:
            self.mirror, origin = distribution(_index_targets())
            keyring = _KEYRINGS / f"{origin.lower()}-archive-keyring.gpg"
            line = source_line(self.mirror, suite, keyring if keyring.exists() else None)
            (home / "sources.list").write_text(line, encoding="utf-8")

    def refresh(self) -> None:
        """Fetch the lists of packages.

        :raises UnknownPackage: there is no such suite.
        :raises Unreachable: the network or a server failed.
        :raises LabError: a signature is not valid, or the disk is full.
        """
        done = self._run("apt-get", "-q", "update", seconds=_UPDATE_SECONDS)
        if done.returncode != 0:
            raise failure(done.stderr, self.suite, self.mirror)

    def kernel(self, name: str) -> tuple[Package, ...]:
        """Return the packages that make up a kernel; the one that names it comes first.

        :param name: a package, or NAME=VERSION.
        :raises UnknownPackage: there is no such package.
        :raises LabError: it has no kernel.
        """
        if self._show(name) is None:
            where = f"the suite {self.suite}" if self.suite else "this machine's apt sources"
            near = near_names(name, self._names())
            hint = (
                f"near names: {', '.join(near)}" if near else "give one such as linux-image-amd64"
            )
            raise UnknownPackage(f"--package: no package {name!r} in {where}", hint=hint)
        return parts(name, self._show)

    def download(self, packages: tuple[Package, ...], into: Path, progress: Progress) -> list[Path]:
        """Download packages; apt checks them against the signed lists.

        :param into: an empty directory.
        :raises LabError: the download failed.
        """
        wanted = [f"{package.name}={package.version}" for package in packages]
        total = sum(package.size for package in packages)
        log = into / "apt.log"
        command = parent_death.tied(self._command("apt-get", "-qq", "download", *wanted))
        deadline = time.monotonic() + _DOWNLOAD_SECONDS
        with (
            log.open("w", encoding="utf-8") as errors,
            process.spawn(
                command, cwd=into, env=_environment(), stdout=errors, stderr=errors
            ) as child,
        ):
            while child.poll() is None:
                if time.monotonic() > deadline:
                    raise TimeLimit(f"the download took longer than {_DOWNLOAD_SECONDS:g} s")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=_POLL_SECONDS)
                done = sum(path.stat().st_size for path in into.glob("*.deb"))
                progress.advance(done // _MEGABYTE, max(total, done) // _MEGABYTE, "MB")
        if child.returncode != 0:
            raise failure(
                log.read_text(encoding="utf-8", errors="replace"), self.suite, self.mirror
            )
        return sorted(into.glob("*.deb"))

    def _show(self, name: str) -> Stanza | None:
        done = self._run("apt-cache", "show", "--no-all-versions", name, seconds=_ASK_SECONDS)
        return stanza(done.stdout) if done.returncode == 0 else None

    def _names(self) -> list[str]:
        return self._run(
            "apt-cache", "pkgnames", "linux-image-", seconds=_ASK_SECONDS
        ).stdout.split()

    def _run(self, *words: str, seconds: float) -> subprocess.CompletedProcess[str]:
        command = parent_death.tied(self._command(*words))
        return process.run(command, seconds=seconds, check=False, env=_environment())

    def _command(self, program: str, *words: str) -> list[str]:
        places = {
            "Dir::State": self._home,
            "Dir::State::Lists": self._home / "lists",
            "Dir::State::status": self._home / "status",
            "Dir::Cache": self._home / "cache",
        }
        if self.suite:
            places |= {
                "Dir::Etc::SourceList": self._home / "sources.list",
                "Dir::Etc::SourceParts": Path(os.devnull),
                # The machine's pins are for its own suites.
                "Dir::Etc::Preferences": Path(os.devnull),
                "Dir::Etc::PreferencesParts": Path(os.devnull),
            }
        options = [f"--option={key}={path}" for key, path in places.items()]
        if self._architecture:
            keys = ("APT::Architecture", "APT::Architectures")
            options += [f"--option={key}={self._architecture}" for key in keys]
        return [program, f"--config-file={self._home / 'apt.conf'}", *options, *words]


def _environment() -> dict[str, str]:
    return dict(os.environ) | {"LC_ALL": "C"}


def _index_targets() -> str:
    """Return a line for each of the machine's sources: origin, address, suite."""
    words = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(RELEASE)"]
    words.append("Created-By: Packages")
    return process.run(words, seconds=_ASK_SECONDS, check=False, env=_environment()).stdout


def distribution(targets: str) -> tuple[str, str]:
    """Return the address of the distribution's archive, and its origin.

    :param targets: what apt's sources are, a line each: origin, address, suite.  The origin
        is known only where the machine has lists.
    """
    rows = [row for line in targets.splitlines() if len(row := line.split()) == 3]
    for origin, address, suite in rows:
        name = address.rstrip("/").rpartition("/")[2]
        known = origin if origin in ("Debian", "Ubuntu") else name.capitalize()
        if known in ("Debian", "Ubuntu") and "security" not in f"{address} {suite}":
            return address, known
    return _MIRROR, "Debian"


def source_line(mirror: str, suite: str, keyring: Path | None) -> str:
    """Return a line of sources.list.

    :param keyring: the only keys that are trusted; None for those that apt trusts anyway.
    """
    option = f"[signed-by={keyring}] " if keyring else ""
    return f"deb {option}{mirror} {suite} main\n"


def stanza(text: str) -> Stanza:
    """Return the fields of the first package in apt-cache's output."""
    fields: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "\t")):
            fields[key] = value.strip()
    return fields


def parts(name: str, show: Callable[[str], Stanza | None]) -> tuple[Package, ...]:
    """Return the packages that make up a kernel; the one that names it comes first.

    :param name: a package, or NAME=VERSION.
    :param show: returns the fields of a package, None when there is none.
    :raises LabError: it has no kernel.
    """
    if name.partition("=")[0].endswith("-dbg"):
        raise LabError(
            f"--package: {name!r} has debug symbols, and no kernel", hint="leave out -dbg"
        )
    found: dict[str, Package] = {}
    waiting = [name]
    for asked in waiting:
        fields = show(asked)
        if fields is None or fields["Package"] in found:
            continue
        found[fields["Package"]] = _package(fields)
        waiting += _dependencies(fields)
        if split := _BINARY.fullmatch(fields["Package"]):
            waiting.append(f"linux-modules-{split[1]}={fields['Version']}")
    kernels = [package for package in found.values() if _PART.fullmatch(package.name)]
    images = [package for package in kernels if not package.name.startswith("linux-base")]
    if not images:
        raise LabError(
            f"--package: {name!r} has no kernel", hint="give one such as linux-image-amd64"
        )
    # linux-image-6.12-amd64 stands for the package that it depends on.
    named = [package for package in images if package.name.startswith("linux-image-")]
    first = (named or images)[-1 if named else 0]
    return (first, *(package for package in kernels if package is not first))


def _package(fields: Stanza) -> Package:
    size, installed = int(fields.get("Size", 0)), int(fields.get("Installed-Size", 0)) * 1024
    return Package(fields["Package"], fields["Version"], size, installed)


def _dependencies(fields: Stanza) -> list[str]:
    """Return the parts of a kernel that a package depends on, with their versions."""
    names = []
    for clause in fields.get("Depends", "").split(","):
        for alternative in clause.split("|"):
            found = _DEPENDENCY.match(alternative.strip())
            if found and _PART.fullmatch(found["name"]):
                version = f"={found['version']}" if found["version"] else ""
                names.append(found["name"] + version)
                break
    return names


def near_names(name: str, names: list[str]) -> list[str]:
    """Return names that a user may have meant, the nearest first."""
    bootable = [each for each in names if not each.endswith(("-dbg", "-template"))]
    return difflib.get_close_matches(name.partition("=")[0], bootable, n=_NEAR_NAMES)


def failure(output: str, suite: str, mirror: str) -> LabError:
    """Return the error that apt's messages stand for.

    :param output: what apt-get wrote to standard error.
    """
    source = f"{mirror} {suite}" if suite else "an apt source of this machine"
    if found := _UNSIGNED.search(output):
        return LabError(
            f"{source} is not signed by a key that this machine trusts ({found[0]})",
            hint="install a newer debian-archive-keyring, or choose another suite",
        )
    if suite and "does not have a Release file" in output:
        return UnknownPackage(
            f"--suite: {mirror} has no suite {suite!r}",
            hint="give one such as unstable, testing or bookworm-backports",
        )
    if "No space left on device" in output:
        return full_disk()
    errors = [line.removeprefix("E: ") for line in output.splitlines() if line.startswith("E: ")]
    reason = errors[0] if errors else "apt-get gave no reason"
    return Unreachable(f"apt-get cannot fetch: {reason}", hint="check the network and try again")


def full_disk() -> LabError:
    """Return the error of a cache that has no more room."""
    return LabError(
        "the disk of the lab's cache is full",
        hint="remove old kernels from it, or set CHAOSKERNEL_CACHE to another directory",
    )
