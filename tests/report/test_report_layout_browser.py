"""Nothing of the page is cut off, covered or pushed aside: tables, charts and examples, measured.

The runs have what takes most room: a gate, long names of models, four models, categories.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalkit.core import Run
from tests.support.browser import opened
from tests.support.pages import put
from tests.support.runs import Plan, build_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = ("quick-lora-checkpoint-1200", "smollm2-135m-instruct", "zephyr-7b-beta", "mistral-7b-v0.2")
PLANS = {
    "two": Plan(published=True),
    "four": Plan(models=LONG, samples=(120, 80, 1100), published=True),
}
PAPER = 710
"""CSS pixels across a page of A4 between its margins."""

_HEADLINES = "table:has(> caption:text-is('Headline measures'))"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports with a gate, by name."""
    folder = tmp_path_factory.mktemp("layout")
    found = {name: put(gated(plan), folder / name) for name, plan in PLANS.items()}
    return found | {"radar": put(gated(PLANS["four"], charts="radar"), folder / "radar")}


def gated(plan: Plan, charts: str = "bars") -> Run:
    """The run of `plan`, whose suite has a gate."""
    run = build_run(Path("run"), plan)
    gate = {"baseline": plan.models[1], "margins": {"default": 5.0, "mt_bench": 0.8}}
    suite = {**run.manifest["suite"], "gate": gate}
    suite["report"] = {**suite["report"], "charts": charts}
    return replace(run, manifest={**run.manifest, "suite": suite})


def on_paper(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER, "height": 1000})


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("width", [1280, 1440])
def test_the_headline_table_with_a_gate_needs_no_scrolling(
    chromium: Browser, reports: dict[str, Path], name: str, width: int
) -> None:
    with opened(chromium, reports[name], width=width) as seen:
        table = seen.page.locator(_HEADLINES)
        inner, frame = table.evaluate("t => [t.offsetWidth, t.parentElement.clientWidth]")
        assert inner <= frame
        heads = table.locator("thead th").all_inner_texts()
        assert heads[-4:] == ["Losses", "n", "Missing", "Gate"]
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


@pytest.mark.parametrize("name", PLANS)
def test_no_table_is_wider_than_a_sheet_of_paper(
    chromium: Browser, reports: dict[str, Path], name: str
) -> None:
    """A browser shrinks the whole document to the widest table, until nothing can be read."""
    with opened(chromium, reports[name]) as seen:
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


@pytest.mark.parametrize("name", [*PLANS, "radar"])
@pytest.mark.parametrize("width", [1280, 390, 320, 0])
def test_no_word_of_a_chart_covers_another(
    chromium: Browser, reports: dict[str, Path], name: str, width: int
) -> None:
    """Width 0: on paper."""
    with opened(chromium, reports[name], width=width or PAPER) as seen:
        if not width:
            on_paper(seen.page)
        texts, overlaps = seen.page.evaluate(_OVERLAPS)
        assert texts > 30
        assert overlaps == []


def test_whiskers_are_seen_in_front_of_dark_bars(
    chromium: Browser, reports: dict[str, Path]
) -> None:
    """Each has a line in the colour of the paper behind it, wider than itself."""
    with opened(chromium, reports["four"]) as seen:
        behind = seen.page.evaluate(
            """[...document.querySelectorAll('.bars .wide line.whisker')].map(line => {
              const halo = line.previousElementSibling;
              return halo.classList.contains('halo') &&
                parseFloat(getComputedStyle(halo).strokeWidth) >
                parseFloat(getComputedStyle(line).strokeWidth) &&
                getComputedStyle(halo).stroke ===
                getComputedStyle(document.querySelector('.chart')).backgroundColor;
            })"""
        )
        # Of three lines, the long one comes first; its ends stand out of the bar.
        assert behind[::3]
        assert all(behind[::3])


def test_examples_begin_at_the_top_of_their_box_and_fill_its_rows(
    chromium: Browser, reports: dict[str, Path]
) -> None:
    with opened(chromium, reports["four"]) as seen:
        gaps = seen.page.evaluate(
            "[...document.querySelectorAll('.example')].map(e => "
            "e.firstElementChild.getBoundingClientRect().top - e.getBoundingClientRect().top)"
        )
        assert gaps
        assert max(gaps) < 24
        columns = seen.page.evaluate(
            "[...document.querySelectorAll('.example .sides')].map(e => "
            "getComputedStyle(e).gridTemplateColumns.split(' ').length)"
        )
        assert set(columns) == {2}


def test_first_and_last_cells_of_a_wide_table_keep_off_its_frame(
    chromium: Browser, reports: dict[str, Path]
) -> None:
    with opened(chromium, reports["two"]) as seen:
        for place, side in (("first-child", "Left"), ("last-child", "Right")):
            edge = seen.page.evaluate(
                f"[...document.querySelectorAll('.many :is(th, td):{place}')]"
                f".map(e => getComputedStyle(e).padding{side})"
            )
            assert set(edge) == {"16px"}


def test_headings_of_groups_are_read_whole_on_a_phone(
    chromium: Browser, reports: dict[str, Path]
) -> None:
    """They wrap in the window, however wide the table is that scrolls below them."""
    with opened(chromium, reports["four"], width=390) as seen:
        right = seen.page.evaluate(
            "Math.max(...[...document.querySelectorAll('.group span')].map("
            "e => e.getBoundingClientRect().right))"
        )
        assert right <= 390


def test_rows_keep_their_names_when_a_phone_scrolls_sideways(
    chromium: Browser, reports: dict[str, Path]
) -> None:
    with opened(chromium, reports["four"], width=390) as seen:
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
