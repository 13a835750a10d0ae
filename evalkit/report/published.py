"""Figures that others published: marked, with their source, and never paired."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.core import Estimate
from evalkit.draw import Cell, Column, Group, Table, count, figure, interval
from evalkit.report.view import BenchmarkView, ModelView, View

__all__ = ["PUBLISHED", "is_published", "published_cells", "sources"]

PUBLISHED = "published"


def is_published(estimate: Estimate) -> bool:
    """Whether someone else measured it (as opposed to computed from records or result files)."""
    return estimate.method == PUBLISHED


def published_cells(estimate: Estimate) -> tuple[Cell, ...]:
    """Figure, interval, n, missing, truncated, role."""
    e = estimate
    unknown = Cell.missing("not published")
    bounds = interval(e.low, e.high, e.unit)
    return (
        Cell(e.point, figure(e.point, e.unit), e.source),
        unknown if e.low is None else Cell(bounds, bounds, e.source),
        Cell(e.n, count(e.n)) if e.n else unknown,
        unknown,
        unknown,
        Cell.text(PUBLISHED),
    )


def sources(view: View, benchmark: BenchmarkView) -> Table | None:
    """Where each published or recorded figure of a benchmark comes from."""
    groups = [
        Group(model.name, rows)
        for model in view.models
        if (rows := tuple(_rows(view, benchmark, model)))
    ]
    if not groups:
        return None
    columns = (Column("Source", header=True), Column("Measures"))
    note = "As the source states them; nothing here was computed from samples."
    return Table("Where published and recorded figures come from", columns, tuple(groups), note)


def _rows(view: View, benchmark: BenchmarkView, model: ModelView) -> Iterator[tuple[Cell, ...]]:
    found: dict[str, list[str]] = {}
    for measure in benchmark.measures:
        estimate = view.estimate(model.name, measure)
        if estimate is not None and estimate.source:
            label = f"{measure.task} {measure.metric.name}"
            found.setdefault(estimate.source, []).append(label)
    for source, labels in found.items():
        yield Cell.text(source), Cell.text(", ".join(labels))
