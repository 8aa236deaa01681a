"""Keep a committed picture: `python -m tools.figure NEW KEPT` replaces KEPT where they differ.

Each run has other process ids, times and rates, and with them other names of styles and widths;
a picture that differs in those alone stays as it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from chaoskernel.cli.pictures import MARKS

_SPACE = r"(?:&#160;|\s)"
_OF_ONE_RUN = (
    r"terminal-\d+",
    r'\b(?:textLength|x)="[\d.]+"',
    r"(?<=\()\d+(?=\))",
    rf"\d+(?:\.\d+)?(?={_SPACE}(?:s\b|a{_SPACE}second))",
    f"[{re.escape(MARKS)}]+",
)


def lasting(picture: str) -> str:
    """Return a picture without what is another in each run."""
    return re.sub("|".join(_OF_ONE_RUN), "~", picture)


def main(arguments: Sequence[str]) -> None:
    new, kept = map(Path, arguments)
    picture = new.read_text(encoding="utf-8")
    if not kept.exists() or lasting(kept.read_text(encoding="utf-8")) != lasting(picture):
        kept.write_text(picture, encoding="utf-8")
        print(f"{kept} shows what this run was like")


if __name__ == "__main__":
    main(sys.argv[1:])
