"""Take a picture of each view of the demonstrations' pages: `make docs-figures`."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from tools.browser import started

_SIZE = ViewportSize(width=1100, height=760)
_SETTLED_MS = 800


def main(pages: Path, figures: Path) -> None:
    """Write `report-VIEW.png` for each view of journal.html and explore.html.

    :param pages: the directory that has them.
    :param figures: where the pictures go.
    """
    with started() as browser:
        for name in ("journal", "explore"):
            _views(browser, pages / f"{name}.html", figures)


def _views(browser: Browser, file: Path, figures: Path) -> None:
    page = browser.new_page(viewport=_SIZE, color_scheme="light")
    page.goto(file.resolve().as_uri())
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.wait_for_timeout(_SETTLED_MS)
        tab.scroll_into_view_if_needed()
        page.evaluate("document.querySelector('article').scrollIntoView()")
        view = tab.inner_text().lower().replace(" ", "-")
        page.screenshot(path=figures / f"report-{file.stem}-{view}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
