"""Rows for models known by their published figures only: marked, and never paired."""

from __future__ import annotations

from evalkit.report.view import BenchmarkView, Measure, ModelView, View, mapping, sequence
from evalkit.tables import Cell, count, figure, interval

__all__ = ["published_cells"]


def published_cells(
    view: View, model: ModelView, benchmark: BenchmarkView, measure: Measure
) -> tuple[Cell, ...] | None:
    """Figure, interval, n, missing, truncated, role; None where nothing was published.

    An estimate of the run (from a leaderboard's table) comes before a figure of the suite.
    """
    role = Cell.text("published")
    unknown = Cell.missing("not published")
    estimate = view.estimate(model.name, measure)
    if estimate is not None and estimate.point is not None:
        e = estimate
        bounds = interval(e.low, e.high, e.unit)
        return (
            Cell(e.point, figure(e.point, e.unit), e.method),
            unknown if e.low is None else Cell(bounds, bounds, e.method),
            Cell(e.n, count(e.n)) if e.n else unknown,
            unknown,
            unknown,
            role,
        )
    for entry in sequence(model.spec.get("figures")):
        row = mapping(entry)
        same_task = row.get("task") in (None, measure.task)
        same = row.get("benchmark") in (benchmark.name, benchmark.kind)
        if same and same_task and row.get("metric") == measure.metric.name:
            said = [row.get(k) for k in ("source", "date", "settings")]
            source = ", ".join(str(part) for part in said if part)
            value = float(row.get("value", 0))
            shown = Cell(value, figure(value, measure.metric.unit), source)
            return (shown, unknown, unknown, unknown, unknown, role)
    return None
