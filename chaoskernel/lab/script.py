"""The shell script that runs in the guest, around the command."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from chaoskernel.lab import disks
from chaoskernel.lab.disks import Disk

# Where the guest finds what is shared with it, apart from the root file system.
SHARE = "/run/chaoskernel"
MAIL = f"{SHARE}/mail"
BEGUN = "begun"
STATUS = "status"

SHAREABLE = re.compile(r"[a-zA-Z0-9_+ /.-]+")
"""Paths that virtme-ng takes for a share."""

# Nothing else makes /dev/loop-control and /dev/ram0, or finds what QEMU gives a guest.
_LOADED = ("loop", "brd", "virtio_blk", "virtio_net")

_ADDRESS, _GATEWAY = "10.0.2.15", "10.0.2.2"
"""Of the guest, in QEMU's own network."""

_FAILED = 125

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Port(NamedTuple):
    """A TCP port of the host that leads to one of the guest."""

    host: int
    guest: int


@dataclass(frozen=True)
class Extras:
    """What a guest has beside the machine's files.

    :param disks: empty ones, mounted at /srv/disk, /srv/disk2 and so on.
    :param copies: directories of the host that the guest may change, for itself alone.
    :param ports: which ports of the guest can be reached from the host.
    """

    disks: Sequence[Disk] = ()
    copies: Sequence[Path] = ()
    ports: Sequence[Port] = ()


@dataclass(frozen=True)
class Job:
    """What the guest shall do.

    :param command: program and arguments; empty for an interactive shell.
    :param directory: the command's working directory, on the host and in the guest.
    :param rw: directories of the host that the guest may write to.
    :param env: variables of the command, besides PATH, HOME, LANG and TERM.
    :param modules: the directory of the kernel's loadable modules, on the host; None when
        there are none.
    :param extras: what the guest has beside the machine's files.
    :param shown: directories of the host, at their places in a guest that has a root of its own.
    """

    command: Sequence[str]
    directory: Path
    rw: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    modules: Path | None = None
    extras: Extras = Extras()
    shown: Sequence[Path] = ()


def read_only(job: Job) -> dict[str, Path]:
    """Return the shares that a guest cannot write to: likewise."""
    return {f"{SHARE}/host{n}": path for n, path in enumerate(job.shown)}


def shares(job: Job, mail: Path) -> dict[str, Path]:
    """Return the writable shares of a guest: their mount point there, and the directory here."""
    return {MAIL: mail} | {f"{SHARE}/rw{n}": path for n, path in enumerate(job.rw)}


def text(job: Job, term: str) -> str:
    """Return the script: it sets the scene, runs the command and mails its status.

    :param term: the value of TERM.
    """
    return "\n".join([*_scene(job), *_performance(job, term), ""])


def _scene(job: Job) -> list[str]:
    directory = shlex.quote(str(job.directory))
    now = int(time.time())
    lines = [
        "mount -t bpf bpf /sys/fs/bpf",
        # The machine may have no clock, as the lab's own for arm64, and begin in 1970.
        f"[ $(date +%s) -ge {now} ] || date --set=@{now} >/dev/null",
    ]
    for there, path in read_only(job).items():
        place = shlex.quote(str(path))
        lines.append(f"mkdir -p {place} && mount --bind {there} {place}")
    if job.modules is not None:
        lines += _modules(job.modules)
    for number, path in enumerate(job.extras.copies):
        lower = f"{SHARE}/copy{number}"
        lines.append(f"mkdir -p {lower} && mount --bind {shlex.quote(str(path))} {lower}")
    # /tmp gets a file system of its own, under which these would vanish.
    below_tmp = job.directory.is_relative_to("/tmp") and job.directory != Path("/tmp")  # noqa: S108
    if below_tmp:
        lines.append(f"mkdir -p {SHARE}/cwd && mount --bind {directory} {SHARE}/cwd")
    lines.append("mount -t tmpfs -o mode=1777 tmpfs /tmp")
    if below_tmp:
        lines.append(f"mkdir -p {directory} && mount --bind {SHARE}/cwd {directory}")
    for number, path in enumerate(job.rw):
        place = shlex.quote(str(path))
        lines.append(f"mkdir -p {place} && mount --bind {SHARE}/rw{number} {place}")
    for number, path in enumerate(job.extras.copies):
        lines += _copy(number, path)
    for number, disk in enumerate(job.extras.disks):
        lines += _disk(number, disk)
    if job.extras.ports:
        lines += _network()
    return [*lines, f"cd {directory}"]


def _copy(number: int, path: Path) -> list[str]:
    """Return lines that put a directory in its place, with what is changed in it in memory."""
    place, own = shlex.quote(str(path)), f"{SHARE}/changed{number}"
    return [
        f"mkdir -p {place} {own} && mount -t tmpfs tmpfs {own} && mkdir {own}/upper {own}/work",
        f"mount -t overlay -o lowerdir={SHARE}/copy{number},upperdir={own}/upper,"
        f"workdir={own}/work overlay {place}",
    ]


def _disk(number: int, disk: Disk) -> list[str]:
    """Return lines that mount a disk; a guest that has no such file system ends."""
    device, place = disks.device(number), disks.place(number)
    trouble = f"the guest's kernel mounts no {disk.file_system}: take another file system or kernel"
    return [
        f"mkdir -p {place} && mount -t {disk.file_system} {device} {place} ||",
        f"  {{ echo {shlex.quote(trouble)} >&2; echo {_FAILED} >{MAIL}/{STATUS}; exit; }}",
    ]


def _network() -> list[str]:
    """Return lines that give the one network device its address."""
    return [
        "ip link set lo up",
        "for card in /sys/class/net/*; do",
        "  card=${card##*/}",
        '  [ "$card" != lo ] && [ -e "/sys/class/net/$card/device" ] || continue',
        f'  ip link set "$card" up && ip address add {_ADDRESS}/24 dev "$card"',
        f"  ip route add default via {_GATEWAY}",
        "done",
    ]


def network_words(ports: Sequence[Port]) -> list[str]:
    """Return the arguments of QEMU that forward ports; the guest reaches nothing but them."""
    if not ports:
        return []
    forwarded = (f"hostfwd=tcp:127.0.0.1:{port.host}-{_ADDRESS}:{port.guest}" for port in ports)
    network = ",".join(["user", "id=lab", "restrict=on", *forwarded])
    return ["-netdev", network, "-device", "virtio-net-pci,netdev=lab"]


def _modules(modules: Path) -> list[str]:
    """Return lines that put a kernel's modules in place, and load what the lab's own has built in.

    A bind mount keeps them in sight when they are below /tmp.
    """
    there = f"{SHARE}/modules"
    return [
        f"mkdir -p {there} /lib/modules && mount --bind {shlex.quote(str(modules))} {there}",
        f"ln -sfn {there} /lib/modules/{modules.name}",
        f"modprobe --all --quiet {' '.join(_LOADED)}",
    ]


def _performance(job: Job, term: str) -> list[str]:
    # Behind all others: programs of a virtual environment that this one runs in.
    own = () if job.shown else (str(Path(sys.executable).parent),)
    path = ":".join((_PATH, *own))
    settings = {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "TERM": term} | dict(job.env)
    variables = [f"{name}={value}" for name, value in settings.items()]
    if not job.command:
        return [shlex.join(["exec", "env", "-i", *variables, "bash", "-i"])]
    # In this order, a status file that is there is complete and the output before it.
    return [
        f": >{MAIL}/{BEGUN}",
        shlex.join(["env", "-i", *variables, *job.command]) + " </dev/null",
        f"echo $? >{MAIL}/{STATUS}.partial",
        f"mv {MAIL}/{STATUS}.partial {MAIL}/{STATUS}",
    ]
