"""An emulated machine that counts instructions, and the initramfs that it boots."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chaoskernel import process
from chaoskernel.compiler.clang import compile_object
from chaoskernel.errors import TimeLimit
from chaoskernel.lab.kernel import Kernel
from chaoskernel.lab.parent_death import tied
from chaoskernel.process import CommandFailed
from tools import programs

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "chaoskernel"

NS_PER_INSTRUCTION = 2
"""What -icount shift=1 says: the machine's clock is the number of its instructions."""

_COMMAND_LINE = (
    "quiet panic=-1 rdinit=/init random.trust_cpu=on "
    "PYTHONHASHSEED=0"  # which Linux hands on to /init: there is no entropy yet to wait for
)
_CONSOLES = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}
_MARK = "@@"
_PYTHON = Path("/usr/bin/python3")
_PROGRAMS = (
    *("/usr/sbin/inject-bpfcc", "/usr/bin/bpftrace"),
    # Of guest/work.py: the jobs, and what their shells call.
    *("/usr/bin/redis-server", "/usr/bin/redis-benchmark", "/usr/bin/sqlite3", "/usr/bin/dd"),
    *("/bin/sh", "/usr/bin/mkdir", "/usr/bin/rm", "/usr/bin/sed", "/usr/bin/seq"),
    *("/usr/bin/sleep", "/usr/bin/mount", "/usr/bin/umount", "/usr/sbin/mkfs.ext4"),
)
_SKIPPED = shutil.ignore_patterns(
    *("test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "config-*")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """What is booted.

    :param image: the initramfs.
    """

    kernel: Kernel
    image: Path

    @property
    def name(self) -> str:
        """What `uname -m` says in it."""
        return machine_of(self.kernel)

    def run(self, words: Sequence[str], *, seconds: float = 3600) -> Iterator[dict[str, Any]]:
        """Boot, and yield what the guest says while it measures what it was asked to.

        What has `begun` is what it measures next; the rest are facts.

        :raises TimeLimit: the guest has not ended within that time.
        :raises CommandFailed: it ended before it had done everything.
        """
        console = self.image.with_name("console.log")
        with (
            process.spawn(
                tied(self._command(words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as qemu,
            console.open("w", buffering=1, encoding="utf-8") as log,
            _ended_after(seconds, qemu),
        ):
            assert qemu.stdout
            for line in qemu.stdout:
                log.write(line)
                _, mark, said = line.partition(_MARK)
                if mark and (fact := json.loads(said)) and "done" in fact:
                    return
                if mark:
                    yield fact
        raise CommandFailed([f"qemu-system-{self.name}"], qemu.returncode, f"see {console}")

    def _command(self, words: Sequence[str]) -> list[str]:
        asked = " ".join(f"bench.{word}" for word in words)
        return [
            *(f"qemu-system-{self.name}", "-nodefaults", "-nographic", "-no-reboot"),
            *("-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off"),
            *(*self._hardware(), "-smp", "1", "-m", "3G"),
            *("-kernel", str(self.kernel.image), "-initrd", str(self.image)),
            *("-serial", "stdio"),
            *("-append", f"console={_CONSOLES[self.name]} {_COMMAND_LINE} {asked}"),
        ]

    def _hardware(self) -> tuple[str, ...]:
        other = self.kernel.architecture
        return ("-machine", "virt", *other.processor) if other else ("-cpu", "max")


def machine_of(kernel: Kernel) -> str:
    """Return what `uname -m` says under a kernel."""
    return kernel.architecture.machine if kernel.architecture else platform.machine()


@contextlib.contextmanager
def _ended_after(seconds: float, child: subprocess.Popen[str]) -> Iterator[None]:
    """End a process that runs for longer.

    :raises TimeLimit: it did.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeLimit(f"the machine took longer than {seconds:g} s and was ended")


def make_image(directory: Path, kernel: Kernel, predicate: str) -> Path:
    """Return an initramfs with the package, its peers, and what both need.

    :param directory: where it is made; emptied before.
    :param predicate: the fault with a predicate, as JSON, with its object.
    """
    root, machine = directory / "root", machine_of(kernel)
    shutil.rmtree(directory, ignore_errors=True)
    bench = root / "bench"
    bench.mkdir(parents=True)
    shutil.copytree(PACKAGE, bench / "chaoskernel", ignore=_SKIPPED)
    (bench / "predicate.json").write_text(predicate, encoding="utf-8")
    compile_object(bench / "peers.bpf.o", source=HERE / "guest" / "peers.bpf.c", machine=machine)
    job = ["-O2", "-static", "-pthread", str(HERE / "guest" / "job.c"), "-o", str(bench / "job")]
    process.run([f"{machine}-linux-gnu-gcc", *job], seconds=60)
    _add_python(root, kernel.root or programs.HOST, machine)
    if not kernel.root:
        _add_peers(root, kernel)
    shutil.copytree(HERE, bench / "benchmarks", ignore=_SKIPPED)
    # As an installation has it: what is imported is compiled already.
    process.run([str(_PYTHON), "-m", "compileall", "-q", str(bench)], seconds=120)
    init = root / "init"
    main = (HERE / "guest" / "main.py").read_text(encoding="utf-8")
    init.write_text(f"#!{_PYTHON}\n{main}", encoding="utf-8")
    init.chmod(0o755)
    image = directory / "initramfs"
    pack = f"cd {root} && find . | cpio --quiet --create --format newc >{image}"
    process.run(["sh", "-c", pack], seconds=120)
    shutil.rmtree(root)
    return image


def _add_python(root: Path, source: Path, machine: str) -> None:
    """Add a distribution's Python, with libbpf.

    :param source: the root that the distribution is installed in.
    """
    programs.add(root, _PYTHON, source)
    library = Path("/usr/lib", (source / _PYTHON.relative_to("/")).resolve().name)
    here = source / library.relative_to("/")
    shutil.copytree(here, root / library.relative_to("/"), ignore=_SKIPPED, symlinks=True)
    programs.add(root, _libraries(machine) / "libbpf.so.1", source)
    for module in (here / "lib-dynload").glob("*.so"):
        programs.add_libraries(root, library / "lib-dynload" / module.name, source)


def _libraries(machine: str) -> Path:
    return Path(f"/usr/lib/{machine}-linux-gnu")


def _add_peers(root: Path, kernel: Kernel) -> None:
    """Add BCC with what it compiles with, bpftrace, and the programs of the jobs."""
    packages = Path("/usr/lib/python3/dist-packages/bcc")
    shutil.copytree(packages, root / packages.relative_to("/"), ignore=_SKIPPED)
    for name in ("libbcc.so.0", "librt.so.1"):
        programs.add(root, _libraries(machine_of(kernel)) / name)
    for program in map(Path, _PROGRAMS):
        programs.add(root, program)
    if kernel.headers:
        shutil.copytree(kernel.headers, root / f"lib/modules/{kernel.release}/build")
