"""Plain progress is a line per phase, and one every twenty seconds."""

from __future__ import annotations

from chaoskernel.lab.build import is_object
from chaoskernel.lab.progress import Lines


def test_a_line_is_written_every_twenty_seconds() -> None:
    now = [0.0]
    written: list[str] = []
    with Lines(written.append, clock=lambda: now[0]) as lines:
        lines.phase("compiling")
        for second in range(45):
            now[0] = float(second)
            lines.advance(second, 100)
    assert written == [
        "lab: compiling",
        "lab: 20 of about 100 objects",
        "lab: 40 of about 100 objects",
    ]


def test_makes_output_is_counted_by_compiled_objects() -> None:
    output = [
        "  CC      fs/ext4/inode.o\n",
        "  AS      arch/x86/lib/memcpy_64.o\n",
        "  HOSTCC  scripts/kallsyms\n",
        "  AR      fs/built-in.a\n",
        "  LD      vmlinux.o\n",
        "make[1]: Entering directory\n",
    ]
    assert [is_object(line) for line in output] == [True, True, True, False, False, False]
