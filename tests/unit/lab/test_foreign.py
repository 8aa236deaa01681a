"""Guests of another architecture: their root, and what they see of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chaoskernel.errors import LabError
from chaoskernel.lab import apt, build, foreign, guest, script, stock, tools
from chaoskernel.lab import kernel as lab_kernel
from chaoskernel.lab.foreign import ARCHITECTURES
from chaoskernel.lab.kernel import Kernel, Wanted
from tests.unit.lab.log import Log

ARM64 = ARCHITECTURES["arm64"]
MAKES_A_ROOT = 'for word; do last=$word; done; mkdir -p "$last/usr/bin"; echo "$@" >"$FAKE/called"'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for what makes a root."""
    place = tmp_path / "bin"
    place.mkdir()
    for name, code in (("mmdebstrap", MAKES_A_ROOT), ("python", 'echo "$@" >"$FAKE/pip"')):
        (place / name).write_text(f"#!/bin/sh\nFAKE={tmp_path}\n{code}\n")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setattr(foreign.sys, "executable", str(place / "python"))  # type: ignore[attr-defined]
    return tmp_path


def test_a_root_has_packages_of_its_architecture_and_is_made_once(programs: Path) -> None:
    cache = programs / "cache"
    root = foreign.make(cache, ARM64, Log())
    assert root == foreign.directory(cache, ARM64)
    assert "--architectures=arm64" in (programs / "called").read_text()
    pip = (programs / "pip").read_text().split()
    assert "--platform=manylinux_2_17_aarch64" in pip
    assert "--only-binary=:all:" in pip
    assert "chaostoolkit" in pip
    for name in ("chaoskernel", "chaos", "pytest"):
        assert os.access(root / "usr/bin" / name, os.X_OK)
    (programs / "called").unlink()
    assert foreign.make(cache, ARM64, Log()) == root
    assert not (programs / "called").exists()


@pytest.mark.parametrize("program", ["mmdebstrap", "python"])
def test_a_root_that_cannot_be_made_leaves_nothing(programs: Path, program: str) -> None:
    said = "E: Unable to locate package x"
    (programs / "bin" / program).write_text(f"#!/bin/sh\necho '{said}' >&2; exit 1\n")
    cache = programs / "cache"
    with pytest.raises(LabError, match=f"{program} cannot make the guest's root: {said}"):
        foreign.make(cache, ARM64, Log())
    left = {path.suffix for path in (cache / "roots").iterdir()}
    assert left == {".lock"}


def test_each_directory_is_shown_once_and_has_a_place(tmp_path: Path) -> None:
    odd = Path("/cache/a=b~c/modules")
    given = [Path("/work/app/deep"), Path("/work/app"), odd, Path("/"), Path("/srv/x")]
    shown = foreign.shown(tmp_path, given)
    assert set(shown) == {Path("/work/app"), Path("/cache"), Path("/srv/x")}
    assert all((tmp_path / each.relative_to("/")).is_dir() for each in shown)


def kernel(root: Path) -> Kernel:
    (root / "etc").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    return Kernel(Path("/k/vmlinuz-6.12"), "6.12", None, "stock", architecture=ARM64, root=root)


def test_the_guest_has_its_own_root_and_sees_the_directories(tmp_path: Path) -> None:
    found = kernel(tmp_path / "root")
    job = script.Job(("true",), Path("/work"), shown=(Path("/work"),))
    line = guest.command_line(found, job, guest.Machine(), "tcg", Path("/tmp/mail"))
    assert "--arch=aarch64" in line
    assert f"--root={tmp_path}/root" in line
    assert "--rodir=/run/chaoskernel/host0=/work" in line
    assert [word for word in line if "overlay" in word] == ["--overlay-rwdir=/etc"]
    assert not [word for word in line if "uart8250" in word]
    assert "--kopt=console=hvc0" in line
    assert "--qemu-opt=file,id=kept,path=/tmp/mail/console.log" in line
    assert "--qemu-opt=max,pauth-impdef=on" in line
    lines = script.text(job, "dumb").splitlines()
    bound = lines.index("mkdir -p /work && mount --bind /run/chaoskernel/host0 /work")
    assert bound < lines.index("mount -t tmpfs -o mode=1777 tmpfs /tmp")


def test_it_is_emulated_without_trying(tmp_path: Path) -> None:
    assert guest.acceleration(kernel(tmp_path / "root"), tmp_path) == "tcg"


def test_a_kernel_of_another_architecture_is_the_distributions(tmp_path: Path) -> None:
    wanted = Wanted(architecture="arm64")
    assert wanted.is_stock
    assert wanted.choice.package == "linux-image-6.12-arm64"
    assert wanted.choice.source == "machine arm64"
    assert stock.cached(tmp_path, wanted.choice) is None


def put_in_store(cache: Path, package: str, architecture: str) -> None:
    directory = cache / "stock" / f"{package}_1"
    directory.mkdir(parents=True)
    facts = {"package": package, "version": "1", "release": "6", "architecture": architecture}
    (directory / "kernel.json").write_text(json.dumps(facts))


def test_a_kernel_in_the_cache_is_found_for_its_own_architecture_alone(tmp_path: Path) -> None:
    """By its package's full name too: another machine's kernel would not boot."""
    put_in_store(tmp_path, "linux-image-6-arm64", "arm64")
    put_in_store(tmp_path, "linux-image-6-amd64", "")
    for package, architecture in (("linux-image-6-arm64", ARM64), ("linux-image-6-amd64", None)):
        other = None if architecture else ARM64
        for name in (package, f"{package}=1"):
            found = stock.cached(tmp_path, stock.Choice((name,), architecture=architecture))
            assert found is not None
            assert found.package == package
            assert stock.cached(tmp_path, stock.Choice((name,), architecture=other)) is None


def test_a_machine_of_arm64_has_guests_of_arm64() -> None:
    assert foreign.default("aarch64") == "arm64"
    assert foreign.default("x86_64") == ""


def test_with_a_source_or_options_it_is_a_kernel_that_is_built(tmp_path: Path) -> None:
    for wanted in (
        Wanted("6.12", architecture="arm64"),
        Wanted("", "CONFIG_X=y\n", (), "", "arm64"),
    ):
        assert not wanted.is_stock
        assert lab_kernel.find(wanted, root=tmp_path) is None


def test_one_that_was_built_boots_on_a_root_of_its_own(tmp_path: Path) -> None:
    wanted = Wanted("6.12", architecture="arm64")
    options = build.fragment("", ARM64)
    source = build.find_source("6.12")
    home = build.directory(tmp_path, source or build.Source(Path("x"), "x"), options)
    home.mkdir(parents=True)
    facts = {"release": "6.12.1", "fragment": build.digest(options)}
    (home / build.RECORD).write_text(json.dumps(facts))
    assert lab_kernel.find(wanted, root=tmp_path) is None, "the root is missing still"
    root = foreign.directory(tmp_path, ARM64)
    root.mkdir(parents=True)
    found = lab_kernel.find(wanted, root=tmp_path)
    assert found is not None
    assert (found.architecture, found.root, found.origin) == (ARM64, root, "cached")
    assert lab_kernel.find(Wanted("6.12"), root=tmp_path) is None


def test_apt_is_asked_for_packages_of_the_architecture(tmp_path: Path) -> None:
    words = apt.Archive(tmp_path, architecture="arm64")._command("apt-get", "update")
    assert "--option=APT::Architecture=arm64" in words
    assert not [
        word for word in apt.Archive(tmp_path)._command("apt-get") if "Architecture" in word
    ]


def test_building_for_it_takes_a_cross_compiler_too() -> None:
    more = set(tools.build_needs(ARM64)) - set(tools.BUILD_NEEDS)
    assert {need.package for need in more} == {"gcc-aarch64-linux-gnu"}
    assert tools.build_needs(None) == tools.BUILD_NEEDS


def test_it_takes_the_emulator_of_the_architecture() -> None:
    names = {need.name for need in tools.needs(ARM64)}
    assert {"qemu-system-aarch64", "mmdebstrap"} <= names
    assert "qemu-system-x86_64" not in names
    assert tools.needs(None) == tools.BOOT_NEEDS


def test_a_record_is_written_last(programs: Path) -> None:
    root = foreign.make(programs / "cache", ARM64, Log())
    assert json.loads((root.parent / "root.json").read_text()) == {"suite": "bookworm"}
