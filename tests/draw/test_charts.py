"""Charts: places, words beside them, hostile names, and what is left out where it is missing."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from bs4 import BeautifulSoup, Tag
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from evalkit.core.contests import LocalJudge, Verdict
from evalkit.core.figures import Figure, FigureKey
from evalkit.draw.svg import (
    Trend,
    TrendPoint,
    category_bars,
    forest_plots,
    scale,
    trend,
    trends,
)
from tests.support.contests import contest, gate_test, measured
from tests.support.properties import examples

WIDE = st.floats(-1e9, 1e9, allow_nan=False)
HOSTILE = "\"><script>1</script><style>x{}</style> ' & \x00 \ud800 \uffff \u202e"


def read(svg: Markup) -> Tag:
    found = BeautifulSoup(str(svg), "html.parser").find("svg")
    assert isinstance(found, Tag)
    return found


def figures(*values: float | None, models: tuple[str, ...] = ("a", "b")) -> list[Figure]:
    """A category a value, of each model."""
    return [
        Figure(
            model,
            FigureKey("mt_bench", "mt_bench", "score", f"c{i}"),
            "points",
            measured(v, None if v is None else v - 1, None if v is None else v + 1, n=10),
        )
        for i, v in enumerate(values)
        for model in models
    ]


def charts(name: str) -> list[Markup]:
    """One of each kind, in which every text is `name`."""
    row = contest(candidate=name, baseline=name, task=name, category=name)
    bars = [
        replace(f, model=name, key=replace(f.key, category=name)) for f in figures(5, models=("a",))
    ]
    points = (TrendPoint(name, measured(5.0, 4.0, 6.0)), TrendPoint(name, measured(6, 5, 7)))
    return [
        forest_plots([row, replace(row, verdict="undefined")])[0].svg,
        category_bars(name, bars, [name]).svg,
        trend(Trend(name, "points", points, name)),
    ]


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
        assert 0 <= found.share(value) <= 1


def test_ticks_are_at_one_two_or_five() -> None:
    assert scale([0.0, -1.1, 2.97]).ticks == (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
    assert scale([0.0, 10.0]).ticks == (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    assert scale([0.0, 0.7]).ticks == (0.0, 0.2, 0.4, 0.6, 0.8)
    # A bound that is off by floating point adds no step.
    assert scale([0.0, 10.000000001]).ticks[-1] == 10.0


@examples(20)
@given(st.text(st.characters(), max_size=60))
def test_any_text_gives_the_same_elements(name: str) -> None:
    def shape(svg: Markup) -> list[str]:
        return re.findall(r"<(\w+)", str(svg))

    made = charts(name)
    # A trend leaves out labels that have no room.
    assert [shape(s) for s in made[:2]] == [shape(s) for s in charts("plain")[:2]]
    assert made == charts(name)


@pytest.mark.parametrize("svg", [*charts(HOSTILE), trends([Trend(HOSTILE, "points", ())])])
def test_charts_are_xml_without_styles_scripts_or_handlers(svg: Markup) -> None:
    root = ET.fromstring(svg)
    names = {e.tag.rpartition("}")[2] for e in root.iter()}
    assert names <= {
        *("svg", "title", "desc", "text", "line", "rect", "circle", "polygon", "polyline", "g"),
    }
    attributes = {name for e in root.iter() for name in e.attrib}
    assert not attributes & {"style", "href", "onload"}
    svg.encode("utf-8")


def test_a_forest_has_a_drawing_for_each_unit_and_says_all_in_words() -> None:
    items = [
        contest(),
        contest(point=-1.0, low=-3.0, high=1.0, verdict="not_significant", tests=3),
        contest(benchmark="mt_bench", metric="score", unit="points", cautions=(LocalJudge("q"),)),
    ]
    first, second = forest_plots(items)
    assert first.title == "a minus b, percentage points"
    assert not first.note
    assert second.note.startswith("Lines: 95% CI. ▲ better, ▼ worse: only where that holds after")
    page = read(first.svg)
    assert "a is better than b on AlpacaEval: +2.9" in page.get_text()
    assert [t.get_text() for t in page.select("text.said")] == [
        "▲ +2.9 (+0.4 to +5.4)",
        "○ \N{MINUS SIGN}1.0 (\N{MINUS SIGN}3.0 to +1.0)",
    ]
    assert len(page.select("svg.wide line.range")) == 2
    assert "MT-Bench (local judge)" in read(second.svg).get_text()


@pytest.mark.parametrize(
    ("verdict", "drawn"),
    [
        ("better", "polygon.better"),
        ("worse", "polygon.worse"),
        ("longer", "polygon.longer"),
        ("not_significant", "circle.unclear"),
        ("undefined", "text.undefined"),
    ],
)
def test_shape_repeats_the_verdict(verdict: Verdict, drawn: str) -> None:
    page = read(forest_plots([contest(verdict=verdict)])[0].svg)
    assert len(page.select(f"svg.wide {drawn}")) == 1


def test_the_gates_margin_is_where_a_loss_is() -> None:
    def place(higher_is_better: bool) -> float:
        test = gate_test("pass", contest=contest(higher_is_better=higher_is_better))
        line = read(forest_plots([test])[0].svg).select_one("svg.wide line.margin")
        assert line is not None
        return float(str(line["x1"]).rstrip("%"))

    assert place(True) < place(False)
    assert forest_plots([gate_test("missing", contest=None)]) == []


def test_what_does_not_vary_or_is_useless_has_no_interval_drawn() -> None:
    same = contest(low=2.9, high=2.9, error=0.0, verdict="undefined")
    wide = contest(low=-40.0, high=40.0, n=3, verdict="not_significant")
    page = read(forest_plots([same, wide])[0].svg)
    assert not page.select("line.range")
    said = [t.get_text() for t in page.select("text.said")]
    assert said == [
        "? +2.9 (all samples agree)",
        "○ +2.9 (CI too wide)",
    ]


def test_a_missing_figure_has_no_bar_and_few_units_no_interval() -> None:
    drawn = figures(5.0, None)
    few = replace(drawn[0], value=measured(5.0, 1.0, 9.0, n=4))
    page = read(category_bars("t", [few, *drawn[1:]], ["a", "b"]).svg)
    assert [t.get_text() for t in page.select("text.key")] == ["a", "b"]
    assert len(page.select("svg.wide rect.bar")) == 2, "a missing figure has none"
    assert page.get_text().count("no score") == 4, "beside its place, and in the description"
    assert len(page.select("svg.wide line.whisker")) == 3, "of b alone"
    widths = [str(r["width"]) for r in page.select("svg.wide rect")]
    assert widths == ["48%", "48%"], "half of the scale from 0 to 10"
    with pytest.raises(ValueError, match="expected figures of 1 to 4 models"):
        category_bars("t", drawn, list("abcde"))


def points(n: int, split: int = -1, label: str = "checkpoint-") -> tuple[TrendPoint, ...]:
    return tuple(
        TrendPoint(f"{label}{i}", measured(50 + i, 48 + i, 52 + i), float(i), split=i == split)
        for i in range(n)
    )


def test_a_trend_joins_no_points_whose_settings_changed() -> None:
    page = read(trend(Trend("MT-Bench", "percent", points(5, split=3), "training step")))
    assert [len(str(p["points"]).split()) for p in page.select("polyline")] == [3, 2]
    assert len(page.select("circle")) == 3
    assert len(page.select("polygon")) == 2, "the second segment has another shape"
    assert "settings changed" in page.get_text()
    assert "checkpoint-4: 54.00 (52.00 to 56.00), n 805." in page.get_text()
    xs = [float(str(c["cx"])) for c in page.select("circle")]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1])


@pytest.mark.parametrize("label", ["x", "checkpoint-1000000", "检查点检查点检查点检查点"])
def test_words_of_a_trend_have_room_beside_each_other(label: str) -> None:
    many = tuple(replace(p, split=i % 2 == 1) for i, p in enumerate(points(60, label=label)))
    page = read(trend(Trend("title " * 40, "percent", many)))
    rows: dict[str, list[tuple[float, float]]] = {}
    for text in page.select("text"):
        if text["text-anchor"] == "middle":
            size, words = float(str(text["font-size"])), text.get_text()
            half = size * sum(1.0 if ord(c) > 0x2E80 else 0.6 for c in words) / 2
            x = float(str(text["x"]))
            rows.setdefault(str(text["y"]), []).append((x - half, x + half))
    assert all(a >= 0 and b <= 640 for row in rows.values() for a, b in row)
    for row in rows.values():
        assert all(a[1] < b[0] for a, b in itertools.pairwise(row))
