"""A benchmark over the checkpoints of a training run.

`places` finds runs, `order` puts checkpoints into the order of training, `figures` says what each
has, `series` joins what was measured alike and compares it, `best` says what the best of several is
worth; `table`, `chart` and `export` set a series out for a terminal, as SVG, as CSV and JSON.
"""

from __future__ import annotations

from evalkit.history.best import best_of, best_sentence
from evalkit.history.chart import chart_svg, charts_svg
from evalkit.history.export import CSV_COLUMNS, formula_cells, history_csv, history_json
from evalkit.history.order import Step, natural_key, step_of
from evalkit.history.places import Checkpoint, Found, checkpoints, find_runs
from evalkit.history.series import Options, Point, Series, history
from evalkit.history.table import series_lines, series_table, sparkline

__all__ = [
    "CSV_COLUMNS",
    "Checkpoint",
    "Found",
    "Options",
    "Point",
    "Series",
    "Step",
    "best_of",
    "best_sentence",
    "chart_svg",
    "charts_svg",
    "checkpoints",
    "find_runs",
    "formula_cells",
    "history",
    "history_csv",
    "history_json",
    "natural_key",
    "series_lines",
    "series_table",
    "sparkline",
    "step_of",
]
