"""A machine that is a node: what it is started with, and when its disk is another."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from chaoskernel.lab.foreign import ARCHITECTURES
from chaoskernel.lab.kernel import Kernel
from tools.cluster import disk
from tools.cluster.machine import command_line, kubelet_settings

KERNEL = Kernel(Path("/kernels/vmlinuz"), "6.1.0", None, "cached")


def test_emulated_processors_take_turns() -> None:
    emulated = command_line(KERNEL, Path("/place"), "machine1", "tcg")
    assert emulated[emulated.index("-accel") + 1] == "tcg,thread=single"
    on_hardware = command_line(KERNEL, Path("/place"), "machine1", "kvm")
    assert on_hardware[on_hardware.index("-accel") + 1] == "kvm"


def test_a_machine_has_its_disk_and_no_network_but_its_tap() -> None:
    line = command_line(KERNEL, Path("/place"), "machine1", "tcg")
    assert "file=/place/disk,if=virtio,format=raw" in line
    assert line.count("-netdev") == 1
    assert "-nodefaults" in line
    assert "tap,id=net,ifname=machine1,script=no,downscript=no" in line


def test_a_machine_of_another_architecture_has_its_emulator_and_console() -> None:
    arm64 = dataclasses.replace(KERNEL, architecture=ARCHITECTURES["arm64"])
    line = command_line(arm64, Path("/place"), "machine2", "tcg")
    assert line[0].endswith("qemu-system-aarch64")
    assert line[line.index("-machine") + 1] == "virt"
    assert "console=ttyAMA0" in line[line.index("-append") + 1].split()


def test_its_kubelet_sets_what_its_kernel_is_to_be() -> None:
    found = json.loads(kubelet_settings(Path("/run/node")))
    assert found["protectKernelDefaults"] is False
    assert found["tlsCertFile"] == "/run/node/kubelet.crt"
    assert found["authentication"]["x509"]["clientCAFile"] == "/run/node/authority.crt"


def test_another_image_makes_another_disk(tmp_path: Path) -> None:
    kubelet, image = tmp_path / "kubelet", tmp_path / "image.tar"
    kubelet.write_text("kubelet")
    image.write_text("one")
    before = disk.digest([kubelet, image])
    assert disk.digest([kubelet, image]) == before
    image.write_text("two")
    assert disk.digest([kubelet, image]) != before
