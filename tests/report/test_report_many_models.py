"""A candidate against many: what is said of every pair is said once, and nothing is ambiguous."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from evalkit.report import render
from evalkit.report.charts.bars import KINDS
from tests.support.runs import Plan, build_run

NAMES = ("tuned", "base", *(f"other-{i}" for i in range(6)))


@pytest.fixture(scope="module")
def page() -> BeautifulSoup:
    run = build_run(Path("run"), Plan(models=NAMES, samples=(12, 16, 20)))
    return BeautifulSoup(render(run)["index.html"], "html.parser")


def test_the_title_names_three_and_counts_more(page: BeautifulSoup) -> None:
    assert page.h1 is not None
    assert page.h1.get_text() == "tuned against 7 models"
    run = build_run(Path("run"), Plan(models=NAMES[:4], samples=(3, 2, 2)))
    text = render(run)["report.md"].decode("utf-8")
    assert text.startswith("# tuned against base, other-0, other-1\n")


def test_what_the_answers_rest_on_stands_once(page: BeautifulSoup) -> None:
    """The fewest and the most samples of a pair."""
    found = [p.get_text() for p in page.select("p.basis") if "Evidence" in p.get_text()]
    table = next(
        t
        for t in page.find_all("table")
        if t.caption and t.caption.get_text() == "Headline measures"
    )
    sizes = {
        int(row.find_all(["th", "td"])[11].get_text())
        for row in table.select("tbody tr:not(.group)")
        if row.get_text().strip().startswith("lm-eval: opposites")
    }
    assert len(sizes) > 1
    (said,) = found
    assert said.startswith("Evidence. Samples that both models of a pair have a score for: ")
    assert f"lm-eval: opposites {min(sizes)} to {max(sizes)}," in said


def test_pairs_that_were_not_asked_the_same_are_told_apart() -> None:
    run = build_run(Path("run"), Plan(models=NAMES[:3], samples=(12, 4, 6)))
    rows = tuple(
        c for c in run.comparisons if (c.baseline, c.benchmark) != ("other-0", "alpaca_eval")
    )
    text = render(replace(run, comparisons=rows))["report.md"].decode("utf-8")
    assert "**Evidence, tuned and base.** Samples that both models have" in text
    line = next(line for line in text.split("\n") if line.startswith("**Evidence, tuned and other"))
    assert "No difference, for want of such samples: AlpacaEval." in line


def test_drawings_of_the_first_pairs_stand_open_and_the_rest_folded(page: BeautifulSoup) -> None:
    forests = page.select("svg.forest")
    assert len(forests) == 2 * 7
    folded = [f for f in forests if f.find_parent("details") is not None]
    assert len(folded) == 2 * 4
    summaries = [s.get_text() for s in page.find_all("summary")]
    assert "Drawings of 4 more pairs" in summaries
    assert "Lengths of 4 more pairs" in summaries


def test_no_two_models_of_a_chart_look_alike(page: BeautifulSoup) -> None:
    """More models than fills: candidate and baselines are drawn, the table has all."""
    (chart,) = page.select("svg.bars")
    names = [t.get_text() for t in chart.select("text.key")]
    assert names == list(NAMES[:KINDS])
    keys = [tuple(r["class"]) for r in chart.find_all("rect", recursive=False)]
    assert len(set(keys)) == len(keys) == KINDS
    figure = chart.find_parent("figure")
    assert figure is not None
    assert "Drawn: 4 of 8 models; the table has all." in figure.get_text()
    table = next(
        t for t in page.find_all("table") if t.caption and "by category" in t.caption.get_text()
    )
    assert table.thead is not None
    heads = [th.get_text() for th in table.thead.find_all("th")]
    assert heads[1:9] == list(NAMES)
