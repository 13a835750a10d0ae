"""The viewer in a real browser: sort, open, choose, compare, with nothing asked of anyone else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from evalkit.viewer import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def page(chromium: Browser, server: Server) -> Iterator[Page]:
    """Watched: errors, and requests to anyone else, fail the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    seen: list[str] = []
    made.on("console", lambda m: seen.append(m.text) if _REFUSAL not in m.text else None)
    made.on("pageerror", lambda e: seen.append(str(e)))
    made.on("request", lambda r: seen.append(r.url) if not _ours(r.url, server) else None)
    made.goto(server.address)
    yield made
    context.close()
    assert seen == []


_REFUSAL = "status of 400"
"""Chromium notes the page that says why a choice makes no comparison."""


def _ours(url: str, server: Server) -> bool:
    return url.startswith((server.address, "data:"))


def test_sorting_opening_and_coming_back(page: Page) -> None:
    rows = page.locator("table.runs tbody tr")
    assert rows.count() == 2
    assert "tuned-2" in rows.first.inner_text()
    page.get_by_role("link", name="Model").click()
    assert "tuned-1" in rows.first.inner_text()
    page.get_by_role("link", name="Model").click()
    assert "tuned-2" in rows.first.inner_text()
    rows.first.get_by_role("link").click()
    assert page.locator("h1").inner_text().startswith("tuned-2 against base")
    page.go_back()
    assert rows.count() == 2


def test_two_runs_chosen_with_the_keyboard_and_compared(page: Page) -> None:
    for box in page.get_by_role("checkbox").all():
        box.focus()
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?*")
    assert page.locator("h1").inner_text() == "2 runs side by side"
    assert "tuned-1 against tuned-2" in page.locator("h3").first.inner_text()
    page.get_by_role("link", name="make it this one").click()
    assert "tuned-2 against tuned-1" in page.locator("h3").first.inner_text()


def test_one_run_is_told_to_choose_more(page: Page) -> None:
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Compare two or three").click()
    assert "choose two or three" in page.locator("main").inner_text()


def test_it_fits_a_phone_and_a_dark_screen(chromium: Browser, server: Server) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.goto(server.address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(20, 22, 26)"
    context.close()
