"""A real Chromium for tests of pages: launched or skipped with a reason, and watched.

Pages are opened from `file://`, and whatever they ask for or complain of is kept, so that a test
can say that it is nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

__all__ = ["Watched", "launched", "opened"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def launched() -> Iterator[Browser]:
    """The machine's Chromium; skips the test where there is none."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"none of {', '.join(_NAMES)} is on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """An open page, and what it did."""

    page: Page
    file: str
    """Its own address."""
    requests: list[str] = field(default_factory=list)
    """Every address asked for, the page's own among them; `data:` is no request."""
    console: list[str] = field(default_factory=list)
    """Messages, errors of scripts and dialogs."""

    def dialog(self, dialog: Dialog) -> None:
        """Keep what it says and close it."""
        self.console.append(dialog.message)
        dialog.dismiss()

    @property
    def foreign(self) -> list[str]:
        """Requests for anything but the page itself."""
        return [url for url in self.requests if url.partition("#")[0] != self.file]


@contextmanager
def opened(
    browser: Browser, file: Path, *, width: int = 1280, fragment: str = "", **context: Any
) -> Iterator[Watched]:
    """`file` in a fresh context, watched from before it loads.

    Args:
        browser: From `launched`.
        file: A page on disk.
        width: Of the window, in CSS pixels.
        fragment: After the `#` of the address.
        context: More settings of the context: `color_scheme`, `bypass_csp`, ...
    """
    made = browser.new_context(viewport={"width": width, "height": 900}, **context)
    try:
        watched = Watched(made.new_page(), file.resolve().as_uri())
        page = watched.page
        page.on("request", lambda r: _note(watched.requests, r.url))
        page.on("console", lambda m: watched.console.append(m.text))
        page.on("pageerror", lambda e: watched.console.append(str(e)))
        page.on("dialog", watched.dialog)
        page.goto(watched.file + (f"#{fragment}" if fragment else ""))
        yield watched
    finally:
        made.close()


def _note(requests: list[str], url: str) -> None:
    if not url.startswith("data:"):
        requests.append(url)
