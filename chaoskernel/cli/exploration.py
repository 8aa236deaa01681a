"""How an exploration is shown: while it goes on, and what it has found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from chaoskernel.explore.findings import Findings
from chaoskernel.explore.outcome import FINE
from chaoskernel.terminal import shown

_LINE_SECONDS = 10.0
_MOST_ROWS = 40
_FINE = {outcome.value for outcome in FINE}


class Bar:
    """A live bar with what was found so far; it is entered as a context."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} {task.fields[found]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("baselines", total=None, found="", left="")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def baseline(self, number: int, of: int) -> None:
        """See `Watch.baseline`."""
        self._bar.update(self._task, description="baselines", completed=number - 1, total=of)

    def progress(self, findings: Findings, waiting: int, left: float | None) -> None:
        """See `Watch.progress`."""
        done = len(findings.results)
        rest = f"{_time(left)} left" if left is not None else ""
        self._bar.update(
            self._task,
            description="sites",
            completed=done,
            total=done + waiting,
            found=counts_text(findings),
            left=rest,
        )


class Lines:
    """A line on standard error now and then."""

    def __init__(self) -> None:
        self._last = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def baseline(self, number: int, of: int) -> None:
        """See `Watch.baseline`."""
        click.echo(f"baseline {number} of {of}", err=True)

    def progress(self, findings: Findings, waiting: int, left: float | None) -> None:
        """See `Watch.progress`."""
        if time.monotonic() - self._last < _LINE_SECONDS and waiting:
            return
        self._last = time.monotonic()
        done = len(findings.results)
        rest = f", {_time(left)} left" if left is not None and waiting else ""
        line = f"{done} of {done + waiting} tried: {counts_text(findings)}{rest}"
        click.echo(shown(line), err=True)


def watch() -> Bar | Lines:
    """Return what shows an exploration on standard error."""
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()


def counts_text(findings: Findings) -> str:
    """Return how many attempts came to each outcome, in a line."""
    counted = findings.counts().items()
    return ", ".join(f"{number} {outcome}" for outcome, number in counted) or "nothing yet"


def print_results(document: Mapping[str, Any], console: Console, accepted: set[str]) -> None:
    """Print the results as tables: the sites that need a look, and the numbers.

    :param accepted: attempts that were accepted.
    """
    sites = [each for each in document["sites"] if each["outcome"] is not None]
    bad = [each for each in sites if each["outcome"] not in _FINE or each["leaks"]]
    if bad:
        console.print(_table(bad, accepted))
        if len(bad) > _MOST_ROWS:
            console.print(f"and {len(bad) - _MOST_ROWS} more; --json has all")
    baseline = document["baseline"]
    left_out: dict[str, int] = {}
    for each in document["sites"]:
        if each["left_out"]:
            left_out[each["left_out"]] = left_out.get(each["left_out"], 0) + 1
    counted = ", ".join(f"{number} {name}" for name, number in document["outcomes"].items())
    lines = [
        f"{len(document['sites'])} sites, {len(sites)} tried: {counted or 'nothing'}",
        *(f"{number} left out: {why}" for why, number in left_out.items()),
        f"{baseline['runs']} baselines of {baseline['duration']:.2f} s, "
        f"{baseline['requests']} requests; {document['duration']:.0f} s in all"
        f" ({document['ended_by'] or 'it goes on'})",
    ]
    if baseline["lost"]:
        lines.append(f"{baseline['lost']} requests were not kept: the table of sites is full")
    for line in lines:
        console.print(Text(shown(line)))


def _table(sites: list[dict[str, Any]], accepted: set[str]) -> Table:
    table = Table("outcome", "where", "entered by", "error", "what was seen", "id")
    for each in sites[:_MOST_ROWS]:
        entered = each["entered"]
        seen = "; ".join(filter(None, [each["detail"], *(f"leaks {one}" for one in each["leaks"])]))
        attempt = each["attempts"][0]["attempt"]
        outcome = each["outcome"] + (" (flaky)" if each["flaky"] else "")
        cells = (
            outcome + (" (accepted)" if attempt in accepted else ""),
            each["function"],
            entered["name"] or entered["by"],
            each["errno"],
            seen,
            attempt,
        )
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
