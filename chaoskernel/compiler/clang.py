"""C of chaoskernel/bpf -> a BPF object, by clang and bpftool.

shipped.py makes those of the wheel with it, and objects.py those of faults that have predicates.
Standard library only.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from chaoskernel import process, scratch
from chaoskernel.errors import UnsupportedKernel

SOURCE = Path(__file__).resolve().parents[1] / "bpf" / "inject.bpf.c"
NEEDED = ("clang", "bpftool")
PACKAGES = "clang libbpf-dev bpftool"
"""Debian's names of what compiling takes."""

ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
"""What bpf_tracing.h calls the machines whose registers the program knows."""

_SECONDS = 240.0


def architecture_of(machine: str) -> str:
    """Return what bpf_tracing.h calls a machine.

    :param machine: as `uname -m` prints it.
    :raises UnsupportedKernel: the registers of this architecture are not known.
    """
    if machine not in ARCHITECTURES:
        raise UnsupportedKernel(
            f"the engine core does not know the registers of {machine}",
            needs=f"it was made for {', '.join(ARCHITECTURES)}; the engine bcc knows others",
        )
    return ARCHITECTURES[machine]


def compile_object(
    output: Path, options: Sequence[str] = (), *, source: Path = SOURCE, machine: str = ""
) -> None:
    """Compile the program, without what debuggers alone need.

    :param options: further ones of clang's.
    :param machine: that the object is for, as `uname -m` prints it; empty for this one.
    :raises MissingTool: clang or bpftool is not installed.
    :raises CommandFailed: the program does not compile; `output` has what clang said.
    :raises UnsupportedKernel: the registers of this architecture are not known.
    """
    architecture = architecture_of(machine or platform.machine())
    with scratch.directory() as directory:
        raw = directory / "raw.o"
        process.run(
            [
                *("clang", "-target", "bpf", "-mcpu=v3", "-O2", "-g"),
                f"-D__TARGET_ARCH_{architecture}",
                *options,
                *("-c", str(source), "-o", str(raw)),
            ],
            seconds=_SECONDS,
        )
        process.run(["bpftool", "gen", "object", str(output), str(raw)], seconds=_SECONDS)
