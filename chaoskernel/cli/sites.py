"""Sites in the terminal: where in the kernel a program makes requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from chaoskernel.fault.sites import Site
from chaoskernel.terminal import shown


def sites_table(found: Sequence[tuple[Site, int]], most: int = 0) -> Table:
    """Return sites as a table.

    :param found: those to be shown first come first.
    :param most: how many rows there may be; 0 is no limit.
    """
    some = found[:most] if most else found
    left = len(found) - len(some)
    table = Table("site", "met", "entered by", "below", "first", title=f"{len(found)} sites")
    table.caption = f"and {left} more" if left else "--site fails one"
    for site, count in some:
        cells = (
            site.id,
            str(count),
            site.call or site.by.value,
            str(site.telling),
            site.command,
        )
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table


def sites_json(found: Sequence[tuple[Site, int]]) -> dict[str, Any]:
    """Return sites as a part of a fault's document; nothing where there are none."""
    listed = [{**site.to_json(), "count": count} for site, count in found]
    return {"sites": listed} if listed else {}
