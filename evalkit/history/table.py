"""A series for a terminal: a sparkline, an aligned table, and what to know of it."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.compare.old_cautions import marks
from evalkit.compare.words import (
    COUNTED,
    WORDS,
    bounds,
    figure_label,
    level_text,
    metric_words,
    task_label,
    tone,
    unit_text,
)
from evalkit.core import Comparison
from evalkit.draw import (
    MISSING,
    Cell,
    Column,
    Table,
    count,
    difference,
    figure,
    one_line,
    table_to_text,
    visible,
)
from evalkit.history.best import best_of, best_sentence
from evalkit.history.series import Point, Series

__all__ = ["series_lines", "series_table", "series_title", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_LONGEST = 60


def series_title(series: Series) -> str:
    """Benchmark, task, metric and unit in words."""
    name = series.metric.name
    label = figure_label(series.benchmark, series.task, name)
    if label == task_label(series.benchmark, series.task):
        # An average over all tasks has its metric's name in its label.
        label = f"{label}, {metric_words(name)}"
    return f"{label} ({unit_text(series.metric.unit)})"


def sparkline(series: Series) -> str:
    """One bar a checkpoint, from the lowest to the highest figure; a blank between segments.

    It shows figures without their intervals: a shape, not evidence.  The latest 60 are shown.
    """
    points = series.points[-_LONGEST:]
    values = [p.estimate.point or 0.0 for p in points]
    if not values:
        return ""
    low, high = min(values), max(values)
    text = ""
    for i, (point, value) in enumerate(zip(points, values, strict=True)):
        if i and point.segment != points[i - 1].segment:
            text += " "
        share = 0.5 if high == low else (value - low) / (high - low)
        text += _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]
    return text


def series_table(series: Series) -> Table:
    """One row a checkpoint, in order."""
    level = level_text(series.points[0].estimate.level) if series.points else "95%"
    columns = (
        Column("Checkpoint", header=True),
        Column("Step", "right"),
        Column("Figure", "right"),
        Column(f"{level} interval", "right"),
        Column("n", "right"),
        Column("Missing", "right"),
        Column("Minus first", "right"),
        Column("Interval", "right"),
        Column("Minus previous", "right"),
        Column("Interval", "right"),
        Column("Since previous"),
    )
    note = (
        "Differences are paired on the samples both checkpoints have; their intervals are of one "
        f"difference alone. {COUNTED}"
    )
    return Table.of(series_title(series), columns, [_row(p) for p in series.points], note)


def _row(point: Point) -> tuple[Cell, ...]:
    row, step = point.estimate, point.checkpoint.step
    return (
        Cell.text(point.checkpoint.label),
        Cell(None, MISSING) if step is None else Cell(step.value, str(step)),
        Cell(row.point, figure(row.point, row.unit)),
        Cell(row.low, bounds(row)),
        Cell(row.n, count(row.n)),
        Cell(row.n_missing, count(row.n_missing)),
        *_difference(point.first),
        *_difference(point.previous),
        _word(point),
    )


def _difference(row: Comparison | None) -> tuple[Cell, Cell]:
    if row is None:
        return Cell.missing(), Cell.missing()
    return Cell(row.difference, difference(row.difference, row.unit)), Cell(row.low, bounds(row))


def _word(point: Point) -> Cell:
    if point.split:
        return Cell.text("measured differently", tone="warning")
    said = point.verdict
    if said is None:
        return Cell.missing()
    return Cell.text(WORDS[said] + marks(point.flags), tone=tone(said))


def series_lines(series: Series) -> list[str]:
    """For a terminal: title with sparkline, table, splits, the best of them, notes."""
    table = series_table(series)
    values = [p.estimate.point for p in series.points if p.estimate.point is not None]
    span = ""
    if values:
        unit = series.metric.unit
        span = f"  {figure(min(values), unit)} to {figure(max(values), unit)}"
    lines = [one_line(visible(table.caption)), f"{sparkline(series)}{span}", ""]
    lines += table_to_text(table).split("\n")
    for point in series.points:
        if point.split:
            lines += [f"not joined: {visible(line)}" for line in _split(point)]
    best = best_of(series)
    if best is not None:
        lines.append(one_line(visible(best_sentence(best, series))))
    notes = (*series.notes, *_corrected(series), table.note)
    lines += [f"note: {one_line(visible(note))}" for note in notes]
    return lines


def _corrected(series: Series) -> Sequence[str]:
    if series.tests < 2:
        return ()
    return (f"Since previous: after Holm's correction over the {count(series.tests)} steps shown.",)


def _split(point: Point) -> Sequence[str]:
    """The guard's message, its first line naming the checkpoint."""
    return [f"{point.checkpoint.label}: {line}" for line in point.split.splitlines()[:1]] + [
        line.strip() for line in point.split.splitlines()[1:]
    ]
