"""C of chaoskernel/bpf -> a BPF object, by clang and bpftool.

Setup makes the object that is shipped with it, and objects.py those of faults that have
predicates.  Standard library only.

`python -m chaoskernel.compiler.clang OUTPUT` makes the former.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from chaoskernel import process, scratch
from chaoskernel.errors import UnsupportedKernel

SOURCE = Path(__file__).resolve().parents[1] / "bpf" / "inject.bpf.c"
NEEDED = ("clang", "bpftool")
PACKAGES = "clang libbpf-dev bpftool"
"""Debian's names of what compiling takes."""

_ARCHITECTURES = {"x86_64": "x86"}
_SECONDS = 240.0


def compile_object(output: Path, options: Sequence[str] = (), *, source: Path = SOURCE) -> None:
    """Compile the program, without what debuggers alone need.

    :param options: further ones of clang's.
    :raises MissingTool: clang or bpftool is not installed.
    :raises CommandFailed: the program does not compile; `output` has what clang said.
    :raises UnsupportedKernel: the registers of this architecture are not known.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise UnsupportedKernel(
            f"the engine core does not know the registers of {platform.machine()}",
            needs=f"it was made for {', '.join(_ARCHITECTURES)}; the engine bcc knows others",
        )
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


if __name__ == "__main__":
    compile_object(Path(sys.argv[1]))
