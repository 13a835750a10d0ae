"""One measure category by category: a drawing of every model's figures, and the table."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.core import Comparison, Estimate
from evalkit.draw import Cell, Column, Table, count, difference, figure
from evalkit.report.blocks import Block, Chart
from evalkit.report.charts import Bar, Bars, BarsGroup, Radar, bars_svg, radar_svg
from evalkit.report.charts.bars import KINDS
from evalkit.report.charts.scale import Scale, scale
from evalkit.report.view import Measure, View
from evalkit.report.words import level_text, measure_label, metric_label, point_and_interval

__all__ = ["category_blocks"]

_FEW = 5
"""Units of resampling below which a category's interval is left out: it spans the scale."""
_MOST = 24
"""Categories that are drawn; more have the table alone."""
_ENDS = {"percent": (0.0, 100.0), "points": (0.0, 10.0)}
"""Bars of these units have the whole scale."""


def category_blocks(view: View, measure: Measure) -> Iterator[Block]:
    """A chart with its table; nothing where the measure has no categories."""
    categories = view.categories(measure)
    if not categories:
        return
    table = _table(view, measure, categories)
    models = _drawn(view)
    if len(categories) > _MOST or not models:
        yield table
        return
    title = f"{measure_label(measure)} by category: {metric_label(measure.metric)}"
    if view.settings.get("charts") == "radar" and len(categories) >= 3:
        svg = radar_svg(_radar(view, measure, categories, title))
        note = "Outlines show figures without their intervals; those are in the table."
    else:
        bars = _bars(view, measure, categories, title)
        svg, note = bars_svg(bars), bars.note
    if len(models) < len(view.measured):
        note += f" Drawn: {len(models)} of {len(view.measured)} models; the table has all."
    yield Chart(title, svg, table, note)


def _drawn(view: View) -> tuple[str, ...]:
    """Candidates, then baselines, then others: no more than there are ways to tell them apart."""
    order = ("candidate", "baseline")
    ranked = sorted(
        view.measured, key=lambda m: order.index(m.role) if m.role in order else len(order)
    )
    return tuple(m.name for m in ranked[:KINDS])


def _figures(view: View, measure: Measure, category: str) -> list[Estimate | None]:
    return [view.estimate(name, measure, category) for name in _drawn(view)]


def _axis(view: View, measure: Measure, categories: tuple[str, ...]) -> Scale:
    ends = _ENDS.get(measure.metric.unit)
    if ends is not None:
        return scale(ends)
    found = [e for c in categories for e in _figures(view, measure, c) if e is not None]
    return scale([0.0, *(v for e in found for v in (e.point, e.low, e.high))])


def _bars(view: View, measure: Measure, categories: tuple[str, ...], title: str) -> Bars:
    groups = tuple(
        BarsGroup(category, tuple(_bar(e) for e in _figures(view, measure, category)))
        for category in categories
    )
    note = (
        f"Lines: {level_text(view.level)} intervals, where a category has at least {_FEW} samples "
        "that do not all agree."
    )
    return Bars(title, _drawn(view), _axis(view, measure, categories), groups, note)


def _bar(e: Estimate | None) -> Bar:
    if e is None or e.point is None:
        return Bar(None, None, None, "no score")
    shown = figure(e.point, e.unit)
    if e.n_clusters < _FEW or e.standard_error == 0:
        return Bar(e.point, None, None, shown)
    return Bar(e.point, e.low, e.high, shown)


def _radar(view: View, measure: Measure, categories: tuple[str, ...], title: str) -> Radar:
    rows = [_figures(view, measure, category) for category in categories]
    columns = list(zip(*rows, strict=True))
    return Radar(
        title=title,
        spokes=categories,
        scale=_axis(view, measure, categories),
        models=_drawn(view),
        values=tuple(tuple(None if e is None else e.point for e in c) for c in columns),
        shown=tuple(
            tuple("no score" if e is None else figure(e.point, e.unit) for e in c) for c in columns
        ),
    )


def _table(view: View, measure: Measure, categories: tuple[str, ...]) -> Table:
    pairs = view.pairs
    columns = (
        Column("Category", header=True),
        *(Column(m.name, "right") for m in view.measured),
        *(Column(f"{a} minus {b}", "right") for a, b in pairs),
        Column("n", "right"),
    )
    rows = []
    for category in categories:
        estimates = [view.estimate(m.name, measure, category) for m in view.measured]
        rows.append(
            (
                Cell.text(category),
                *(_estimate_cell(e) for e in estimates),
                *(_comparison_cell(view.comparison(p, measure, category)) for p in pairs),
                Cell.text(" / ".join(count(e.n) for e in estimates if e is not None)),
            )
        )
    caption = f"{measure_label(measure)} by category, with differences"
    note = (
        f"In brackets {level_text(view.level)} intervals, where a category has at least {_FEW} "
        "samples that do not all agree; results.json has all of them. n: scores of each model."
    )
    return Table.of(caption, columns, rows, note)


def _estimate_cell(e: Estimate | None) -> Cell:
    if e is None or e.point is None:
        return Cell.missing("no score in this category")
    shown = figure(e.point, e.unit) if e.n_clusters < _FEW else point_and_interval(e)
    return Cell(e.point, shown, e.method)


def _comparison_cell(c: Comparison | None) -> Cell:
    if c is None or c.difference is None:
        return Cell.missing("no sample has a score from both")
    few = c.n_clusters < _FEW
    shown = difference(c.difference, c.unit) if few else point_and_interval(c)
    return Cell(c.difference, shown, c.method)
