"""Drawings: places, words beside them, hostile names, and what is left out where it is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from evalkit.core import Run
from evalkit.report import render
from evalkit.report.charts import (
    Bar,
    Bars,
    BarsGroup,
    Forest,
    ForestRow,
    Radar,
    bars_svg,
    forest_svg,
    radar_svg,
)
from evalkit.report.charts.scale import scale
from tests.report.test_report_hostile import PAYLOADS, Audit
from tests.support.properties import examples
from tests.support.runs import Plan, build_run

WIDE = st.floats(-1e9, 1e9, allow_nan=False)


@examples(200)
@given(st.lists(st.none() | WIDE, max_size=6))
def test_an_axis_holds_its_values_between_few_round_ticks(values: list[float | None]) -> None:
    found = scale(values)
    known = [v for v in values if v is not None]
    assert 2 <= len(found.ticks) <= 12
    assert list(found.ticks) == sorted(set(found.ticks))
    reach = found.ticks[-1] - found.ticks[0]
    for value in known:
        assert found.ticks[0] - 1e-5 * reach <= value <= found.ticks[-1] + 1e-5 * reach
        assert 0 < found.share(value) < 1


def test_ticks_are_at_one_two_or_five() -> None:
    assert scale([0.0, -1.1, 2.97]).ticks == (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    assert scale([0.0, 10.0]).ticks == (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    assert scale([0.0, 0.7]).ticks == (0.0, 0.2, 0.4, 0.6, 0.8)
    # A bound that is off by floating point adds no step.
    assert scale([0.0, 10.000000001]).ticks[-1] == 10.0


def charts(name: str) -> list[Markup]:
    """One of each kind, in which every text is `name`."""
    row = ForestRow(name, "unclear", 1.0, -1.0, 3.0, -2.0, name, name)
    rows = (row, replace(row, verdict="better"), replace(row, verdict="undefined", low=None))
    bar = Bar(5.0, 4.0, 6.0, name)
    three = (name, name, name)
    return [
        forest_svg(Forest(name, name, name, True, name, rows)),
        bars_svg(Bars(name, (name, name), scale([0, 10]), (BarsGroup(name, (bar, bar)),), name)),
        radar_svg(Radar(name, three, scale([0, 10]), (name,), ((1.0, None, 3.0),), (three,))),
    ]


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_texts_stay_texts(name: str) -> None:
    for svg in charts(name):
        parser = Audit()
        parser.feed(str(svg))
        parser.close()
        assert parser.open == []
        str(svg).encode("utf-8")


@examples(50)
@given(st.text(st.characters(), max_size=60))
def test_any_text_gives_the_same_elements(name: str) -> None:
    def names(svg: Markup) -> list[str]:
        return re.findall(r"<(\w+)", str(svg))

    assert [names(s) for s in charts(name)] == [names(s) for s in charts("plain")]
    assert charts(name) == charts(name)


def test_a_missing_figure_has_no_bar_and_leaves_a_gap() -> None:
    bars = Bars(
        "t",
        ("a", "b"),
        scale([0, 10]),
        (BarsGroup("g", (Bar(None, None, None, "no score"), Bar(0.0, None, None, "0.00"))),),
        "",
    )
    page = BeautifulSoup(str(bars_svg(bars)), "html.parser")
    drawn = page.select("svg.wide rect")
    assert [r["class"] for r in drawn] == [["bar", "s1"]], "a zero is drawn, a missing one is not"
    assert "no score" in page.get_text()
    square = Radar("t", tuple("abcd"), scale([0, 10]), ("m",), ((1, None, 3, 4),), (tuple("abcd"),))
    page = BeautifulSoup(str(radar_svg(square)), "html.parser")
    assert len(page.select("circle.dot")) == 3 + 1, "and the legend's"
    assert len(page.select("line.edge")) == 2 + 1


@pytest.mark.parametrize("kind", ["bars", "radar"])
def test_categories_are_drawn_as_they_are_in_the_results(kind: str) -> None:
    run = build_run(Path("run"), Plan(models=("a", "b", "c"), samples=(6, 80, 6)))
    suite = {**run.manifest["suite"], "report": {"charts": kind, "examples": 0}}
    run = replace(run, manifest={**run.manifest, "suite": suite})
    page = BeautifulSoup(render(run)["index.html"], "html.parser")
    (chart,) = page.select(f"svg.{kind}")
    said = chart.find("desc")
    assert said is not None
    rows = [e for e in run.estimates if (e.metric, e.model) == ("score", "b") and e.category]
    assert len(rows) == 8
    for e in rows:
        assert f"{e.point:.2f}" in said.get_text()
    if kind == "bars":
        # 10 questions a category: all have intervals.
        assert len(chart.select("svg.wide line.whisker")) == 3 * 3 * 8
        widths = [float(str(r["width"]).rstrip("%")) for r in chart.select("svg.wide rect.s1")]
        assert widths == pytest.approx([96 * (e.point or 0) / 10 for e in rows], abs=0.01)


def test_few_samples_are_drawn_without_an_interval() -> None:
    page = BeautifulSoup(render(build_run(Path("run"), Plan()))["index.html"], "html.parser")
    assert page.select("svg.bars rect.bar")
    assert not page.select("svg.bars line.whisker"), "four scores of two questions"


def test_three_candidates_are_no_ranking() -> None:
    """Models stand as the suite has them, whatever their figures."""
    run: Run = build_run(Path("run"), Plan(models=("z", "m", "a"), advantage=-0.3))
    page = BeautifulSoup(render(run)["index.html"], "html.parser")
    keys = [t.get_text() for t in page.select("svg.bars text.key")]
    assert keys == ["z", "m", "a"]
