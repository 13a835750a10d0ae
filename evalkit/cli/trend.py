"""The section of a report that one run cannot have: figures over the checkpoints of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.compare.history import Series
    from evalkit.report import Block, Section

__all__ = ["trend"]


def trend(places: Sequence[Path]) -> Section:
    """A chart and a table for each headline figure of two checkpoints or more.

    Args:
        places: Run folders, or folders searched for runs.

    Raises:
        DataError: a place holds no run, or none of the runs has figures.
    """
    from evalkit import report
    from evalkit.compare import history

    runs, left_out = history.find_runs(places)
    found = history.checkpoints(runs, None)
    every = history.history(found.checkpoints)
    blocks = [b for series in every if len(series.points) > 1 for b in _blocks(series)]
    if not blocks:
        blocks = [report.Text("There are not two checkpoints of any measure to show a trend of.")]
    notes = [report.Text(note, "Note.", small=True) for note in (*left_out, *found.notes)]
    return report.Section("Over checkpoints", (*blocks, *notes))


def _blocks(series: Series) -> Iterator[Block]:
    from evalkit import report
    from evalkit.compare import history
    from evalkit.draw import svg

    table = history.series_table(series)
    drawing = svg.trend(history.series_trend(series))
    yield report.Chart(table.caption, drawing, replace(table, caption=""), fixed=True)
    for point in series.points:
        if point.split:
            yield report.Text(point.split, f"{point.checkpoint.label} is not joined:", small=True)
    best = history.best_of(series)
    if best is not None:
        yield report.Text(history.best_sentence(best, series))
    for note in series.notes:
        yield report.Text(note, "Note.", small=True)
