"""The section of a report that one run cannot have: figures over the checkpoints of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.draw import Table
    from evalkit.history import Series
    from evalkit.report import Block, Section

__all__ = ["trend"]


def trend(places: Sequence[Path]) -> Section:
    """A chart and a table for each primary metric with two checkpoints or more.

    Args:
        places: Run folders, or folders searched for runs.

    Raises:
        DataError: a place holds no run, or none of the runs has figures.
    """
    from evalkit import history, report

    runs, left_out = history.find_runs(places)
    found = history.checkpoints(runs, None)
    every = history.history(found.checkpoints)
    blocks = [b for series in every if len(series.points) > 1 for b in _blocks(series)]
    if not blocks:
        blocks = [report.Text("There are not two checkpoints of any measure to show a trend of.")]
    notes = [report.Text(note, "Note.", small=True) for note in (*left_out, *found.notes)]
    return report.Section("Over checkpoints", (*blocks, *notes))


def _blocks(series: Series) -> Iterator[Block]:
    from dataclasses import replace

    from markupsafe import Markup

    from evalkit import history, report

    table = _without_words(history.series_table(series))
    # `history` escapes every text that it draws.
    svg = Markup(history.chart_svg(series))  # noqa: S704
    yield report.Chart(table.caption, svg, replace(table, caption=""), fixed=True)
    for point in series.points:
        if point.split:
            yield report.Text(point.split, f"{point.checkpoint.label} is not joined:", small=True)
    best = history.best_of(series)
    if best is not None:
        yield report.Text(history.best_sentence(best, series))
    for note in series.notes:
        yield report.Text(note, "Note.", small=True)


def _without_words(table: Table) -> Table:
    """Without the last column, which says better or worse of each step by itself.

    A page says so only of what holds once all comparisons are corrected for.
    """
    from dataclasses import replace

    groups = tuple(replace(g, rows=tuple(row[:-1] for row in g.rows)) for g in table.groups)
    return replace(table, columns=table.columns[:-1], groups=groups)
