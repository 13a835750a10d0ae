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
from evalkit.draw import Item, ends
from evalkit.draw.html import table_to_html
from evalkit.draw.svg import (
    Trend,
    TrendPoint,
    category_bars,
    scale,
    score_tables,
    trend,
    trends,
)
from tests.support.contests import contest, gate_test, measured
from tests.support.properties import examples

WIDE = st.floats(-1e9, 1e9, allow_nan=False)
HOSTILE = "\"><script>1</script><style>x{}</style> ' & \x00 \ud800 \uffff \u202e"


def read(svg: Markup) -> Tag:
    found = BeautifulSoup(str(svg), "html.parser").find(True)
    assert isinstance(found, Tag)
    return found


def drawn(*items: Item) -> Markup:
    """The one table of these, as HTML."""
    (table,) = score_tables(items, [])
    return table_to_html(table)


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
        drawn(row, replace(row, verdict="undefined")),
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
        *("div", "table", "thead", "tbody", "tr", "th", "td", "span", "bdi"),
    }
    attributes = {name for e in root.iter() for name in e.attrib}
    assert not attributes & {"style", "href", "onload"}
    svg.encode("utf-8")


def test_scores_have_a_table_for_each_unit_and_a_local_judges_apart() -> None:
    plain = contest(point=-1.0, low=-3.0, high=1.0, verdict="not_significant", tests=3)
    judged = contest(benchmark="mt_bench", metric="score", unit="points")
    judged = replace(judged, cautions=(LocalJudge("q"),))
    scores = [
        Figure(model, plain.key, "percent", measured(v, None, None))
        for model, v in (("a", 53.4), ("b", 50.5))
    ]
    first, apart = score_tables([judged, contest(), plain], scores)
    assert [c.label for c in first.written.columns] == [
        *("Benchmark", "Baseline → candidate, percent", "Difference, percentage points"),
        *("95% CI", "Verdict", "n"),
    ]
    rows = [[cell.shown for cell in row] for row in first.written.rows]
    assert rows[0] == ["AlpacaEval", "50.5 → 53.4", "+2.9", "+0.4 to +5.4", "better", "805"]
    assert (first.apart, apart.apart) == (False, True)
    assert not first.note
    more = [replace(f, value=replace(f.value, n=806)) for f in scores]
    assert score_tables([plain], more)[0].note.startswith("Scores are over each model's own")
    assert apart.caption == "Judged by a local judge, not validated against people"
    assert apart.written.rows[0][4].shown == "prefers a"


@pytest.mark.parametrize(("low", "high"), [(0.4, 5.4), (-5.4, -0.4)])
def test_an_axis_of_differences_has_ticks_on_both_sides_of_zero(low: float, high: float) -> None:
    page = read(drawn(contest(point=(low + high) / 2, low=low, high=high)))
    ticks = [t.get_text() for t in page.select("svg.axis text") if "w" not in t.get_text()]
    assert {t[0] for t in ticks if t[0] in "+\N{MINUS SIGN}"} == {"+", "\N{MINUS SIGN}"}
    assert "0" in ticks


def test_an_interval_ends_where_the_scale_does() -> None:
    beyond = contest(point=60.0, low=-8.0, high=128.0, n=5, verdict="not_significant")
    (table,) = score_tables([beyond], [])
    assert table.written.rows[0][3].shown == "\N{MINUS SIGN}8.0 to +100.0"
    line = read(table_to_html(table)).select_one("line.range")
    assert line is not None
    assert float(str(line["x2"]).rstrip("%")) <= 98
    assert ends(beyond.comparison.difference, "points", signed=True) == (-8.0, 9.0)
    assert ends(measured(97.0, 93.0, 101.0), "percent") == (93.0, 100.0)
    assert ends(measured(97.0, 93.0, 101.0), "characters") == (93.0, 101.0)


@pytest.mark.parametrize(
    ("verdict", "mark"),
    [
        ("better", "polygon.better"),
        ("worse", "polygon.worse"),
        ("longer", "polygon.longer"),
        ("not_significant", "circle.unclear"),
        ("undefined", "text.undefined"),
    ],
)
def test_shape_repeats_the_verdict(verdict: Verdict, mark: str) -> None:
    assert len(read(drawn(contest(verdict=verdict))).select(mark)) == 1


def test_the_gates_margin_is_where_a_loss_is() -> None:
    def place(higher_is_better: bool) -> float:
        test = gate_test("pass", contest=contest(higher_is_better=higher_is_better))
        line = read(drawn(test)).select_one("line.margin")
        assert line is not None
        return float(str(line["x1"]).rstrip("%"))

    assert place(True) < place(False)
    assert score_tables([gate_test("missing", contest=None)], []) == []


def test_what_does_not_vary_or_is_useless_has_no_interval_drawn() -> None:
    same = contest(low=2.9, high=2.9, error=0.0, verdict="undefined")
    wide = contest(low=-40.0, high=40.0, n=3, verdict="not_significant")
    (table,) = score_tables([same, wide], [])
    assert not read(table_to_html(table)).select("line.range")
    assert [row[3].shown.partition(" ")[2] for row in table.written.rows] == [
        "(all samples agree)",
        "(too wide to be informative)",
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
