"""The shell script that runs in the guest, around the command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Where the guest finds what is shared with it, apart from the root file system.
SHARE = "/run/chaoskernel"
MAIL = f"{SHARE}/mail"
BEGUN = "begun"
STATUS = "status"

# Nothing else makes /dev/loop-control and /dev/ram0.
_LOADED = ("loop", "brd")

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Job:
    """What the guest shall do.

    :param command: program and arguments; empty for an interactive shell.
    :param directory: the command's working directory, on the host and in the guest.
    :param rw: directories of the host that the guest may write to.
    :param env: variables of the command, besides PATH, HOME, LANG and TERM.
    :param modules: the directory of the kernel's loadable modules, on the host; None when
        there are none.
    """

    command: Sequence[str]
    directory: Path
    rw: Sequence[Path] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    modules: Path | None = None


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
    lines = ["mount -t bpf bpf /sys/fs/bpf"]
    if job.modules is not None:
        lines += _modules(job.modules)
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
    return [*lines, f"cd {directory}"]


def _modules(modules: Path) -> list[str]:
    """Return lines that put a kernel's modules in place, and load what the lab's own has built in.

    A bind mount keeps them in sight when they are below /tmp.
    """
    there = f"{SHARE}/modules"
    return [
        f"mkdir -p {there} && mount --bind {shlex.quote(str(modules))} {there}",
        f"ln -sfn {there} /lib/modules/{modules.name}",
        f"modprobe --all --quiet {' '.join(_LOADED)}",
    ]


def _performance(job: Job, term: str) -> list[str]:
    settings = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": term} | dict(job.env)
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
