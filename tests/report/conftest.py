"""A real browser, without a network, and pages for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from chaoskernel.report import exploration, journal, page
from tools.browser import started

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with started() as running:
        yield running


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Yield what opens the page of some documents; errors and requests of it fail the test."""
    troubles: list[str] = []
    pages: list[Page] = []

    def render(*documents: dict[str, Any], **options: Any) -> Page:
        reports = [
            journal.journal(each, "journal.json")
            if journal.is_journal(each)
            else exploration.exploration(each, "explore.json")
            for each in documents
        ]
        earlier = options.pop("against", None)
        if earlier:
            then = exploration.exploration(earlier, "earlier.json")
            reports = [exploration.compared(each, then) for each in reports]  # type: ignore[arg-type]
        file = tmp_path / "report.html"
        file.write_text(page.render(reports), encoding="utf-8")
        shown = browser.new_page(viewport={"width": 1280, "height": 900}, **options)
        pages.append(shown)
        shown.on("pageerror", lambda error: troubles.append(str(error)))
        shown.on("console", lambda said: troubles.append(said.text))
        shown.on("dialog", lambda box: troubles.append(f"a dialog: {box.message}"))
        shown.on("request", lambda asked: troubles.append(asked.url))
        shown.goto(file.as_uri())
        assert troubles == [file.as_uri()]
        troubles.clear()
        return shown

    yield render
    for each in pages:
        each.close()
    assert troubles == []
