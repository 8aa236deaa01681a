"""What differs from run to run in a program's output, and is therefore not compared.

Numbers, such as times and process ids, are what changes mostly: of a line that is not in every
baseline the numbers are left open.  Pure functions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence

_NUMBER = re.compile(rb"[0-9]+")
_HEX = re.compile(rb"0x[0-9a-fA-F]+|\b[0-9a-f]{8,}\b")
_LARGEST = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Mask:
    """What is left out of an output before it is compared.

    :param lines: shapes of lines whose numbers change from run to run.
    :param unordered: the lines come in another order each time.
    :param whole: nothing of the output can be compared.
    """

    lines: frozenset[bytes] = frozenset()
    unordered: bool = False
    whole: bool = False

    @property
    def parts(self) -> int:
        """How many kinds of lines are masked."""
        return len(self.lines)

    def digest(self, output: bytes) -> str:
        """Return a digest of an output; equal outputs but for what is masked have the same."""
        if self.whole:
            return "masked"
        lines = [self._masked(line) for line in output[:_LARGEST].splitlines()]
        if self.unordered:
            lines.sort()
        return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]

    def _masked(self, line: bytes) -> bytes:
        shape = shape_of(line)
        return shape if shape in self.lines else line


def mask_of(outputs: Sequence[bytes]) -> Mask:
    """Return the mask under which all outputs are the same.

    The least that will do: nothing, the numbers of the lines that change, their order as well, and
    at last everything.
    """
    if len(set(outputs)) < 2:
        return Mask()
    split = [output[:_LARGEST].splitlines() for output in outputs]
    common = set(split[0]).intersection(*split[1:])
    changing = frozenset(shape_of(line) for lines in split for line in lines if line not in common)
    for mask in (Mask(changing), Mask(frozenset(), True), Mask(changing, True)):
        if len({mask.digest(output) for output in outputs}) == 1:
            return mask
    return Mask(whole=True)


def shape_of(line: bytes) -> bytes:
    """Return a line with its numbers left open."""
    return _NUMBER.sub(b"#", _HEX.sub(b"#", line))
