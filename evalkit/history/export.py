"""Series as CSV (one row a checkpoint and figure) and as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from evalkit.core import Comparison, Json
from evalkit.draw import defused, is_formula, visible
from evalkit.history.best import best_of
from evalkit.history.series import Point, Series

__all__ = ["CSV_COLUMNS", "formula_cells", "history_csv", "history_json"]

CSV_COLUMNS: Mapping[str, str] = {
    "benchmark": "Benchmark entry of the suite.",
    "task": "Task of the benchmark.",
    "metric": "Metric.",
    "unit": "percent (0 to 100), points (1 to 10), characters or raw.",
    "higher_is_better": "true or false.",
    "position": "Place in the order of checkpoints, from 0.",
    "checkpoint": "Name shown: unique in this file.",
    "model": "Model's name in its run.",
    "run_id": "Run it was measured in.",
    "step": "Training step or epoch that name or path tell; empty: none.",
    "step_kind": "step or epoch; empty: none.",
    "time": "When the run's first session began, ISO 8601 in UTC; empty: not known.",
    "segment": "Rows of one series with the same number were measured alike.",
    "point": "The figure, in its unit.",
    "standard_error": "Of the figure.",
    "low": "Lower end of its interval.",
    "high": "Upper end of its interval.",
    "level": "Confidence level of all intervals of the row, 0 to 1.",
    "n": "Scores in the figure.",
    "n_clusters": "Units of resampling among them.",
    "n_missing": "Scores that should be there and are not.",
    "minus_first": "Paired difference to the first checkpoint of the segment; empty for that one.",
    "minus_first_low": "Lower end of its interval.",
    "minus_first_high": "Upper end of its interval.",
    "minus_first_n": "Scores both have.",
    "minus_previous": "Paired difference to the checkpoint before; empty for a segment's first.",
    "minus_previous_low": "Lower end of its interval.",
    "minus_previous_high": "Upper end of its interval.",
    "minus_previous_n": "Scores both have.",
    "minus_previous_p": "Two-sided p of that difference.",
    "minus_previous_p_adjusted": "The same after Holm's correction over all steps shown.",
    "since_previous": "better, worse, longer, shorter, unclear or undefined, after the correction.",
    "flags": "What speaks against it: weak judge, limited run, damaged evidence.",
}
"""Columns of the CSV and what they hold.  Numbers are unrounded, an empty cell is undefined."""


def history_csv(every: Sequence[Series], *, spreadsheet: bool = False) -> str:
    """RFC 4180 with a header row; UTF-8 can hold all of it.

    Args:
        every: What to write.
        spreadsheet: An apostrophe before text that would be taken for a formula.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(CSV_COLUMNS), lineterminator="\r\n")
    writer.writeheader()
    for row in _rows(every):
        writer.writerow({k: _cell(defused(v) if spreadsheet else v) for k, v in row.items()})
    return stream.getvalue()


def formula_cells(every: Sequence[Series]) -> int:
    """How many cells of the CSV a spreadsheet would take for formulas."""
    return sum(is_formula(value) for row in _rows(every) for value in row.values())


def _rows(every: Sequence[Series]) -> Iterator[dict[str, Json]]:
    """The CSV's, in its columns."""
    for series in every:
        for position, point in enumerate(series.points):
            row = _row(series, position, point)
            shown = {k: visible(v) if isinstance(v, str) else v for k, v in row.items()}
            yield {name: shown[name] for name in CSV_COLUMNS}


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _row(series: Series, position: int, point: Point) -> dict[str, Json]:
    row, checkpoint = point.estimate, point.checkpoint
    return {
        "benchmark": series.benchmark,
        "task": series.task,
        "metric": series.metric.name,
        "unit": row.unit,
        "higher_is_better": series.metric.higher_is_better,
        "position": position,
        **_identity(point),
        "segment": point.segment,
        **{k: v for k, v in asdict(row).items() if k in CSV_COLUMNS and k not in _NAMES},
        **_difference("minus_first", point.first),
        **_difference("minus_previous", point.previous),
        "minus_previous_p": None if point.previous is None else point.previous.p,
        "minus_previous_p_adjusted": point.p_adjusted,
        "since_previous": point.verdict,
        "flags": "; ".join(point.flags) or None,
        "model": checkpoint.model,
    }


_NAMES = frozenset({"benchmark", "task", "metric", "unit", "model"})


def _identity(point: Point) -> dict[str, Json]:
    checkpoint = point.checkpoint
    step, time = checkpoint.step, checkpoint.time
    return {
        "checkpoint": checkpoint.label,
        "run_id": checkpoint.run.manifest.get("run_id"),
        "step": None if step is None else _whole(step.value),
        "step_kind": None if step is None else step.kind,
        "time": None if time is None else datetime.fromtimestamp(time, UTC).isoformat(),
    }


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _difference(name: str, row: Comparison | None) -> dict[str, Json]:
    values = (None,) * 4 if row is None else (row.difference, row.low, row.high, row.n)
    return dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_n"), values, strict=True))


def history_json(every: Sequence[Series], notes: Sequence[str]) -> dict[str, Json]:
    """`{"series": [...], "notes": [...]}`: the CSV's fields by point, splits and best-of-N."""
    return {"series": [_series(series) for series in every], "notes": list(notes)}


def _series(series: Series) -> dict[str, Json]:
    best = best_of(series)
    rows = []
    for position, point in enumerate(series.points):
        row = {k: v for k, v in _row(series, position, point).items() if k not in _OF_SERIES}
        rows.append({**row, "split": point.split or None})
    return {
        "benchmark": series.benchmark,
        "task": series.task,
        "metric": series.metric.name,
        "unit": series.metric.unit,
        "higher_is_better": series.metric.higher_is_better,
        "points": rows,
        "best": None if best is None else asdict(best),
        "notes": list(series.notes),
    }


_OF_SERIES = frozenset({"benchmark", "task", "metric", "unit", "higher_is_better"})
