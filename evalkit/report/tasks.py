"""A benchmark of many tasks as one table: raw and normalised figures, subtasks folded away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalkit.draw import Cell, Column, Table, count, figure
from evalkit.report.blocks import Block, Details
from evalkit.report.published import is_published
from evalkit.report.view import BenchmarkView, Measure, ModelView, View
from evalkit.report.words import level_text, metric_label, point_and_interval, unit_text

__all__ = ["task_blocks"]

_NORMALISED = "normalised"
_AVERAGE = "average"
_FEW = 3
"""Models up to which intervals stand beside the figures."""


def task_blocks(view: View, benchmark: BenchmarkView) -> Iterator[Block]:
    """Nothing where the benchmark has one task, or no figures."""
    models = [
        m
        for m in (*view.measured, *view.published)
        if any(view.estimate(m.name, measure) is not None for measure in benchmark.measures)
    ]
    if len(benchmark.tasks) < 2 or not models:
        return
    tasks = benchmark.tasks
    below = [t for t in tasks if any(t.startswith(f"{other}_") for other in tasks)]
    above = [t for t in tasks if t not in below]
    yield _table(view, benchmark, models, above, "Tasks")
    if below:
        inner = _table(view, benchmark, models, below, "Subtasks")
        yield Details(f"{count(len(below))} subtasks", (inner,))


def _table(
    view: View,
    benchmark: BenchmarkView,
    models: Sequence[ModelView],
    tasks: Sequence[str],
    caption: str,
) -> Table:
    by_task = {t: [m for m in benchmark.measures if m.task == t] for t in tasks}
    chance = any(m.metric.name == _NORMALISED for m in benchmark.measures)
    columns = [
        Column("Task", header=True),
        Column("Metric"),
        *(Column(m.name, "right") for m in models),
    ]
    if chance:
        columns += [Column(f"{m.name}, normalised", "right") for m in models]
    rows = []
    for task, measures in by_task.items():
        raw, normalised = _raw(measures, chance=chance), _normalised(measures)
        shown = raw or normalised
        if shown is None:
            continue
        label = metric_label(shown.metric)
        unit = "" if shown.metric.unit == "percent" else f", {unit_text(shown.metric.unit)}"
        cells = [Cell.text(task), Cell.text(f"{label}{unit}")]
        cells += [_cell(view, m.name, raw, len(models)) for m in models]
        if chance:
            cells += [_cell(view, m.name, normalised, len(models)) for m in models]
        rows.append(tuple(cells))
    return Table.of(caption, columns, rows, _note(view, models, chance=chance))


def _raw(measures: Sequence[Measure], *, chance: bool) -> Measure | None:
    """The headline figure; an average of normalised scores is none."""
    names = {_NORMALISED, _AVERAGE} if chance else {_NORMALISED}
    return next((m for m in measures if m.metric.name not in names), None)


def _normalised(measures: Sequence[Measure]) -> Measure | None:
    return next((m for m in measures if m.metric.name in (_NORMALISED, _AVERAGE)), None)


def _note(view: View, models: Sequence[ModelView], *, chance: bool) -> str:
    parts = []
    if len(models) <= _FEW:
        parts.append(f"In brackets {level_text(view.level)} intervals, where there is one.")
    if chance:
        parts.append(
            "Normalised: 0 at chance, 100 at all right; the average is over normalised scores."
        )
    if any(is_published(e) for e in view.run.estimates if e.model in {m.name for m in models}):
        parts.append("Some figures are published ones; “Models side by side” says which.")
    return " ".join(parts)


def _cell(view: View, model: str, measure: Measure | None, models: int) -> Cell:
    e = view.estimate(model, measure) if measure is not None else None
    if e is None or e.point is None:
        return Cell.missing("no figure" if e is None else e.method)
    shown = point_and_interval(e) if models <= _FEW else figure(e.point, e.unit)
    return Cell(e.point, shown, e.source or e.method)
