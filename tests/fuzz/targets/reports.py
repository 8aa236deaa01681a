"""What reports are made from: journals and results of explorations."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from chaoskernel.cli import report
from tests.fuzz import mutate
from tests.fuzz.target import Target, invoked
from tests.unit.report import made

_DOCUMENTS = (made.journal(made.fault(events=2)), made.exploration(2))
_WORDS = (
    *("experiment", "run", "start", "series", "points", "from", "stack", "stacks", "hook", "pods"),
    *("sites", "kind", "frames", "outcome", "crashed", "entered", "kernel", "baseline", "command"),
)


def _try_report(given: str, scratch: Path) -> None:
    """Read a file; charts take half a second each, so that only the other formats are written."""
    file, junit, markdown = (scratch / name for name in ("in.json", "junit.xml", "summary.md"))
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    invoked(report.command, str(file), "--junit", str(junit), "--markdown", str(markdown))
    ElementTree.parse(junit)
    markdown.read_text(encoding="utf-8")


TARGETS = (
    Target(
        "reports",
        6,
        mutate.documents(_DOCUMENTS, _WORDS),
        _try_report,
        tuple(map(json.dumps, _DOCUMENTS)),
        mutate.DEEP,
    ),
)
