"""A stock kernel is made ready once from its package, and kept under its version.

apt, dpkg-deb and kmod are stand-ins here; tests/e2e/test_lab.py boots what the real ones make.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from chaoskernel.errors import ChaosKernelError, LabError, MissingTool
from chaoskernel.lab import initramfs, stock, tools
from tests.unit.lab.log import Log

RELEASE = "6.1.0-56-amd64"
PACKAGE = f"linux-image-{RELEASE}"
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "virtio_console", "overlay")

# Each stand-in writes down how it was called; what it answers is in files.
PROGRAMS = {
    "apt-get": """
for word; do case $word in update|download|indextargets) verb=$word ;; esac; done
echo "$verb" >>"$FAKE/calls"
if [ -e "$FAKE/$verb.err" ]; then cat "$FAKE/$verb.err" >&2; exit 100; fi
[ "$verb" = download ] || exit 0
for word; do case $word in linux-*=*) : >"${word%%=*}.deb" ;; esac; done
""",
    "apt-cache": """
for word; do last=$word; done
case "$*" in *pkgnames*) ls "$FAKE/show"; exit ;; esac
cat "$FAKE/show/${last%%=*}" 2>/dev/null || exit 100
""",
    "dpkg-deb": """
case $1 in
--show)
  if [ -e "$FAKE/show.err" ]; then cat "$FAKE/show.err" >&2; exit 2; fi
  printf 'linux-image-local\\t9.9' ;;
--extract)
  if [ -e "$FAKE/extract.err" ]; then cat "$FAKE/extract.err" >&2; exit 2; fi
  file=${2##*/}; cp -a "$FAKE/content/${file%.deb}/." "$3" ;;
esac
""",
    "depmod": "exit 0",
    "modprobe": """
while [ $# -gt 1 ]; do
  case $1 in -d) base=$2 ;; -S) release=$2 ;; esac
  shift
done
file=$base/lib/modules/$release/kernel/$1.ko
if [ -e "$file" ]; then echo "insmod $file "; exit; fi
grep -q "/$1.ko" "$base/lib/modules/$release/modules.builtin" 2>/dev/null && echo "builtin $1"
""",
}
STATIC_ELF = b"\x7fELF\x02" + bytes(59)


class Machine:
    """A machine with stand-ins for its programs, and a cache."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.cache = top / "cache"
        self.log = Log("MB")
        (top / "bin").mkdir()
        for name, script in PROGRAMS.items():
            program = top / "bin" / name
            program.write_text(f"#!/bin/sh\nFAKE={top}\n{script}")
            program.chmod(0o755)
        (top / "bin/busybox").write_bytes(STATIC_ELF)
        (top / "bin/busybox").chmod(0o755)
        self.publish("linux-image-amd64", f"Depends: {PACKAGE} (= 1-1)")
        self.publish(PACKAGE, "Size: 70000000\nInstalled-Size: 400000\nDepends: kmod")
        self.fill(PACKAGE, f"boot/vmlinuz-{RELEASE}", f"boot/config-{RELEASE}")
        self.fill(PACKAGE, *(f"lib/modules/{RELEASE}/kernel/{name}.ko" for name in MODULES))

    def publish(self, name: str, fields: str, version: str = "1-1") -> None:
        place = self.top / "show" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"Package: {name}\nVersion: {version}\n{fields}\n")

    def fill(self, package: str, *files: str, text: str = "x") -> None:
        for file in files:
            place = self.top / "content" / package / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def fails(self, program: str, output: str) -> None:
        (self.top / f"{program}.err").write_text(output)

    def calls(self) -> list[str]:
        return (self.top / "calls").read_text().split()

    def fetch(self, *names: str, suite: str = "") -> stock.Ready:
        return stock.fetch(self.cache, stock.Choice(names, suite), self.log)

    def cached(self, *names: str, suite: str = "") -> stock.Ready | None:
        return stock.cached(self.cache, stock.Choice(names, suite))

    def left(self) -> set[str]:
        """Return what is in the store, save for locks."""
        found = (self.cache / "stock").glob("*")
        return {path.name for path in found if path.suffix != ".lock"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr("chaoskernel.lab.parent_death.tied", list)
    return made


def test_a_kernel_is_laid_out_as_virtme_ng_and_the_guest_want_it(machine: Machine) -> None:
    ready = machine.fetch("linux-image-amd64")
    assert (ready.package, ready.version, ready.release) == (PACKAGE, "1-1", RELEASE)
    assert (ready.directory / f"boot/vmlinuz-{RELEASE}").read_text() == "x"
    assert (ready.directory / f"modules/lib/modules/{RELEASE}/kernel/9p.ko").exists()
    assert (ready.directory / f"modules/lib/modules/{RELEASE}/config").exists()
    assert (ready.directory / "boot/initramfs").read_bytes().startswith(b"070701")
    shown = ready.directory / "lib/modules" / RELEASE
    assert [path.name for path in shown.iterdir()] == ["modules.dep"]
    assert machine.left() == {f"{PACKAGE}_1-1"}
    assert not list((machine.cache / "apt").glob("*/download"))


def test_the_download_is_reported_with_its_size(machine: Machine) -> None:
    machine.fetch("linux-image-amd64")
    assert f"downloading {PACKAGE} 1-1, 70 MB" in machine.log.phases


def test_it_is_found_again_without_asking_by_either_name(machine: Machine) -> None:
    ready = machine.fetch("linux-image-amd64")
    for name in ("linux-image-amd64", PACKAGE, f"{PACKAGE}=1-1"):
        assert machine.cached(name) == ready
    assert machine.cached(f"{PACKAGE}=2-1") is None
    assert machine.cached("linux-image-amd64", suite="unstable") is None


def test_a_newer_version_is_taken_and_the_old_one_stays(machine: Machine) -> None:
    old = machine.fetch("linux-image-amd64")
    newer = "linux-image-6.1.0-57-amd64"
    machine.publish("linux-image-amd64", f"Depends: {newer} (= 2-1)", "2-1")
    machine.publish(newer, "Size: 1", "2-1")
    machine.fill(newer, "boot/vmlinuz-6.1.0-57-amd64")
    machine.fill(newer, *(f"lib/modules/6.1.0-57-amd64/kernel/{name}.ko" for name in MODULES))
    assert machine.cached("linux-image-amd64") == old
    new = machine.fetch("linux-image-amd64")
    assert (new.package, new.version) == (newer, "2-1")
    assert machine.cached("linux-image-amd64") == new
    assert machine.cached(PACKAGE) == old
    assert {each.package for each in stock.everything(machine.cache)} == {PACKAGE, newer}


def test_what_the_cache_has_is_not_downloaded_again(machine: Machine) -> None:
    machine.fetch("linux-image-amd64")
    machine.fetch("linux-image-amd64")
    assert machine.calls() == ["update", "download", "update"]


def test_a_split_kernel_is_put_together(machine: Machine) -> None:
    release = "7.2.13+deb14-amd64"
    parts = [f"linux-{kind}-{release}" for kind in ("base", "binary", "modules")]
    depends = ", ".join(f"{part} (= 1-1)" for part in parts)
    machine.publish("linux-image-amd64", f"Depends: linux-image-{release} (= 1-1)")
    for name in (f"linux-image-{release}", *parts):
        machine.publish(name, f"Depends: {depends}")
        (machine.top / "content" / name).mkdir()
    modules = f"usr/lib/modules/{release}"
    machine.fill(parts[0], f"{modules}/config")
    machine.fill(parts[0], f"{modules}/modules.builtin", text="kernel/fs/overlay.ko\n")
    machine.fill(parts[1], f"{modules}/vmlinuz")
    machine.fill(parts[2], *(f"{modules}/kernel/{name}.ko" for name in MODULES[:-1]))
    ready = machine.fetch(suite="unstable")
    assert (ready.package, ready.release) == (f"linux-image-{release}", release)
    found = ready.directory / "modules/lib/modules" / release
    assert {path.name for path in found.iterdir()} == {
        *("build", "config", "kernel", "modules.builtin"),
    }
    assert (ready.directory / f"boot/vmlinuz-{release}").exists()


def test_the_modules_of_the_boot_are_loaded_in_the_order_of_kmod(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def image(_busybox: Path, modules: list[Path]) -> bytes:
        loaded.extend(module.stem for module in modules)
        return b""

    monkeypatch.setattr(initramfs, "image", image)
    machine.fetch("linux-image-amd64")
    assert loaded == list(MODULES)


def test_a_cloud_kernel_is_refused_by_what_it_lacks(machine: Machine) -> None:
    release = "6.1.0-56-cloud-amd64"
    package = f"linux-image-{release}"
    machine.publish(package, "Size: 1")
    machine.fill(package, f"boot/vmlinuz-{release}")
    machine.fill(package, f"lib/modules/{release}/kernel/overlay.ko")
    machine.fill(
        package,
        f"lib/modules/{release}/modules.builtin",
        text="kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/char/virtio_console.ko\n",
    )
    with pytest.raises(
        LabError, match=rf"{package} lacks 9pnet_virtio, 9p, .*; a cloud .* give {PACKAGE}$"
    ):
        machine.fetch(package)
    assert machine.left() == set()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "linux-image-amd65",
            r"no package 'linux-image-amd65' in this machine's apt sources; near names: linux-",
        ),
        ("zsh", "no package 'zsh' in .*; give one such as linux-image-amd64"),
    ],
)
def test_an_unknown_package_is_reported_with_near_names(
    machine: Machine, name: str, message: str
) -> None:
    with pytest.raises(LabError, match=message):
        machine.fetch(name)


def test_a_failed_source_stops_nothing_that_another_one_has(machine: Machine) -> None:
    machine.fails("update", "E: The repository 'http://x InRelease' is not signed.\n")
    assert machine.fetch("linux-image-amd64").release == RELEASE
    assert any("without one of the apt sources" in phase for phase in machine.log.phases)
    with pytest.raises(LabError, match="not signed"):
        machine.fetch("linux-image-other")


def test_another_suite_without_a_valid_signature_is_refused(machine: Machine) -> None:
    machine.fails("update", "E: The repository 'http://x unstable InRelease' is not signed.\n")
    with pytest.raises(LabError, match="not signed by a key that this machine trusts"):
        machine.fetch(suite="unstable")
    assert "trusted=" not in (machine.cache / "apt/unstable/sources.list").read_text()


def test_without_the_network_the_cached_kernel_is_kept(machine: Machine) -> None:
    ready = machine.fetch(suite="unstable")
    machine.fails("update", "E: Failed to fetch http://x  Could not resolve 'x'\n")
    assert machine.fetch(suite="unstable") == ready
    assert any(phase.startswith("keeping ") for phase in machine.log.phases)
    with pytest.raises(LabError, match="check the network"):
        machine.fetch(suite="testing")


@pytest.mark.parametrize(
    ("program", "output", "message"),
    [
        ("download", "E: Failed to fetch http://x  404  Not Found\n", "404 Not Found"),
        ("download", "E: write (28: No space left on device)\n", "disk of the lab's cache is full"),
        ("extract", "tar: a: Cannot write: No space left on device\n", "cache is full"),
        ("extract", "dpkg-deb: error: not a Debian format archive\n", "not a Debian format"),
    ],
)
def test_a_failure_leaves_no_kernel(
    machine: Machine, program: str, output: str, message: str
) -> None:
    machine.fails(program, output)
    with pytest.raises(LabError, match=message) as caught:
        machine.fetch("linux-image-amd64")
    assert caught.value.hint
    assert machine.left() == set()
    assert not list((machine.cache / "apt").glob("*/download"))
    assert machine.cached("linux-image-amd64") is None


def test_an_unfinished_kernel_is_not_taken_and_is_made_anew(machine: Machine) -> None:
    ready = machine.fetch("linux-image-amd64")
    (ready.directory / "kernel.json").unlink()
    (machine.cache / "stock" / f"{ready.directory.name}.partial").mkdir()
    assert machine.cached("linux-image-amd64") is None
    assert stock.everything(machine.cache) == []
    assert machine.fetch("linux-image-amd64") == ready
    assert machine.left() == {ready.directory.name}


def test_a_disk_without_room_is_reported_before_the_download(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(machine.top)._replace(free=300_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(LabError, match=r"needs 5\d\d MB in .*, which has 300 MB; remove old"):
        machine.fetch("linux-image-amd64")
    assert "download" not in machine.calls()


def test_a_file_is_known_by_its_content(machine: Machine) -> None:
    file = machine.top / f"{PACKAGE}.deb"
    file.write_text("one")
    ready = machine.fetch(str(file))
    assert (ready.package, ready.version, ready.release) == ("linux-image-local", "9.9", RELEASE)
    assert machine.cached(str(file)) == ready
    file.write_text("two")
    assert machine.cached(str(file)) is None
    assert machine.fetch(str(file)).directory != ready.directory


def test_a_split_kernel_may_be_given_as_files_and_a_missing_one_is_asked_for(
    machine: Machine,
) -> None:
    modules = "usr/lib/modules/7.2"
    machine.fill("linux-binary", f"{modules}/vmlinuz.unsigned")
    machine.fill("linux-modules", *(f"{modules}/kernel/{name}.ko" for name in MODULES[1:]))
    machine.fill("linux-base", f"{modules}/modules.builtin", text="kernel/virtio_pci.ko\n")
    files = []
    for name in ("linux-binary", "linux-modules", "linux-base"):
        (machine.top / f"{name}.deb").touch()
        files.append(str(machine.top / f"{name}.deb"))
    for missing, given in (("kernel", files[:1]), ("modules.builtin", files[:2])):
        with pytest.raises(LabError, match=f"'{missing}' is in another package; repeat --package"):
            machine.fetch(*given)
    assert machine.fetch(*files).release == "7.2"


def test_a_file_without_a_kernel_is_refused(machine: Machine) -> None:
    machine.fill("tool", "usr/bin/tool")
    file = machine.top / "tool.deb"
    file.touch()
    with pytest.raises(LabError, match="linux-image-local has no kernel image; give one"):
        machine.fetch(str(file))


def test_a_file_that_is_no_package_is_refused(machine: Machine) -> None:
    machine.fails("show", "dpkg-deb: error: 'x' is not a Debian format archive\n")
    file = machine.top / "x.deb"
    file.touch()
    with pytest.raises(LabError, match=r"--package: .*x\.deb is not a Debian package; give"):
        machine.fetch(str(file))


@pytest.mark.parametrize("damage", ["{", "[]", json.dumps({"package": "a"})])
def test_a_damaged_record_is_no_kernel(machine: Machine, damage: str) -> None:
    ready = machine.fetch("linux-image-amd64")
    (ready.directory / "kernel.json").write_text(damage)
    assert machine.cached("linux-image-amd64") is None


def test_a_machine_without_apt_can_still_take_a_file(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = shutil.which
    absent = ("apt-get", "apt-cache")
    monkeypatch.setattr(
        shutil, "which", lambda name, **more: None if name in absent else which(name, **more)
    )
    file = machine.top / f"{PACKAGE}.deb"
    file.touch()
    assert machine.fetch(str(file)).release == RELEASE
    with pytest.raises(MissingTool, match=r"lacks apt-get.*; give --package the path of a \.deb"):
        machine.fetch("linux-image-amd64")


def test_a_machine_without_a_static_busybox_is_told_the_package() -> None:
    def linked(place: str) -> str | None:
        return "/bin/sh" if place == "busybox" else None

    with pytest.raises(MissingTool, match="run: apt-get install busybox-static"):
        tools.static_busybox(linked)
    assert tools.is_static(STATIC_ELF)
    assert not tools.is_static(b"#!/bin/sh\n")


def test_every_error_here_is_one_of_the_packages(machine: Machine) -> None:
    machine.fails("extract", "")
    with pytest.raises(ChaosKernelError, match="gave no reason"):
        machine.fetch("linux-image-amd64")
