"""A journal with our charts where chaostoolkit-reporting takes pictures: at each run's `charts`."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from chaoskernel.report import charts
from chaoskernel.report.journal import journal
from chaoskernel.report.reading import Document, items, mapping

_COLOURS: Mapping[str, str] = {
    "ink": "#1b1f24",
    "rule": "#d0d7de",
    "dim": "#57606a",
    "good": "#1a7f37",
    "bad": "#cf222e",
    "worse": "#8250df",
    "fault": "#bc4c00",
}
"""Those of our own page by day: the other one does not have them."""

_VARIABLE = re.compile(r"var\(--(\w+)\)")


def with_charts(document: Document, *, png: bool = False) -> dict[str, Any]:
    """Return a copy of a journal whose first run has the timeline.

    :param png: as it takes them for PDF and Markdown; else SVG, for HTML.
    :raises MissingTool: vl-convert is not installed.
    """
    svg = _VARIABLE.sub(
        lambda found: _COLOURS.get(found[1], "#57606a"),
        charts.timeline(journal(document, "journal")),
    )
    chart = base64.b64encode(charts.png(svg)).decode() if png else svg
    first, *others = items(document.get("run")) or [{}]
    more = [*items(mapping(first).get("charts")), chart]
    return {**document, "run": [{**mapping(first), "charts": more}, *others] if first else []}
