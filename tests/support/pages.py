"""The browser of samples, driven: its list read as a whole, its address set, its state awaited.

The page's policy forbids `eval`, and with it Playwright's `wait_for_function`; `until` waits.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit import report
from evalkit.core.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["detail", "go", "listed", "put", "until"]

_PATIENCE_S = 20.0
_LISTED = """async () => {
  const box = document.querySelector(".b-list");
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const found = new Map();
  let most = 0;
  for (let top = 0; ; top += box.clientHeight) {
    box.scrollTop = top;
    await frame();
    const options = box.querySelectorAll("[role=option]");
    most = Math.max(most, options.length);
    for (const option of options) found.set(Number(option.dataset.at), option.dataset.key);
    if (top + box.clientHeight >= box.scrollHeight) break;
  }
  return [[...found].sort(([a], [b]) => a - b), most];
}"""


def put(run: Run, folder: Path, *, split: bool = False) -> Path:
    """The page of `run`, written with whatever belongs beside it."""
    for name, content in report.render(run, split=split).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / "index.html"


def until(page: Page, expression: str) -> Any:
    """The value of a JavaScript expression, once it is true."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = page.evaluate(expression)
        if found:
            return found
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {expression}")


def go(page: Page, address: str) -> None:
    """Another address of the open page, with every text searchable."""
    page.evaluate("(hash) => { location.hash = hash; }", address)
    until(page, "performance.getEntriesByName('evalkit-texts').length")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def listed(page: Page) -> list[str]:
    """Keys of all rows of the list, in order, by scrolling through it."""
    found, most = page.evaluate(_LISTED)
    assert [at for at, _ in found] == list(range(len(found)))
    assert most < 40
    return [key for _, key in found]


def detail(page: Page, sample: str) -> str:
    """All text of the open sample, folded parts too, once it is that one."""
    until(page, f"document.querySelector('.b-detail h3')?.textContent === {f'Sample {sample}'!r}")
    return str(page.evaluate("document.querySelector('.b-detail').textContent"))
