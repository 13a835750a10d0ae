"""A report split for a web server: what it loads and when, and what it says where it cannot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.report.browser import sample_link
from tests.support.browser import opened
from tests.support.pages import detail, go, listed, put, until
from tests.support.samples import judged_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class Unpacking(Quiet):
    """A host that says of `.gz` files that they are packed, so that browsers unpack them."""

    def end_headers(self) -> None:
        if self.path.endswith(".gz"):
            self.send_header("Content-Encoding", "gzip")
        super().end_headers()


@contextmanager
def served(folder: Path, handler: type[Quiet] = Quiet) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def visited(browser: Browser, address: str) -> Iterator[tuple[Page, list[str], list[str]]]:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("console", lambda m: said.append(m.text))
    page.on("pageerror", lambda e: said.append(str(e)))
    try:
        page.goto(address)
        yield page, asked, said
    finally:
        context.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(judged_run(), tmp_path, split=True).parent


@pytest.mark.parametrize("handler", [Quiet, Unpacking])
def test_files_are_loaded_when_they_are_wanted(
    chromium: Browser, folder: Path, handler: type[Quiet]
) -> None:
    with served(folder, handler) as root, visited(chromium, root) as (page, asked, said):
        page.wait_for_timeout(200)
        own = [url for url in asked if not url.startswith("data:")]
        assert own == [root]
        page.click("nav >> text=All samples")
        until(page, "document.querySelectorAll('.b-row').length")
        assert len([url for url in asked if "/samples/" in url]) == 1
        page.evaluate(f"location.hash = {sample_link('mt_bench', 'mt_bench', '86')!r}")
        assert "rates it" in detail(page, "86")
        n = len([url for url in asked if "/samples/" in url])
        assert n == 3
        go(page, "#samples&q=mountain")
        assert 0 < len(listed(page)) < 124
        files = {f"{root}{path.relative_to(folder)}" for path in folder.glob("samples/*")}
        assert {url for url in asked if "/samples/" in url} == files
        assert {url.startswith((root, "data:")) for url in asked} == {True}
        assert said == []


def test_from_a_disk_the_page_says_what_to_do(chromium: Browser, folder: Path) -> None:
    with opened(chromium, folder / "index.html", fragment="samples") as watched:
        until(watched.page, "document.querySelector('.browser').classList.contains('b-broken')")
        said = watched.page.text_content(".b-count") or ""
        assert "python -m http.server --bind 127.0.0.1" in said
        assert "without --split" in said
        watched.page.keyboard.press("Escape")
        assert watched.page.is_visible("h1")
        assert watched.console == []
        assert watched.foreign == []


def test_a_folder_that_was_not_copied_whole_says_which_file_lacks(
    chromium: Browser, folder: Path
) -> None:
    for path in folder.glob("samples/*"):
        path.unlink()
    with served(folder) as root, visited(chromium, f"{root}#samples") as (page, _, _):
        until(page, "document.querySelector('.browser').classList.contains('b-broken')")
        said = page.text_content(".b-count") or ""
        assert "could not be loaded (status 404)" in said
        assert "samples/" in said
