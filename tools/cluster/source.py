"""Kubernetes itself, built from the distribution's source package, once.

Debian has the client alone as a binary package; the servers are in its source.  A finished build is
a directory of five programs in the cache; the tree that they were built in is removed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import LabError, MissingTool, TimeLimit
from chaoskernel.lab import cache, parent_death
from chaoskernel.lab.foreign import Architecture
from chaoskernel.lab.progress import Progress

VERSION = "1.20.2"
"""What bookworm's package has in it, under another name."""

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
_OF_NODES = ("kubelet",)

_GO = Path("/usr/lib/go-1.19/bin/go")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_IMPORT_PATH = "k8s.io/kubernetes"

_FETCH_SECONDS = 600
_BUILD_SECONDS = 3600
_TIMED_OUT = 124  # the exit status of timeout(1)

# Neither clouds nor Docker: a third of the code.
_TAGS = "providerless,dockerless"
_VERSION_VARIABLES = [
    f"{_IMPORT_PATH}/vendor/k8s.io/{package}.gitVersion=v{VERSION}"
    for package in ("component-base/version", "client-go/pkg/version")
]
# Packages of Go that the five programs are made of.
_EXPECTED_PACKAGES = 1920
_PACKAGE = re.compile(r"[\w.-]+(/[\w.~-]+)*")


def binaries(
    progress: Progress, root: Path | None = None, architecture: Architecture | None = None
) -> Path:
    """Return the directory of the programs; build them when they are not there.

    :param root: the cache directory; the user's own when None.
    :param architecture: of another machine than this one, which gets what a node needs alone.
    :raises MissingTool: the compiler is not installed.
    :raises LabError: the source cannot be had, or does not compile.
    :raises TimeLimit: the build took too long.
    """
    name = f"{VERSION}-{architecture.name}" if architecture else VERSION
    home = (cache.root() if root is None else root) / "kubernetes" / name
    target = home / "bin"
    if target.exists():
        return target
    if not _GO.exists():
        raise MissingTool(
            "Kubernetes is built with Go 1.19",
            hint="run: tools/packages tools/cluster/packages.txt",
        )
    with cache.lock(
        home.with_suffix(".lock"),
        seconds=_BUILD_SECONDS,
        on_wait=lambda: progress.phase("waiting for another build of Kubernetes"),
    ):
        if not target.exists():
            _build(home, target, progress, architecture)
    return target


def _build(home: Path, target: Path, progress: Progress, architecture: Architecture | None) -> None:
    """Build, or go on where an interrupted build stopped: Go keeps what it has compiled."""
    gopath = home / "go"
    tree = gopath / "src" / _IMPORT_PATH
    if not tree.exists():
        progress.phase("fetching the source of Kubernetes")
        _unpack(_fetch(home / "source"), tree)
    log = home / "build.log"
    log.write_text("", encoding="utf-8")
    compiler = _Compiler(gopath, tree, log, progress, architecture)
    if not architecture and not (tree / _OPENAPI).exists():
        progress.phase("generating Kubernetes' description of its API")
        _generate(compiler, tree, home)
    progress.phase(f"compiling Kubernetes {VERSION}; the log is {log}")
    partial = home / "bin.partial"
    partial.mkdir(exist_ok=True)
    flags = " ".join(["-s", "-w", *(f"-X {variable}" for variable in _VERSION_VARIABLES)])
    wanted = [f"./cmd/{name}" for name in (_OF_NODES if architecture else PROGRAMS)]
    compiler.build(["-tags", _TAGS, "-ldflags", flags, "-o", f"{partial}/", *wanted])
    partial.rename(target)
    for done in ("go", "source", "gocache"):
        shutil.rmtree(home / done, ignore_errors=True)


def _fetch(place: Path) -> Path:
    """Download the source package; apt keeps its state beside it, and the machine's own as it is.

    :returns: its description (.dsc).
    :raises LabError: it cannot be had.
    """
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (place / directory).mkdir(parents=True, exist_ok=True)
    sources = place / "sources.list"
    sources.write_text(f"deb-src [signed-by={_KEYRING}] {_mirror()} bookworm main\n", "utf-8")
    apt = [
        "apt-get",
        *("--quiet=2", "-o", f"Dir::State={place}/state", "-o", f"Dir::Cache={place}/cache"),
        *("-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null"),
        *("-o", "APT::Sandbox::User=root"),
    ]
    _run([*apt, "update"], cwd=place)
    _run([*apt, "source", "--download-only", "kubernetes"], cwd=place)
    found = sorted(place.glob(f"kubernetes_*{VERSION}-*.dsc"))
    if not found:
        there = ", ".join(path.name for path in place.glob("*.dsc")) or "nothing"
        raise LabError(
            f"the source package kubernetes is not version {VERSION}: {there} was fetched",
            hint="set VERSION in tools/cluster/source.py",
        )
    return found[-1]


def _mirror() -> str:
    """Return where this machine has its Debian packages from."""
    query = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)"]
    listed = process.run(query, seconds=60, check=False).stdout.splitlines()
    for line in listed:
        codename, _, uri = line.partition(" ")
        if codename == "bookworm":
            return uri
    return "http://deb.debian.org/debian/"


def _unpack(description: Path, tree: Path) -> None:
    partial = tree.with_name("partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    # apt has checked the signature of what it fetched.
    _run(["dpkg-source", "--no-check", "--extract", str(description), str(partial)])
    partial.rename(tree)


_OPENAPI = Path("pkg/generated/openapi/zz_generated.openapi.go")


def _generate(compiler: _Compiler, tree: Path, home: Path) -> None:
    """Make the one generated file that the release's archive leaves out.

    The packages are those of the project's own build/root/Makefile.generated_files.
    """
    generator = home / "go/openapi-gen"
    compiler.build(["-o", str(generator), "./vendor/k8s.io/kube-openapi/cmd/openapi-gen"])
    packages = ",".join(f"{_IMPORT_PATH}/{package}" for package in described(tree))
    compiler.run(
        [
            *(str(generator), "--logtostderr", "--input-dirs", packages),
            *("--output-package", f"{_IMPORT_PATH}/{_OPENAPI.parent}"),
            *("--output-file-base", _OPENAPI.stem, "--output-base", str(home / "go/src")),
            *("--go-header-file", "hack/boilerplate/boilerplate.generatego.txt"),
            *("--report-filename", str(home / "go/api-violations")),
        ]
    )


def described(tree: Path) -> list[str]:
    """Return the packages whose types are described to clients."""
    tops = [tree / "pkg", tree / "cmd", *sorted((tree / "vendor/k8s.io").iterdir())]
    without = ("code-generator", "sample-apiserver")
    files = (file for top in tops if top.name not in without for file in _go_files(top))
    marked = {file.parent for file in files if b"+k8s:openapi-gen=" in file.read_bytes()}
    return sorted(str(package.relative_to(tree)) for package in marked)


def _go_files(top: Path) -> Iterable[Path]:
    # vendor/k8s.io has links to staging: their names are what counts.
    for directory, below, names in os.walk(top):
        below[:] = [name for name in below if name not in ("testdata", "_examples")]
        yield from (Path(directory, name) for name in names if name.endswith(".go"))


class _Compiler:
    """Go, in a tree that is a workspace of its own."""

    def __init__(
        self,
        gopath: Path,
        tree: Path,
        log: Path,
        progress: Progress,
        architecture: Architecture | None = None,
    ) -> None:
        self._tree = tree
        self._log = log
        self._progress = progress
        self._environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GO111MODULE": "off",
            "GOCACHE": str(gopath.parent / "gocache"),
            "GOFLAGS": "",
            "GOPATH": str(gopath),
            "PATH": f"{_GO.parent}:{os.environ.get('PATH', '')}",
            **({"GOARCH": architecture.name} if architecture else {}),
        }

    def build(self, arguments: list[str]) -> None:
        """Compile, and count the packages.

        :raises LabError: it does not compile.
        :raises TimeLimit: it took too long.
        """
        self.run([str(_GO), "build", "-v", *arguments])

    def run(self, command: list[str]) -> None:
        """Run a command in the tree, with what it prints in the log."""
        limited = ["timeout", str(_BUILD_SECONDS), "nice", "-n", "5", *command]
        done = 0
        last = "it gave no reason"
        with (
            self._log.open("a", encoding="utf-8") as log,
            process.spawn(
                parent_death.tied(limited),
                cwd=self._tree,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            ) as child,
        ):
            assert child.stdout
            for line in child.stdout:
                log.write(line)
                if _PACKAGE.fullmatch(line.strip()):
                    done += 1
                    self._progress.advance(done, max(done, _EXPECTED_PACKAGES))
                elif line.strip():
                    last = line.strip()
            status = child.wait()
        if status == _TIMED_OUT:
            raise TimeLimit(f"building Kubernetes took longer than {_BUILD_SECONDS} s")
        if status != 0:
            raise LabError(f"Kubernetes could not be built: {last}", hint=f"see {self._log}")


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = process.run(parent_death.tied(command), cwd=cwd, seconds=_FETCH_SECONDS, check=False)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it gave no reason"]
        raise LabError(f"{command[0]} failed: {last[0]}", hint="is Debian's mirror reachable?")
