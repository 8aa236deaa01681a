"""A virtual machine of the lab as a node: its kernel can be made to fail, and its power be cut."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaoskernel.lab import build, guest, kernel, parent_death, tools
from chaoskernel.lab.accel import Acceleration
from chaoskernel.lab.kernel import Kernel
from chaoskernel.lab.progress import Progress
from tools.cluster import disk, images, settings, source, spaces
from tools.cluster.certificates import Pair
from tools.cluster.control import ControlPlane
from tools.cluster.daemon import Daemon
from tools.cluster.lifetime import Lifetime

MEMORY = "2G"

_LINE = f"root=/dev/vda rw init={disk.INIT} loglevel=5 mitigations=off panic=-1"
_SHARE = "security_model=none,multidevs=remap"
_READY_SECONDS = 300.0
_SHARED = Path("/run/node")
"""Where the machine finds what is written for it here."""


class Machine(Lifetime):
    """A node that is a virtual machine, from entering this context to leaving it.

    It dies with the thread that started it.

    :param plane: which it joins.
    :param number: its addresses follow from it, as a Node's do.
    :param booted: its kernel.
    :param archives: images that its containerd has.
    :param directory: where its disk is, and what it says; it is made.
    """

    def __init__(
        self,
        plane: ControlPlane,
        name: str,
        number: int,
        booted: Kernel,
        archives: Sequence[Path],
        directory: Path,
        *,
        progress: Progress,
    ) -> None:
        self.name = name
        self.address = spaces.address(10 + number)
        self.directory = directory
        self._pods = f"10.64.{number}.0/24"
        self._plane = plane
        self._archives = archives
        self._progress = progress
        self._tap = f"machine{number}"
        self._architecture = booted.architecture
        line = command_line(booted, directory, self._tap, guest.acceleration(booted))
        self._qemu = Daemon(f"machine {name}", parent_death.tied(line), directory / "console.log")

    def _begin(self, undo: contextlib.ExitStack) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        image = self.directory / "disk"
        undo.callback(image.unlink, missing_ok=True)
        foreign = self._architecture
        programs = self._plane.programs
        if foreign:
            programs = source.binaries(self._progress, architecture=foreign)
        kubelet = programs / "kubelet"
        disk.copy(kubelet, self._archives, image, self._progress, architecture=foreign)
        self._describe()
        spaces.run("ip", "tuntap", "add", "dev", self._tap, "mode", "tap")
        undo.callback(spaces.run, "ip", "link", "delete", self._tap)
        spaces.run("ip", "link", "set", "dev", self._tap, "master", spaces.BRIDGE, "up")
        spaces.run("ip", "route", "replace", self._pods, "via", self.address)
        undo.callback(self.stop)
        self.start()

    def start(self) -> None:
        """Switch it on."""
        self._progress.phase(f"booting {self.name}")
        self._qemu.start()

    def stop(self) -> None:
        """Cut its power: what it has not written to its disk by now is lost."""
        self._qemu.stop(grace=0)

    def await_ready(self, *, after: str = "") -> None:
        """Wait until the cluster knows it as ready.

        :param after: the id of a boot before the one that is meant.
        :raises LabError: it has ended, for what its kernel says last.
        :raises TimeLimit: it took too long.
        """

        def is_ready() -> bool:
            status = self._status()
            ready = [each["status"] for each in status["conditions"] if each["type"] == "Ready"]
            return ready == ["True"] and status["nodeInfo"]["bootID"] != after

        self.await_(is_ready, _READY_SECONDS)

    def boot_id(self) -> str:
        """Return the id of its latest boot that the cluster knows of; empty when it knows none."""
        return str(self._status()["nodeInfo"]["bootID"])

    def await_(self, is_so: Callable[[], bool], seconds: float) -> None:
        """Wait for something on it.

        :raises LabError: it has ended, for what its kernel says last.
        :raises TimeLimit: it did not come about in time.
        """
        self._qemu.await_(is_so, seconds)

    def _status(self) -> dict[str, Any]:
        answer = self._plane.api.ask(f"/api/v1/nodes/{self.name}")
        unknown = {"conditions": [], "nodeInfo": {"bootID": ""}}
        return {**unknown, **(json.loads(answer)["status"] if answer else {})}

    def _describe(self) -> None:
        """Write what the machine reads when it boots."""
        share = self.directory / "node"
        for directory in (share, share / "network", share / "static", self.directory / "log"):
            directory.mkdir()
        plane, user = self._plane, f"system:node:{self.name}"
        own = plane.authority.issue(f"kubelet-{self.name}", hosts=[self.address, self.name])
        for name, file in (
            ("kubeconfig", plane.kubeconfig_of(user, ["system:nodes"])),
            ("authority.crt", plane.authority.pair.certificate),
            ("kubelet.crt", own.certificate),
            ("kubelet.key", own.key),
        ):
            shutil.copy(file, share / name)
        environment = {
            "NAME": self.name,
            "ADDRESS": self.address,
            "GATEWAY": spaces.ADDRESS,
            "SOCKET": settings.SOCKET,
        }
        for name, text in (
            ("environment", "".join(f"{key}={value}\n" for key, value in environment.items())),
            ("containerd.toml", settings.containerd(images.PAUSE, _SHARED / "network")),
            ("network/pods.conflist", settings.network(self._pods)),
            ("kubelet.json", kubelet_settings(_SHARED)),
        ):
            (share / name).write_text(text, encoding="utf-8")


def kubelet_settings(place: Path) -> str:
    """Return the configuration of a machine's kubelet; see settings.kubelet().

    :param place: where it finds its certificates.
    """
    own = Pair(place / "kubelet.crt", place / "kubelet.key")
    found = json.loads(settings.kubelet(place / "authority.crt", own, place / "static"))
    return json.dumps(
        {
            **found,
            "protectKernelDefaults": False,  # the kernel is its own
            "makeIPTablesUtilChains": False,  # and has no netfilter
            # An emulated machine has better things to do than to count files.
            "volumeStatsAggPeriod": "-1s",
        },
        indent=1,
    )


def own_kernel(progress: Progress) -> Kernel:
    """Return the lab's kernel; build it when it is not there.

    The host's own one will not do, whatever it can: it may have the disk's driver in a module.

    :raises ChaosKernelError: it cannot be built.
    """
    return kernel.find_or_build(progress, kernel.Wanted(version=build.default_version()))


def command_line(booted: Kernel, directory: Path, tap: str, hardware: Acceleration) -> list[str]:
    """Return the command that is the machine.

    :param directory: has its disk and what is shared with it.
    :param tap: the host's end of its network device.
    """
    # See guest.py: emulated processors at the same time may hang when programs are attached.
    processor = ("tcg,thread=single", "max") if hardware == "tcg" else ("kvm", "host")
    foreign = booted.architecture
    emulator = f"qemu-system-{foreign.machine if foreign else os.uname().machine}"
    console = "ttyAMA0" if emulator.endswith("aarch64") else "ttyS0"
    return [
        tools.find(emulator) or emulator,
        *("-nodefaults", "-display", "none"),
        *(("-machine", "virt") if emulator.endswith("aarch64") else ()),
        *("-accel", processor[0], "-cpu", processor[1], "-smp", "2", "-m", MEMORY, "-no-reboot"),
        *("-kernel", str(booted.image), "-append", f"{_LINE} console={console}"),
        *(("-initrd", str(booted.initramfs)) if booted.initramfs else ()),
        *("-drive", f"file={directory / 'disk'},if=virtio,format=raw"),
        *("-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
        *("-device", "virtio-rng-pci", "-serial", "stdio"),
        *("-virtfs", f"local,path={directory / 'node'},mount_tag=node,readonly=on,{_SHARE}"),
        *("-virtfs", f"local,path={directory / 'log'},mount_tag=log,{_SHARE}"),
    ]
