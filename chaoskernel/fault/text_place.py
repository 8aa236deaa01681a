"""Where in the kernel's text something is.  Standard library only."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A place in the kernel's text.

    :param function: its name; `[unknown]` where the kernel lists none.
    :param offset: from where the function begins, in bytes.
    :param module: which has the function; empty for the kernel itself.
    """

    function: str
    offset: int
    module: str = ""

    def __str__(self) -> str:
        module = f" [{self.module}]" if self.module else ""
        return f"{self.function}+{self.offset:#x}{module}"
