"""The initramfs is an archive that the kernel can unpack."""

from __future__ import annotations

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from chaoskernel.lab import initramfs

Files = dict[str, tuple[int, bytes]]


def unpacked(archive: bytes) -> Files:
    """Return mode and content of each file of a `newc` archive, in order."""
    files: Files = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + length - 1].decode()
        data = (at + 110 + length + 3) // 4 * 4
        at = (data + size + 3) // 4 * 4
        if name == "TRAILER!!!":
            assert at == len(archive)
            return files
        files[name] = (mode, archive[data : data + size])


@pytest.fixture
def busybox(tmp_path: Path) -> Path:
    path = tmp_path / "busybox"
    path.write_bytes(b"odd")
    return path


def test_it_has_busybox_under_the_names_that_init_calls(busybox: Path) -> None:
    files = unpacked(initramfs.image(busybox, []))
    assert files["bin/busybox"] == (0o100755, b"odd")
    mode, script = files["init"]
    assert mode == 0o100755
    called = {"cat", "insmod", "mount", "sh", "switch_root", "umount"}
    for name in called:
        assert files[f"bin/{name}"] == (0o120777, b"busybox")
        assert name in script.decode()


def test_modules_keep_their_order_and_are_unpacked(tmp_path: Path, busybox: Path) -> None:
    content = {
        "zeta.ko": b"first",
        "beta.ko.xz": lzma.compress(b"second"),
        "alpha.ko.gz": gzip.compress(b"third"),
    }
    modules = []
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
        modules.append(tmp_path / name)
    files = unpacked(initramfs.image(busybox, modules))
    loaded = {name: data for name, (_, data) in files.items() if name.startswith("modules/")}
    assert loaded == {
        "modules/000-zeta.ko": b"first",
        "modules/001-beta.ko": b"second",
        "modules/002-alpha.ko": b"third",
    }
    assert list(loaded) == sorted(loaded)


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd here")
def test_a_module_may_be_packed_with_zstd(tmp_path: Path, busybox: Path) -> None:
    plain = tmp_path / "a.ko"
    plain.write_bytes(b"module")
    subprocess.run(["zstd", "-q", "--rm", str(plain)], check=True)
    files = unpacked(initramfs.image(busybox, [tmp_path / "a.ko.zst"]))
    assert files["modules/000-a.ko"][1] == b"module"


def test_init_takes_the_last_flags_of_the_root(tmp_path: Path, busybox: Path) -> None:
    script = unpacked(initramfs.image(busybox, []))["init"][1].decode()
    choose = script[script.index("for word") : script.index("for module")]
    line = tmp_path / "cmdline"
    line.write_text("quiet rootflags=a=1 ro rootflags=a=2,b=c init=/bin/sh -- -c 'x y'\n")
    choose = choose.replace("/proc/cmdline", str(line))
    told = subprocess.run(
        ["sh", "-c", f'{choose}\necho "$flags $init"'], capture_output=True, text=True, check=True
    )
    assert told.stdout == "a=2,b=c /bin/sh\n"
