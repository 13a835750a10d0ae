"""Names of what a page shows; what may be said of a comparison is in `compare.words`."""

from __future__ import annotations

from evalkit.compare import Row
from evalkit.compare.words import (
    ALL_AGREE,
    COUNTED,
    TOO_WIDE,
    WORDS,
    benchmark_label,
    bounds,
    has_width,
    is_too_wide,
    level_text,
    metric_words,
    sentence,
    task_label,
    tone,
    unit_text,
)
from evalkit.core import Comparison, Estimate, Metric
from evalkit.draw import difference, figure
from evalkit.report.view import Measure, View

__all__ = [
    "ALL_AGREE",
    "COUNTED",
    "TOO_WIDE",
    "UNFINISHED",
    "WORDS",
    "benchmark_label",
    "bounds",
    "has_width",
    "is_too_wide",
    "level_text",
    "measure_label",
    "metric_label",
    "point_and_interval",
    "sentence",
    "tone",
    "unit_text",
    "verdict_words",
]

UNFINISHED = (
    "This run is not finished: figures are computed when it is; run the same command again."
)


def metric_label(metric: Metric) -> str:
    """A metric in words."""
    return metric_words(metric.name)


def measure_label(measure: Measure) -> str:
    """Benchmark, and task where the benchmark has tasks."""
    return task_label(measure.benchmark, measure.task)


def point_and_interval(row: Estimate | Comparison) -> str:
    """`57.3 (52.1 to 62.5)`; without an interval the point alone."""
    if isinstance(row, Comparison):
        shown = difference(row.difference, row.unit)
    else:
        shown = figure(row.point, row.unit)
    return f"{shown} ({bounds(row)})" if has_width(row) else shown


def verdict_words(view: View, row: Row) -> str:
    """The word of a verdict's cell, in whichever table, with whom not to take at his word."""
    weak = row.comparison.benchmark in view.weak
    return WORDS[row.verdict] + (" (weak judge)" if weak else "")
