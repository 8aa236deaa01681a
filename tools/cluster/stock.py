"""A distribution's own kernel for a machine that is a node.

Its drivers are modules, and the machine's disk has none: an initramfs loads those that a node
needs, and goes on with the disk.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from chaoskernel.lab import initramfs, kernel, tools, unpacked
from chaoskernel.lab.kernel import Kernel
from chaoskernel.lab.progress import Progress
from tools.cluster import disk

_MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng"),
    *("ext4", "9p", "9pnet_virtio", "overlay", "bridge", "veth"),
)

_INIT = f"""\
#!/bin/sh
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do
  insmod "$module"
done
until [ -b /dev/vda ]; do sleep 0.1; done
mount -t ext4 /dev/vda /root || exit 1
mount --move /dev /root/dev
exec switch_root /root {disk.INIT}
"""


def node_kernel(
    package: str, directory: Path, progress: Progress, architecture: str = ""
) -> Kernel:
    """Return a package's kernel, which boots a node's disk.

    :param architecture: such as arm64; empty for this machine's.
    :param directory: takes the initramfs; it lasts as long as the machine.
    :raises ChaosKernelError: it cannot be fetched, or lacks a driver.
    """
    wanted = kernel.Wanted(packages=(package,), architecture=architecture)
    found = kernel.find_or_build(progress, wanted)
    assert found.modules is not None
    base = found.modules.parents[2]
    modules = unpacked.modules_of(base, found.release, package, _MODULES)
    busybox = found.root / "bin/busybox" if found.root else tools.static_busybox()
    image = directory / "initramfs"
    image.write_bytes(initramfs.image(busybox, modules, _INIT))
    return dataclasses.replace(found, initramfs=image)
