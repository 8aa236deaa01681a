"""The objects of the wheel: one for each architecture, made by setup.

`python -m chaoskernel.compiler.shipped` makes them beside their source.  Standard library only.
"""

from __future__ import annotations

from pathlib import Path

from chaoskernel.bpf.text import object_name
from chaoskernel.compiler import clang


def compile_all(directory: Path) -> None:
    """Compile the objects into a directory; see `clang.compile_object`."""
    for machine in clang.ARCHITECTURES:
        clang.compile_object(directory / object_name(machine), machine=machine)


if __name__ == "__main__":
    compile_all(clang.SOURCE.parent)
