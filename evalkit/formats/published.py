"""Figures that others published: alpaca-eval's leaderboards, and figures that a suite states.

Source: the CSV files that the installed alpaca_eval package ships, one per evaluator and version,
`leaderboards/data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv` for version 1 and
`leaderboards/data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv` for version 2
(https://github.com/tatsu-lab/alpaca_eval).  One raw row, its first column the model's name:

    ,win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total,mode,avg_length,discrete_win_rate,
     length_controlled_winrate
    claude-2,91.35572139303484,0.9897323784630048,734,69,1,804,minimal,1069,91.35572139303484,74.3

Their `lc_standard_error` is never used: it leaves out the uncertainty of the fit.  Rows are found
by their exact name.

`unknown_names` looks names up before anything is read: it is handed to the suite room
(`suite.Names`), so that they are wrong at their line, together with all else.  Names of lm-eval's
tasks are left to the run: looking them up takes lm-eval seconds.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

from evalkit import catalogue
from evalkit.benchmarks import mt_bench
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.benchmarks._lm_eval_scores import Aggregate
from evalkit.benchmarks.alpaca_eval import METRICS, TASK, AlpacaEvalSpec
from evalkit.core.figures import Estimator, Figure, FigureKey, Interval, Method, Source
from evalkit.core.specs import BenchmarkSpec, ModelSpec, PublishedFigure
from evalkit.errors import DataError, EvalkitError, did_you_mean
from evalkit.formats._reading import normal_interval
from evalkit.judges.pairwise_alpaca_eval import evaluator

__all__ = ["board_figures", "row_figures", "row_of", "suite_figures", "tables", "unknown_names"]

Wrong: TypeAlias = tuple[tuple[str | int, ...], str]
"""Path of a field, and what is wrong with it."""
_FOLDERS = {"1": "data_AlpacaEval", "2": "data_AlpacaEval_2"}
_COLUMNS = {
    "win_rate": "win_rate",
    "discrete_win_rate": "discrete_win_rate",
    "length_controlled_win_rate": "length_controlled_winrate",
    "avg_length": "avg_length",
}
"""Column by evalkit's metric."""
_PUBLISHED = Method(Estimator.PUBLISHED, Interval.STATED)
_KNOWN: Mapping[str, Sequence[str]] = {
    "alpaca_eval": (*_COLUMNS, "length_capped_win_rate", "draws"),
    "mt_bench": tuple(metric.name for metric in mt_bench.METRICS),
}
"""Metrics of the benchmarks of one task, by type."""


# --- alpaca-eval's leaderboards -----------------------------------------------------------------


def row_figures(
    model: str, row: str, benchmarks: Sequence[BenchmarkSpec], level: float
) -> list[Figure]:
    """A model's published AlpacaEval figures, for each AlpacaEval entry of a suite.

    Args:
        model: name in the suite.
        row: name in the tables.
        benchmarks: entries of the suite; others than AlpacaEval have no table.
        level: confidence level of the win rate's interval (normal, from the table's standard
            error), 0 to 1.

    Raises:
        DataError: no table of these entries has the row, or alpaca_eval is not installed.
    """
    if wrong := _unknown_row(row, benchmarks):
        raise DataError(f"model {model!r}: {wrong}")
    found: list[Figure] = []
    for spec in benchmarks:
        path = _table_of(spec)
        if path is not None and row in _rows(path):
            found += _of_row(model, spec.entry, path, row, level)
    return found


def board_figures(edition: str, level: float) -> list[Figure]:
    """Every row of AlpacaEval's own leaderboard of a version, models called like rows.

    Raises:
        DataError: alpaca_eval is not installed, or ships no such table.
    """
    path = _table(edition, None)
    if not path.is_file():
        raise DataError(f"{path} is missing; install evalkit with its dependencies")
    return [figure for row in _rows(path) for figure in _of_row(row, TASK, path, row, level)]


def row_of(edition: str, row: str) -> list[Figure]:
    """One row of that leaderboard; empty where it has none of that name.  Raises DataError."""
    path = _table(edition, None)
    found = path.is_file() and row in _rows(path)
    return list(_of_row(row, TASK, path, row, level=0.95)) if found else []


def tables() -> list[Path]:
    """Every leaderboard table of the installed alpaca_eval package.  Raises DataError."""
    return sorted(_folder().glob("data_AlpacaEval*/*_leaderboard.csv"))


def _of_row(model: str, entry: str, path: Path, row: str, level: float) -> Iterator[Figure]:
    units = {metric.name: metric.unit for metric in METRICS}
    values = _rows(path)[row]
    source = Source(f"alpaca_eval {version('alpaca_eval')}, {path.name}, row {row!r}")
    n = int(_number(values.get("n_total")) or 0)
    for metric, column in _COLUMNS.items():
        point = _number(values.get(column))
        if point is not None:
            error = _number(values.get("standard_error")) if metric == "win_rate" else None
            value = normal_interval(point, error, n=n, level=level, method=_PUBLISHED)
            unit = units.get(metric, "percent")
            yield Figure(model, FigureKey(entry, TASK, metric), unit, value, source)


def _unknown_row(row: str, benchmarks: Sequence[BenchmarkSpec]) -> str:
    """What is wrong with the name of a row, in words; empty where a table of theirs has it."""
    known = {path: _rows(path) for spec in benchmarks if (path := _table_of(spec)) is not None}
    if not known or any(row in rows for rows in known.values()):
        return ""
    names = sorted({name for rows in known.values() for name in rows})
    return (
        f"alpaca_eval's leaderboards have no row {row!r}{did_you_mean(row, names, 3, 0.4)}  "
        f"({len(names)} rows in {', '.join(path.name for path in known)}); write "
        f"`leaderboard: ROW`, or list `figures` with their sources"
    )


def _table_of(spec: BenchmarkSpec) -> Path | None:
    """The table of an entry; None where no one published one, and of other benchmarks."""
    if not isinstance(spec, AlpacaEvalSpec):
        return None
    path = _table(str(spec.version), spec.evaluator)
    return path if path.is_file() else None


def _table(edition: str, evaluator_: str | None) -> Path:
    own = catalogue.BENCHMARKS["alpaca_eval"].editions[edition].evaluator
    return _folder() / _FOLDERS[edition] / f"{evaluator_ or own}_leaderboard.csv"


def _folder() -> Path:
    spec = importlib.util.find_spec("alpaca_eval")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the package alpaca_eval, which ships the leaderboards, is not installed; "
            "install evalkit with its dependencies"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "leaderboards"


@functools.cache
def _rows(path: Path) -> Mapping[str, Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row[""]: row for row in csv.DictReader(file)}


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


# --- figures of a suite -------------------------------------------------------------------------


def suite_figures(
    model: str, spec: ModelSpec, benchmarks: Sequence[BenchmarkSpec], level: float
) -> list[Figure]:
    """The figures that a suite lists for a model, each with its source; no intervals.

    Where they hold every task of the Open LLM Leaderboard's version 1, its average is computed.

    Raises:
        DataError: a figure of a metric or task that its benchmark does not have.
    """
    found = [
        _stated(model, figure, entry, level)
        for figure in spec.figures
        for entry in _entries_of(figure, benchmarks)
    ]
    return [*found, *_averages(model, found, benchmarks, level)]


def _stated(model: str, figure: PublishedFigure, entry: BenchmarkSpec, level: float) -> Figure:
    if wrong := _unknown_term(figure, entry):
        raise DataError(f"model {model!r}: {wrong[1]}; correct it in `figures`")
    key = FigureKey(entry.entry, figure.task or entry.type, figure.metric)
    value = normal_interval(figure.value, None, n=0, level=level, method=_PUBLISHED)
    source = Source(figure.source, figure.date, figure.settings)
    return Figure(model, key, catalogue.metric(figure.metric).unit, value, source)


def _averages(
    model: str, found: Sequence[Figure], benchmarks: Sequence[BenchmarkSpec], level: float
) -> Iterator[Figure]:
    for entry in benchmarks:
        if not isinstance(entry, board.OpenLlmLeaderboardSpec) or entry.version != 1:
            continue
        stated = {
            f.key.task: [Aggregate(f.key.metric, f.value.point / 100, None, 1, 0, "", corpus=True)]
            for f in found
            if f.key.benchmark == entry.entry and f.value.point is not None
        }
        average = board.average_v1(stated, include_drop=entry.include_drop).point
        if average is not None and entry.type not in stated:
            source = "computed from the published figures of its tasks"
            figure = PublishedFigure(
                benchmark=entry.entry, metric="average", value=100 * average, source=source
            )
            yield _stated(model, figure, entry, level)


def _entries_of(
    figure: PublishedFigure, benchmarks: Sequence[BenchmarkSpec]
) -> list[BenchmarkSpec]:
    """The entries a figure is of: the one it names, else all of the type it names."""
    named = [entry for entry in benchmarks if entry.entry == figure.benchmark]
    return named or [entry for entry in benchmarks if entry.type == figure.benchmark]


# --- names that there are not -------------------------------------------------------------------


def unknown_names(
    models: Mapping[str, ModelSpec], benchmarks: Sequence[BenchmarkSpec | None]
) -> Iterator[Wrong]:
    """Metrics and tasks of figures, rows of leaderboards, and evaluators that there are not.

    `benchmarks`: None stands for an entry too wrong to say anything about; which rows there are
    is not known then.
    """
    entries = [spec for spec in benchmarks if spec is not None]
    for name, model in models.items():
        for n, figure in enumerate(model.figures):
            for entry in _entries_of(figure, entries):
                if wrong := _unknown_term(figure, entry):
                    yield ("models", name, "figures", n, wrong[0]), wrong[1]
        if model.leaderboard and len(entries) == len(benchmarks):
            row = model.leaderboard if isinstance(model.leaderboard, str) else name
            if message := _unknown_row(row, entries):
                yield ("models", name, "leaderboard"), message
    for n, spec in enumerate(benchmarks):
        if isinstance(spec, AlpacaEvalSpec) and spec.evaluator is not None:
            try:
                evaluator(spec.evaluator)
            except EvalkitError as error:
                yield ("benchmarks", n, "evaluator"), str(error)


def _unknown_term(figure: PublishedFigure, entry: BenchmarkSpec) -> tuple[str, str] | None:
    """A figure's field that its benchmark does not have, and what is wrong with it; else None.

    Such a figure would find no place in the report.
    """
    known = _KNOWN.get(entry.type)
    if known is None or (isinstance(entry, mt_bench.MtBenchSpec) and entry.mode != "single"):
        return None
    for what, said, choices in (
        ("metric", figure.metric, known),
        ("task", figure.task or entry.type, (entry.type,)),
    ):
        if said not in choices:
            hint = did_you_mean(said, choices)
            expected = " or ".join(map(repr, choices))
            return what, f"{entry.entry} has no {what} {said!r}{hint}  Expected {expected}"
    return None
