"""The page in a real Chromium: from disk, on any screen, in the dark, on paper, by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.core.run import Manifest, Run
from evalkit.report import entries, index_page, render
from tests.report.conftest import with_gate
from tests.report.test_report_hostile import planted
from tests.support.browser import opened
from tests.support.runs import Plan, build_run, stored_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390, 320)


LONG = ("quick-lora-checkpoint-1200", "smollm2-135m-instruct", "zephyr-7b-beta", "mistral-7b-v0.2")
PLANS = {
    "two": Plan(published=True),
    "four": Plan(models=LONG, samples=(120, 80, 1100), published=True),
}
PAPER = 710
"""CSS pixels across a page of A4 between its margins."""
_HEADLINES = "table:has(> caption:text-is('Tests and counts'))"


def gated(plan: Plan) -> Run:
    """The run of `plan` with a gate and costs: what takes most room."""
    usage = {"seconds": 3723.5, "sessions": 2, "asked": 240, "cost_usd": 1.25}
    margins = {"default": {"percent": 5.0, "points": 5.0}, "mt_bench": 0.8}
    return with_gate(build_run(plan, usage=usage), baseline=plan.models[1], margins=margins)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports on disk, by name."""
    folder = tmp_path_factory.mktemp("pages")
    runs = {name: gated(plan) for name, plan in PLANS.items()}
    runs |= {"hostile": planted(), "empty": Run(Path("run"), Manifest(run_id=""), (), (), ())}
    for name, run in runs.items():
        (folder / f"{name}.html").write_bytes(render(run)["index.html"])
    return {name: folder / f"{name}.html" for name in runs}


def sideways(page: Page) -> list[int]:
    """Width of what is on the page, and of the window."""
    found: list[int] = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return found


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_answer_and_every_verdict_stand_above_the_fold(
    chromium: Browser, pages: dict[str, Path], width: int, height: int
) -> None:
    """Of validated figures; a local judge's may stand below on a phone."""
    with opened(chromium, pages["two"], width=width) as seen:
        bottom = seen.page.evaluate(
            "Math.max(...[...document.querySelectorAll('.scores:not(.apart) .chip')]"
            ".map(e => e.getBoundingClientRect().bottom))"
        )
        assert 0 < bottom <= height
        assert seen.page.evaluate("document.querySelectorAll('.scores .chip').length") == 4


def test_folded_the_page_is_short_and_its_navigation_stays_in_sight(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["two"], width=1280) as seen:
        assert seen.page.evaluate("document.documentElement.scrollHeight") <= 7_800
        seen.page.click("nav a:text-is('Settings')")
        seen.page.evaluate("scrollTo({top: 2000, behavior: 'instant'})")
        assert seen.page.evaluate("document.querySelector('nav').getBoundingClientRect().top") == 0
        # A link into a section that is folded opens it.
        is_open = "document.getElementById(location.hash.slice(1)).closest('details').open"
        assert seen.page.evaluate(is_open)


@pytest.mark.parametrize("name", ["two", "hostile", "empty"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_from_disk_and_asks_for_nothing(
    chromium: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    with opened(chromium, pages[name], width=width) as seen:
        unfold(seen.page)
        seen.page.wait_for_timeout(50)
        assert seen.console == []
        assert seen.foreign == []
        assert seen.page.evaluate("window.pwned") is None
        on_page, window = sideways(seen.page)
        assert on_page <= window
        assert seen.page.evaluate("getComputedStyle(document.body).maxWidth") == "1216px"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_axe_finds_nothing_serious(
    chromium: Browser, pages: dict[str, Path], width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    with opened(chromium, pages["two"], width=width, color_scheme=scheme) as seen:
        unfold(seen.page)
        found: list[dict[str, Any]] = axe.Axe().run(seen.page).response["violations"]
    worst = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["target"] for n in v["nodes"]][:5]) for v in worst] == []


def test_one_plot_is_shown_beside_or_below_its_labels(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    for width, shown in ((1280, "wide"), (390, "narrow")):
        with opened(chromium, pages["two"], width=width) as seen:
            kinds = seen.page.evaluate(
                "[...document.querySelectorAll('.bars > svg')]"
                ".filter(e => getComputedStyle(e).display != 'none').map(e => e.classList[0])"
            )
            assert set(kinds) == {shown}


def test_marks_lie_where_the_axis_says(chromium: Browser, pages: dict[str, Path]) -> None:
    """The mark of a difference stands between the ticks around it, in proportion."""
    (c,) = [c for c in gated(PLANS["two"]).comparisons if c.key.metric == "win_rate"]
    with opened(chromium, pages["two"]) as seen:
        ticks, mark = seen.page.evaluate(
            """() => {
              const plot = [...document.querySelectorAll('table.scores')]
                .find(t => t.querySelector('tbody th').textContent === 'AlpacaEval');
              const middle = e => { const b = e.getBoundingClientRect(); return b.x + b.width / 2 };
              const ticks = [...plot.querySelectorAll('.axis .tick')]
                .map(t => [Number(t.textContent.replace('\\u2212', '-')), middle(t)])
                .filter(t => !Number.isNaN(t[0]));
              return [ticks, middle(plot.querySelector('.difference .mark'))];
            }"""
        )
    (low, left), (high, right) = ticks[0], ticks[-1]
    assert c.difference.point is not None
    wanted = left + (right - left) * (c.difference.point - low) / (high - low)
    assert mark == pytest.approx(wanted, abs=1.5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_charts_stand_out(
    chromium: Browser, pages: dict[str, Path], scheme: str
) -> None:
    """Contrast of texts of charts at least 4.5, of marks and bars at least 3 (WCAG 2.2)."""
    with opened(chromium, pages["two"], color_scheme=scheme) as seen:
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
              const texts = [...document.querySelectorAll('.chart text, .scores .tick')]
                .map(e => against(getComputedStyle(e).fill));
              const marks = [...document.querySelectorAll('.scores line.range, .chart rect.bar')]
                .map(e => against(getComputedStyle(e).stroke));
              return [Math.min(...texts), Math.min(...marks)];
            }"""
        )
    assert found[0] >= 4.5
    assert found[1] >= 3


def test_on_paper_nothing_is_folded_or_cut(chromium: Browser, pages: dict[str, Path]) -> None:
    with opened(chromium, pages["two"]) as seen:
        seen.page.emulate_media(media="print")
        seen.page.set_viewport_size({"width": 718, "height": 1000})
        assert not seen.page.is_visible("nav")
        assert seen.page.is_visible("text=How sure?")
        assert seen.page.is_visible("ul.statements li")
        background = "getComputedStyle(document.body).backgroundColor"
        assert seen.page.evaluate(background) == "rgb(255, 255, 255)"
        assert len(seen.page.pdf(format="A4")) > 20_000


def test_everything_that_scrolls_or_folds_can_be_reached_by_keyboard(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["two"], width=390) as seen:
        # The navigation is nothing but links, and a link that has focus is in sight.
        unreachable = seen.page.evaluate(
            """() => [...document.querySelectorAll('*')].filter(e =>
                 e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 &&
                 ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) &&
                 e.tabIndex < 0 && !e.closest('nav')).map(e => e.className)"""
        )
        assert unreachable == []
        seen.page.keyboard.press("Tab")
        assert seen.page.evaluate("document.activeElement.className") == "skip"
        seen.page.focus("summary")
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.querySelector('details').open") is True


# --- nothing is cut off, covered or pushed aside: measured ----------------------------------------


def on_paper(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": 1000})


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("width", [1280, 1440])
def test_the_headline_table_with_a_gate_needs_no_scrolling(
    chromium: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    with opened(chromium, pages[name], width=width) as seen:
        unfold(seen.page)
        table = seen.page.locator(_HEADLINES)
        inner, frame = table.evaluate("t => [t.offsetWidth, t.parentElement.clientWidth]")
        assert inner <= frame
        heads = table.locator("thead th").all_inner_texts()
        assert heads[-3:] == ["Losses", "Missing", "Gate"]
        rows = table.locator("tbody tr:not(.group)")
        assert rows.count() == 4 * (len(PLANS[name].models) - 1)
        # A figure is never broken over two lines, and none is left out for want of room.
        for row in rows.all():
            cells = row.locator("th, td")
            assert cells.count() == len(heads)
            assert all(text.strip() for text in cells.all_inner_texts())
        tall = table.evaluate(
            "t => Math.max(...[...t.querySelectorAll('td.right')].map(e => {"
            "const r = document.createRange(); r.selectNodeContents(e);"
            "return r.getBoundingClientRect().height / parseFloat(getComputedStyle(e).fontSize)"
            "}))"
        )
        assert tall < 2


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_no_table_is_wider_than_a_sheet_of_paper(
    chromium: Browser, pages: dict[str, Path], name: str
) -> None:
    """A browser shrinks the whole document to the widest table, until nothing can be read."""
    with opened(chromium, pages[name]) as seen:
        on_paper(seen.page)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= PAPER
        smallest = seen.page.evaluate(
            "Math.min(...[...document.querySelectorAll('td')].map("
            "e => parseFloat(getComputedStyle(e).fontSize)))"
        )
        assert smallest >= 9


_OVERLAPS = """() => {
  const seen = [...document.querySelectorAll('.chart text')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && getComputedStyle(e).display !== 'none';
  });
  const cross = (a, b) => {
    const [p, q] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
    return Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&
      Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 4;
  };
  const found = [];
  for (const a of seen) for (const b of seen) {
    if (a !== b && a.closest('.chart') === b.closest('.chart') && cross(a, b))
      found.push([a.textContent, b.textContent]);
  }
  return [seen.length, found];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("width", [1280, 390, 320, 0])
def test_no_word_of_a_chart_covers_another(
    chromium: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    """Width 0: on paper."""
    with opened(chromium, pages[name], width=width or PAPER) as seen:
        if not width:
            on_paper(seen.page)
        texts, overlaps = seen.page.evaluate(_OVERLAPS)
        assert texts > 30
        assert overlaps == []


@pytest.mark.slow
def test_headings_of_groups_are_read_whole_on_a_phone(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    """They wrap in the window, however wide the table is that scrolls below them."""
    with opened(chromium, pages["four"], width=390) as seen:
        unfold(seen.page)
        right = seen.page.evaluate(
            "Math.max(...[...document.querySelectorAll('.group span')].map("
            "e => e.getBoundingClientRect().right))"
        )
        assert right <= 390


@pytest.mark.slow
def test_rows_keep_their_names_when_a_phone_scrolls_sideways(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    with opened(chromium, pages["four"], width=390) as seen:
        unfold(seen.page)
        table = seen.page.locator(_HEADLINES)
        lefts = table.evaluate(
            """t => {
              t.parentElement.scrollLeft = 300;
              const edge = t.parentElement.getBoundingClientRect().left;
              return [...t.querySelectorAll('tbody th[scope=row]')]
                .map(e => e.getBoundingClientRect().left - edge);
            }"""
        )
        assert max(abs(left) for left in lefts) <= 1.5


def test_the_index_sorts_by_the_heading_that_is_clicked(chromium: Browser, tmp_path: Path) -> None:
    for i, name in enumerate(("tuned-10", "tuned-9"), 1):
        stored_run(tmp_path / name, Plan(models=(name, "base"), samples=(6, 4, 4), seed=i))
    html = index_page(list(entries([tmp_path])), lambda _: "", [tmp_path])
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    with opened(chromium, tmp_path / "index.html") as seen:
        cells = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[{}].textContent)"
        for heading, column in (("Model", 4), ("Value", 6), ("Difference", 8)):
            for order in range(2):
                seen.page.get_by_role("button", name=heading).click()
                texts = seen.page.evaluate(cells.format(column))
                if column == 4:
                    values = [float(text.removeprefix("tuned-")) for text in texts]
                else:
                    values = [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]
                # Figures begin with the highest, texts with the first.
                assert values == sorted(values, reverse=bool(order) == (column == 4))
                assert len(values) == 8
        assert seen.console == []
        assert seen.foreign == []
