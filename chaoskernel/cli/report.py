"""`chaoskernel report`: a page to look at, from journals and explorations."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from chaoskernel.cli.statuses import Status
from chaoskernel.errors import ChaosKernelError
from chaoskernel.report import exploration, journal, junit, markdown, page, reading, toolkit_report
from chaoskernel.report.model import Exploration
from chaoskernel.report.page import Report

_FILE = click.Path(path_type=Path, dir_okay=False)
_STDOUT = Path("-")


@click.command(name="report")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=_FILE)
@click.option(
    "-o",
    "--output",
    type=_FILE,
    metavar="FILE",
    help="Write the page to FILE; report.html where nothing else is asked for.",
)
@click.option("--junit", "junit_file", type=_FILE, metavar="FILE", help="Write test results too.")
@click.option(
    "--markdown",
    "markdown_file",
    type=_FILE,
    metavar="FILE",
    help="Write a summary for a pull request too.",
)
@click.option(
    "--against",
    type=_FILE,
    metavar="FILE",
    help="Compare explorations with this earlier one: what is new, mended and gone.",
)
@click.option(
    "--charts",
    "charts_file",
    type=_FILE,
    metavar="FILE",
    help="Write the journal with the timeline in it, for `chaos report`.",
)
@click.option("--png", is_flag=True, help="With --charts: as PDF and Markdown need it.")
@click.option(
    "--check",
    is_flag=True,
    help="Exit with 3 where a run did not complete as meant, or a site came to a bad outcome.",
)
def command(
    files: Sequence[Path],
    output: Path | None,
    junit_file: Path | None,
    markdown_file: Path | None,
    against: Path | None,
    charts_file: Path | None,
    png: bool,
    check: bool,
) -> None:
    """Write a report on journals of `chaos run` and results of `chaoskernel explore`.

    The page is one file; it needs no network.  Where a FILE to write is -, it goes to
    standard output.

    \b
    Examples:
      chaoskernel report journal.json
      chaoskernel report journal.json explore.json -o report.html
      chaoskernel report explore.json --against last-week.json --junit junit.xml --check
    """
    written = (output, junit_file, markdown_file, charts_file)
    if written.count(_STDOUT) > 1:
        raise click.UsageError("only one document can go to standard output")
    reports = [_report(file) for file in files]
    if against:
        reports = _compared(reports, against)
    if charts_file:
        _write(charts_file, _with_charts(files, png))
    if output or not (junit_file or markdown_file or charts_file):
        _write(output or Path("report.html"), page.render(reports))
    if junit_file:
        _write(junit_file, junit.render(reports))
    if markdown_file:
        _write(markdown_file, markdown.render(reports))
    if check and any(report.is_bad for report in reports):
        sys.exit(Status.FOUND)


def _report(file: Path) -> Report:
    document = reading.read(file)
    if journal.is_journal(document):
        return journal.journal(document, file.name)
    if exploration.is_exploration(document):
        return exploration.exploration(document, file.name)
    raise ChaosKernelError(
        f"{file} is neither a journal nor the results of an exploration",
        hint="name what `chaos run` or `chaoskernel explore --json` wrote",
    )


def _with_charts(files: Sequence[Path], png: bool) -> str:
    if len(files) > 1 or not journal.is_journal(reading.read(files[0])):
        raise click.UsageError("--charts: name one journal")
    document = reading.read(files[0], whole=True)
    return json.dumps(toolkit_report.with_charts(document, png=png), indent=2)


def _compared(reports: Sequence[Report], against: Path) -> list[Report]:
    earlier = _report(against)
    if not isinstance(earlier, Exploration):
        raise ChaosKernelError(
            f"--against {against}: it is a journal", hint="only explorations are compared"
        )
    return [
        exploration.compared(report, earlier) if isinstance(report, Exploration) else report
        for report in reports
    ]


def _write(file: Path, content: str) -> None:
    if file == _STDOUT:
        click.echo(content, nl=False)
        return
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ChaosKernelError(
            f"{file} cannot be written: {error.strerror}", hint="name another file"
        ) from error
    click.echo(f"wrote {click.format_filename(file)}", err=True)
