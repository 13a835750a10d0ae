"""The pictures of a report in docs/images: python scripts/screenshots.py RUN.

RUN is a folder with a finished run, as `evalkit run quickstart` makes; needs Playwright and a
Chromium on this machine.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from evalkit import report, store

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SCREENS = {
    "desktop": (1280, 800, "light", "screen"),
    "phone": (390, 844, "light", "screen"),
    "dark": (1280, 800, "dark", "screen"),
    "print": (718, 1000, "light", "print"),
}
"""Width and height in CSS pixels, colour scheme, medium."""


def main() -> None:
    """Render the run and look at it on every screen."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page_file = Path(folder) / "index.html"
        page_file.write_bytes(report.render(store.load(Path(sys.argv[1])))["index.html"])
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (width, height, scheme, medium) in SCREENS.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.emulate_media(media=medium, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(page_file.as_uri())
            page.screenshot(path=IMAGES / f"report-{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
