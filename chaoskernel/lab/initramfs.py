"""Writes an initramfs that loads a few modules and mounts virtme-ng's root over 9p.

virtme-ng can write one too, but its own ignores the root flags: it mounts the root without
a cache, and every read goes to the host.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from chaoskernel.errors import LabError, MissingTool

_UNPACK_SECONDS = 60.0

# The kernel hands /init whatever virtme-ng put behind `--` on the command line.
_INIT = """\
#!/bin/sh
mount -t proc proc /proc
for word in $(cat /proc/cmdline); do
  case "$word" in
    init=*) init=${word#init=} ;;
    rootflags=*) flags=${word#rootflags=} ;;
  esac
done
for module in /modules/*; do
  insmod "$module"
done
mount -n -t 9p -o "ro,$flags" /dev/root /root || exit 1
umount /proc
exec switch_root /root "$init" "$@"
"""
_APPLETS = ("cat", "insmod", "mount", "sh", "sleep", "switch_root", "umount")
_DIRECTORIES = ("bin", "dev", "modules", "proc", "root")


def image(busybox: Path, modules: Sequence[Path], init: str = _INIT) -> bytes:
    """Return a cpio archive for the kernel to unpack.

    :param busybox: a static one.
    :param modules: in the order of loading; compressed ones are unpacked.
    :param init: the script that is run; it finds the modules in /modules, and has `_APPLETS`.
    """
    entries = [_entry(name, stat.S_IFDIR | 0o755) for name in _DIRECTORIES]
    entries.append(_entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    entries.append(_entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()))
    entries += [_entry(f"bin/{name}", stat.S_IFLNK | 0o777, b"busybox") for name in _APPLETS]
    for number, module in enumerate(modules):
        # The shell expands /modules/* in the order of the names.
        name = f"modules/{number:03}-{module.name.partition('.ko')[0]}.ko"
        entries.append(_entry(name, stat.S_IFREG | 0o644, _unpacked(module)))
    entries.append(_entry("init", stat.S_IFREG | 0o755, init.encode()))
    entries.append(_entry("TRAILER!!!", 0))
    return b"".join(entries)


def _entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one file of an archive in the format `newc`."""
    path = name.encode() + b"\0"
    links, nothing = 1, 0
    numbers = (
        *(nothing, mode, nothing, nothing, links, nothing, len(data)),
        *(nothing, nothing, *device, len(path), nothing),
    )
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _unpacked(module: Path) -> bytes:
    packed = module.read_bytes()
    match module.suffix:
        case ".xz":
            return lzma.decompress(packed)
        case ".gz":
            return gzip.decompress(packed)
        case ".zst":
            return _zstd(packed, module)
    return packed


def _zstd(packed: bytes, module: Path) -> bytes:
    if shutil.which("zstd") is None:
        raise MissingTool("the lab lacks zstd", hint="run: apt-get install zstd")
    done = subprocess.run(
        ["zstd", "--decompress", "--stdout"],
        input=packed,
        capture_output=True,
        check=False,
        timeout=_UNPACK_SECONDS,
    )
    if done.returncode != 0:
        raise LabError(f"zstd cannot unpack {module.name}", hint="fetch the package again")
    return done.stdout
