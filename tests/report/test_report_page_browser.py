"""The page in a real Chromium: from disk, on any screen, in the dark, on paper, by keyboard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.core import Run
from evalkit.report import render
from tests.report.test_report_hostile import planted
from tests.support.browser import opened
from tests.support.runs import Plan, build_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390, 320)


def with_everything(charts: str = "bars") -> Run:
    """A gate, a published model, costs and a failed sample."""
    run = build_run(Path("run"), Plan(published=True))
    manifest = run.manifest
    suite = {**manifest["suite"], "gate": {"baseline": "smollm2", "margins": {"default": 5.0}}}
    suite["report"] = {**suite["report"], "charts": charts}
    usage = {"seconds": 3723.5, "sessions": 2, "asked": 240, "cost_usd": 1.25}
    return replace(run, manifest={**manifest, "suite": suite, "usage": usage})


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports on disk, by name."""
    folder = tmp_path_factory.mktemp("pages")
    runs = {
        "bars": with_everything(),
        "radar": with_everything("radar"),
        "hostile": planted(),
        "empty": Run(Path("run"), {}, (), (), ()),
    }
    for name, run in runs.items():
        (folder / f"{name}.html").write_bytes(render(run)["index.html"])
    return {name: folder / f"{name}.html" for name in runs}


def sideways(page: Page) -> list[int]:
    """Width of what is on the page, and of the window."""
    found: list[int] = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return found


@pytest.mark.parametrize("name", ["bars", "radar", "hostile", "empty"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_from_disk_and_asks_for_nothing(
    chromium: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    with opened(chromium, pages[name], width=width) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        seen.page.wait_for_timeout(50)
        assert seen.console == []
        assert seen.foreign == []
        assert seen.page.evaluate("window.pwned") is None
        on_page, window = sideways(seen.page)
        assert on_page <= window
        assert seen.page.evaluate("getComputedStyle(document.body).maxWidth") == "1120px"


@pytest.mark.parametrize("name", ["bars", "radar"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_axe_finds_nothing_serious(
    chromium: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    with opened(chromium, pages[name], width=width, color_scheme=scheme) as seen:
        seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found: list[dict[str, Any]] = axe.Axe().run(seen.page).response["violations"]
    worst = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["target"] for n in v["nodes"]][:5]) for v in worst] == []


def test_one_plot_is_shown_beside_or_below_its_labels(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    for width, shown in ((1280, "wide"), (390, "narrow")):
        with opened(chromium, pages["bars"], width=width) as seen:
            kinds = seen.page.evaluate(
                "[...document.querySelectorAll('.forest > svg')]"
                ".filter(e => getComputedStyle(e).display != 'none').map(e => e.classList[0])"
            )
            assert set(kinds) == {shown}


def test_marks_lie_where_the_axis_says(chromium: Browser, pages: dict[str, Path]) -> None:
    """The mark of a difference stands between the ticks around it, in proportion."""
    run = with_everything()
    (c,) = [c for c in run.comparisons if c.metric == "win_rate"]
    with opened(chromium, pages["bars"]) as seen:
        ticks, mark = seen.page.evaluate(
            """() => {
              const plot = document.querySelector('.forest .wide');
              const middle = e => { const b = e.getBoundingClientRect(); return b.x + b.width / 2 };
              const ticks = [...plot.querySelectorAll('text.tick')]
                .map(t => [Number(t.textContent.replace('\\u2212', '-')), middle(t)])
                .filter(t => !Number.isNaN(t[0]));
              return [ticks, middle(plot.querySelector('.mark'))];
            }"""
        )
    (low, left), (high, right) = ticks[0], ticks[-1]
    assert c.difference is not None
    wanted = left + (right - left) * (c.difference - low) / (high - low)
    assert mark == pytest.approx(wanted, abs=1.5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_charts_stand_out(
    chromium: Browser, pages: dict[str, Path], scheme: str
) -> None:
    """Contrast of texts of charts at least 4.5, of marks and bars at least 3 (WCAG 2.2)."""
    with opened(chromium, pages["bars"], color_scheme=scheme) as seen:
        found = seen.page.evaluate(
            """() => {
              const light = c => {
                const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
              };
              const chart = document.querySelector('.chart');
              const card = light(getComputedStyle(chart).backgroundColor);
              const against = c => {
                const [a, b] = [light(c), card].sort((x, y) => y - x);
                return (a + 0.05) / (b + 0.05);
              };
              const texts = [...document.querySelectorAll('.chart text')]
                .map(e => against(getComputedStyle(e).fill));
              const marks = [...document.querySelectorAll('.chart line.range, .chart rect.bar')]
                .map(e => against(getComputedStyle(e).stroke));
              return [Math.min(...texts), Math.min(...marks)];
            }"""
        )
    assert found[0] >= 4.5
    assert found[1] >= 3


def test_on_paper_nothing_is_folded_or_cut(chromium: Browser, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["bars"]) as seen:
        seen.page.emulate_media(media="print")
        seen.page.set_viewport_size({"width": 718, "height": 1000})
        assert not seen.page.is_visible("nav")
        assert seen.page.is_visible("text=in a sentence that may be printed")
        assert seen.page.is_visible("ul.statements li")
        background = "getComputedStyle(document.body).backgroundColor"
        assert seen.page.evaluate(background) == "rgb(255, 255, 255)"
        assert len(seen.page.pdf(format="A4")) > 20_000


def test_everything_that_scrolls_or_folds_can_be_reached_by_keyboard(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["bars"], width=390) as seen:
        unreachable = seen.page.evaluate(
            """() => [...document.querySelectorAll('*')].filter(e =>
                 e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 &&
                 ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) &&
                 e.tabIndex < 0).map(e => e.className)"""
        )
        assert unreachable == []
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.className") == "skip"
        seen.page.focus("summary")
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.querySelector('details').open") is True
