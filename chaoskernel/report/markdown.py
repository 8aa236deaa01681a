"""A short summary in Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from chaoskernel.report.model import Exploration, Journal, Site
from chaoskernel.terminal import shown

_SITES = 10
"""How many bad sites are listed."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&@])")


def render(reports: Sequence[Journal | Exploration]) -> str:
    """Return the summary of some journals and explorations."""
    lines = [line for report in reports for line in (*_lines(report), "")]
    return "\n".join(lines)


def _lines(report: Journal | Exploration) -> Iterator[str]:
    sign = "❌" if report.is_bad else "✅"
    yield f"### {sign} {_data(report.title)}"
    yield ""
    yield from _journal(report) if isinstance(report, Journal) else _exploration(report)


def _journal(run: Journal) -> Iterator[str]:
    yield f"**{_data(run.outcome)}**"
    yield ""
    yield from (f"- short of its aim: {_data(each)}" for each in run.shortfalls)
    if run.faults:
        yield "| Fault | Failed calls | What came of it |"
        yield "|---|---:|---|"
    for fault in run.faults:
        yield f"| {_data(fault.name)} | {fault.hits} | {_data(fault.verdict)} |"


def _exploration(found: Exploration) -> Iterator[str]:
    yield ", ".join(f"{number} {_data(outcome)}" for outcome, number in found.outcomes.items())
    if found.against:
        changes = [site.change for site in found.sites]
        yield ""
        yield (
            f"Against {_data(found.against)}: {changes.count('new')} new, "
            f"{changes.count('mended')} mended, {len(found.gone)} gone."
        )
    bad = [site for site in found.sites if site.is_bad]
    if bad:
        yield ""
        yield "| Outcome | Function | Entered by | Error | Site |"
        yield "|---|---|---|---|---|"
    yield from map(_row, bad[:_SITES])
    if len(bad) > _SITES:
        yield ""
        yield f"… and {len(bad) - _SITES} more."


def _row(site: Site) -> str:
    cells = (site.outcome, site.function, site.call, site.errno, site.id)
    new = " (new)" if site.change == "new" else ""
    return f"| {' | '.join(map(_data, cells))}{new} |"


def _data(text: str) -> str:
    """Return text of others as text: no markup, no mention, no line of its own."""
    return _SPECIAL.sub(r"\\\1", shown(text)).replace("\\@", "@\u200b")
