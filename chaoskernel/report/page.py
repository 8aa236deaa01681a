"""The page: one file that needs no network, and no script to be read."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Sequence
from typing import Any

from chaoskernel import __version__
from chaoskernel.report import charts, stacks
from chaoskernel.report.extra import require
from chaoskernel.report.model import Exploration, Fault, Journal

try:
    import jinja2
except ImportError:  # the extra is not installed
    jinja2 = None  # type: ignore[assignment]

_TREE_LINES = 2000
"""How many lines of a tree of stacks the page has without a script."""

Report = Journal | Exploration


def render(reports: Sequence[Report]) -> str:
    """Return the page of some journals and explorations.

    :raises MissingTool: the extra `report` is not installed.
    """
    require(jinja2, "the page of a report")
    script = f"{_file('vendor', 'icicle.min.js')}\n{_file('templates', 'page.js')}"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("chaoskernel.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["colour"] = charts.colour
    return environment.get_template("page.html").render(
        version=__version__,
        style=_file("templates", "page.css"),
        script=script,
        policy=_policy(script),
        parts=[_part(number, report) for number, report in enumerate(reports, start=1)],
    )


def _policy(script: str) -> str:
    """Return what the page may load: its own script, its own style, and nothing else.

    A text that got past the escaping would not run either.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = {
        "default-src": "'none'",
        "script-src": f"'sha256-{digest}'",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{what} {where}" for what, where in allowed.items())


def _part(number: int, report: Report) -> dict[str, Any]:
    if isinstance(report, Journal):
        return {
            "id": f"d{number}",
            "number": number,
            "kind": "journal",
            "report": report,
            "timeline": charts.timeline(report),
            "where": [_where(fault) for fault in report.faults],
        }
    return {
        "id": f"d{number}",
        "number": number,
        "kind": "exploration",
        "report": report,
        "bar": charts.outcomes(report.outcomes),
        "outcomes": list(report.outcomes),
        "stacks": stacks.packed(report.stacks),
        "tree": _tree(report.stacks),
        "colours": {name: charts.colour(name) for name in report.outcomes},
    }


def _where(fault: Fault) -> dict[str, Any]:
    return {
        "fault": fault,
        "stacks": stacks.packed(fault.stacks),
        "tree": _tree(fault.stacks),
    }


def _tree(found: Sequence[Any]) -> dict[str, Any]:
    """Return the lines of a tree of stacks, each with the functions that it stands for."""
    lines: list[tuple[str, str, int]] = []
    for lead, node in stacks.branches(stacks.tree(found).short_below()):
        if len(lines) == _TREE_LINES:
            return {"lines": lines, "cut": True}
        lines.append((lead, " → ".join(node.names), node.count))
    return {"lines": lines, "cut": False}


def _file(folder: str, name: str) -> str:
    return (importlib.resources.files(__package__) / folder / name).read_text(encoding="utf-8")
