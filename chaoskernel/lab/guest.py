"""Boots a kernel on the machine's own root file system, and runs a command in it.

virtme-ng makes the machine; its `virtme-run` is used rather than `vng`, which
passes every argument through a shell.  The command's exit status comes back in the
work directory, because virtme-ng's own status cannot tell a lost guest from a command
that exited with 255.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from chaoskernel import process
from chaoskernel.errors import LabError, LostGuest, TimeLimit
from chaoskernel.lab import (
    accel,
    cache,
    disks,
    foreign,
    parent_death,
    script,
    tools,
    work_directory,
)
from chaoskernel.lab.kernel import Kernel

DEFAULT_SECONDS = 600.0
DEFAULT_SHELL_SECONDS = 8 * 3600.0

_TRIAL_SECONDS = 12.0
_READ_BYTES = 65536

# What the guest may change, in memory: nothing of it reaches the host.
_OVERLAYS = ("/etc", "/home", "/lib", "/opt", "/root", "/srv", "/usr", "/var")

_KERNEL_OPTIONS = (
    # The root is read-only, so the guest may cache it: ten times faster than 9p's default.
    "rootflags=version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose",
    "loglevel=5",
    "mitigations=off",
    # A guest that hangs ends, and says where, long before its time limit.
    "watchdog_thresh=60",
    "softlockup_panic=1",
)

_OF_THE_LABS_KERNEL = ("ext4", "btrfs")
_IP = tools.Need("ip", "iproute2", ("ip",))

# QEMU before 8.1 may go on executing a breakpoint that the guest's kernel has patched
# away again, when one emulated processor translates the code that another one writes:
# every CPU that comes by hangs.  Attaching BPF programs is such writing.
_EMULATED = ("--disable-kvm", "--qemu-opt=-accel", "--qemu-opt=tcg,thread=single")

_VIRTIO_CONSOLE = (
    *("-device", "virtio-serial-device,id=kept-bus"),
    *("-device", "virtconsole,bus=kept-bus.0,chardev=kept"),
)


@dataclass(frozen=True)
class Machine:
    """The size of a guest.

    :param cpus: how many CPUs.
    :param memory: as QEMU takes it, for instance 2G.
    """

    cpus: int = 2
    memory: str = "2G"


def run(
    kernel: Kernel,
    command: Sequence[str],
    *,
    seconds: float = DEFAULT_SECONDS,
    machine: Machine | None = None,
    rw: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdout: BinaryIO | None = None,
    stderr: BinaryIO | None = None,
    root: Path | None = None,
    extras: script.Extras | None = None,
    booting: Callable[[str], None] | None = None,
) -> int:
    """Run a command in a guest of its own; return the command's exit status.

    Call it from a thread that lives until it returns: the guest dies with it.

    :param seconds: the limit on boot and command together.
    :param rw: directories of the host that the guest may write to.
    :param env: variables of the command, besides PATH, HOME, LANG and TERM.
    :param directory: the command's working directory; the caller's when None.
    :param stdout: where the command's output goes, live; the caller's when None.
    :param stderr: likewise.
    :param root: the cache directory; the user's own when None.
    :param extras: what the guest has beside the machine's files.
    :param booting: is called with a line before each boot, which takes some seconds.
    :raises MissingTool: something that the boot needs is not installed.
    :raises LostGuest: the guest ended without the command's exit status.
    :raises TimeLimit: the limit was reached; the guest was killed.
    """
    job = _job(kernel, command, directory, rw, env, extras)
    size = machine or Machine()
    hardware = acceleration(kernel, root)
    streams = (stdout or sys.stdout.buffer, stderr or sys.stderr.buffer)
    deadline = time.monotonic() + seconds
    say = booting or (lambda _line: None)
    say(f"booting Linux {kernel.release}{', emulated' if hardware == 'tcg' else ''}")
    try:
        return _boot(kernel, job, size, hardware, seconds, streams)
    except work_directory.NeverBegan:
        # QEMU 7.2 dies under a booting kernel once in a while (an assertion of its MSI-X
        # emulation); nothing of the command has run, so it is safe to boot again.
        say("booting once more: the guest was lost before the command began")
        return _boot(kernel, job, size, hardware, deadline - time.monotonic(), streams)


def shell(
    kernel: Kernel,
    *,
    seconds: float = DEFAULT_SHELL_SECONDS,
    machine: Machine | None = None,
    rw: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    root: Path | None = None,
    extras: script.Extras | None = None,
) -> None:
    """Run an interactive shell in a guest, on the caller's terminal.

    The parameters and errors are those of `run`; a shell has no status to lose.
    """
    job = _job(kernel, (), None, rw, env, extras)
    hardware = acceleration(kernel, root)
    with work_directory.made(job) as mail, _terminal_kept():
        disks.make(job.extras.disks, mail)
        command = command_line(kernel, job, machine or Machine(), hardware, mail)
        # In the terminal's own process group, or it could not read from it.
        child = process.start(parent_death.tied(command), stdin=None, own_group=False)
        try:
            child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise TimeLimit(f"the shell was ended after {seconds:g} s") from None
        finally:
            child.kill()
            child.wait()


def command_line(
    kernel: Kernel,
    job: script.Job,
    machine: Machine,
    hardware: accel.Acceleration,
    mail: Path,
) -> list[str]:
    """Return the virtme-run command that boots the kernel and runs the job's script.

    :param mail: the host's side of the directory that carries the script and the status.
    """
    entry = f"{script.MAIL}/{work_directory.ENTRY}"
    begin = f"--script-sh=sh {entry}" if job.command else f"--shell={entry}"
    root = kernel.root or Path("/")
    places = {path: root / path.lstrip("/") for path in _OVERLAYS}
    overlays = [path for path, here in places.items() if here.is_dir() and not here.is_symlink()]
    return [
        tools.find(tools.VIRTME_RUN) or tools.VIRTME_RUN,
        *_of_another(kernel),
        f"--kimg={kernel.image}",
        "--mods=auto",
        "--force-9p",
        "--disable-microvm",
        *(_EMULATED if hardware == "tcg" else ()),
        f"--cpus={machine.cpus}",
        f"--memory={machine.memory}",
        *(f"--overlay-rwdir={path}" for path in overlays),
        *(f"--rwdir={there}={here}" for there, here in script.shares(job, mail).items()),
        *(f"--rodir={there}={here}" for there, here in script.read_only(job).items()),
        *(f"--kopt={option}" for option in _KERNEL_OPTIONS),
        *(f"--qemu-opt={word}" for word in _initramfs(kernel)),
        *(f"--qemu-opt={word}" for word in disks.words(job.extras.disks, mail)),
        *(f"--qemu-opt={word}" for word in script.network_words(job.extras.ports)),
        *_console(kernel, mail / work_directory.CONSOLE),
        begin,
    ]


def _console(kernel: Kernel, kept: Path) -> tuple[str, ...]:
    """Return the options of a second console, which keeps the kernel's warnings and last words.

    It is a serial port; the machine that QEMU makes for arm64 has none to spare.
    """
    machine = kernel.architecture.machine if kernel.architecture else os.uname().machine
    if machine == "aarch64":
        words = ("-chardev", f"file,id=kept,path={kept}", *_VIRTIO_CONSOLE)
        return ("--kopt=console=hvc0", *(f"--qemu-opt={word}" for word in words))
    return (
        "--kopt=earlycon=uart8250,io,0x2f8,115200",
        "--kopt=keep_bootcon",
        "--qemu-opt=-serial",
        f"--qemu-opt=file:{kept}",
    )


def _of_another(kernel: Kernel) -> tuple[str, ...]:
    """Return the options of a guest of another architecture, which has a root of its own."""
    if not kernel.architecture:
        return ()
    return (
        f"--arch={kernel.architecture.machine}",
        f"--root={kernel.root}",
        *(f"--qemu-opt={word}" for word in kernel.architecture.processor),
    )


def _job(
    kernel: Kernel,
    command: Sequence[str],
    directory: Path | None,
    rw: Sequence[Path],
    env: Mapping[str, str] | None,
    extras: script.Extras | None,
) -> script.Job:
    """Return what a guest shall do, once this machine has all that the boot needs; see `run`."""
    own = _checked(extras, kernel)
    job = script.Job(command, directory or Path.cwd(), writable(rw), env or {}, kernel.modules, own)
    return _with_this_machine(job, kernel.root) if kernel.root else job


def _with_this_machine(job: script.Job, root: Path) -> script.Job:
    """Return a job with what it needs of this machine where the guest has a root of its own."""
    own = foreign.own_place()
    wanted = (job.directory, own, *job.rw, *job.extras.copies, *filter(None, (job.modules,)))
    env = {
        "PYTHONPATH": f"{foreign.DEPENDENCIES}:{own}",
        "PYTHONPYCACHEPREFIX": "/var/cache/python",
        **job.env,
    }
    return dataclasses.replace(job, env=env, shown=foreign.shown(root, wanted))


def _checked(extras: script.Extras | None, kernel: Kernel) -> script.Extras:
    """Return what a guest is given, once this machine has all that the boot needs.

    :raises MissingTool: it lacks some of it.
    :raises LabError: a directory cannot be shared, or the kernel has no such file system.
    """
    asked = extras or script.Extras()
    network = (_IP,) if asked.ports else ()
    tools.require((*tools.needs(kernel.architecture), *disks.needs(asked.disks), *network))
    own = kernel.origin in ("cached", "built")
    if own and any(disk.file_system not in _OF_THE_LABS_KERNEL for disk in asked.disks):
        raise LabError(
            "--disk: the lab's own kernel has ext4 and btrfs",
            hint="leave out xfs, or add --package linux-image-amd64, which has it",
        )
    return dataclasses.replace(asked, copies=writable(asked.copies))


def _initramfs(kernel: Kernel) -> tuple[str, ...]:
    return ("-initrd", str(kernel.initramfs)) if kernel.initramfs else ()


def acceleration(kernel: Kernel, root: Path | None = None) -> accel.Acceleration:
    """Return what guests of this kernel run on; once per boot of the host, this tries a guest.

    :param root: the cache directory; the user's own when None.
    """
    if kernel.architecture and kernel.architecture.machine != os.uname().machine:
        return "tcg"
    where = cache.root() if root is None else root
    return accel.verdict(where, kernel.image, lambda: _runs_on_hardware(kernel))


def _runs_on_hardware(kernel: Kernel) -> bool:
    job = script.Job(("true",), Path("/"))
    with Path(os.devnull).open("wb") as nowhere:
        try:
            return _boot(kernel, job, Machine(), "kvm", _TRIAL_SECONDS, (nowhere, nowhere)) == 0
        except (LostGuest, TimeLimit):
            return False


def _boot(
    kernel: Kernel,
    job: script.Job,
    machine: Machine,
    hardware: accel.Acceleration,
    seconds: float,
    streams: tuple[BinaryIO, BinaryIO],
) -> int:
    with work_directory.made(job) as mail:
        disks.make(job.extras.disks, mail)
        command = parent_death.tied(command_line(kernel, job, machine, hardware, mail))
        with process.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            try:
                pump(child, streams, time.monotonic() + seconds)
            except TimeoutError:
                raise TimeLimit(
                    f"the guest was ended after {seconds:g} s", hint="raise the limit (--timeout)"
                ) from None
        return work_directory.status(mail)


@contextlib.contextmanager
def _terminal_kept() -> Iterator[None]:
    """Put the terminal back as it was: QEMU makes it raw, and may be killed."""
    if not sys.stdin.isatty():
        raise LabError("the shell needs a terminal", hint="use `chaoskernel lab run -- COMMAND`")
    settings = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)


def pump(child: subprocess.Popen[str], streams: tuple[BinaryIO, BinaryIO], deadline: float) -> None:
    """Copy both streams as they come, until every process of the guest has closed them.

    :raises TimeoutError: the deadline came first.
    """
    with selectors.DefaultSelector() as selector:
        for pipe, stream in zip((child.stdout, child.stderr), streams, strict=True):
            selector.register(pipe, selectors.EVENT_READ, stream)  # type: ignore[arg-type]
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if data := os.read(key.fd, _READ_BYTES):
                    key.data.write(data)
                    key.data.flush()
                else:
                    selector.unregister(key.fileobj)


def writable(directories: Sequence[Path]) -> tuple[Path, ...]:
    """Check the directories that shall be writable, before anything is started."""
    absolute = tuple(path.resolve() for path in directories)
    for path in absolute:
        if not path.is_dir():
            raise LabError(f"{path} is not a directory", hint="create it before the guest starts")
        if not script.SHAREABLE.fullmatch(str(path)):
            raise LabError(
                f"{path} cannot be shared with a guest",
                hint="virtme-ng takes letters, digits, spaces and _+./- in a path",
            )
    return absolute
