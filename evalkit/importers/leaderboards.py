"""Figures that others published: alpaca-eval's leaderboard tables, and figures of the suite.

Source: the CSV files that the installed alpaca_eval package ships, one per evaluator and version,
`leaderboards/data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv` for version 1 and
`leaderboards/data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv` for version 2
(https://github.com/tatsu-lab/alpaca_eval).  One raw row, its first column the model's name:

    ,win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total,mode,avg_length,discrete_win_rate,
     length_controlled_winrate
    claude-2,91.35572139303484,0.9897323784630048,734,69,1,804,minimal,1069,91.35572139303484,74.3

Their `lc_standard_error` is never used: it leaves out the uncertainty of the fit.  Rows are found
by their exact name.
"""

from __future__ import annotations

import csv
import functools
import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import NormalDist

from evalkit.benchmarks import alpaca_eval as alpaca
from evalkit.benchmarks import mt_bench
from evalkit.benchmarks import open_llm_leaderboard as board
from evalkit.benchmarks._lm_eval_scores import Figure
from evalkit.core import Estimate
from evalkit.core.specs import BenchmarkSpec, ModelSpec, PublishedFigure
from evalkit.errors import DataError, did_you_mean

__all__ = [
    "board_estimates",
    "entries_of",
    "figure_estimates",
    "table_estimates",
    "tables",
    "unknown_row",
    "unknown_term",
]

_TABLES = {1: "data_AlpacaEval", 2: "data_AlpacaEval_2"}
_EVALUATORS = {1: "alpaca_eval_gpt4", 2: "weighted_alpaca_eval_gpt4_turbo"}
_COLUMNS = {
    "win_rate": "win_rate",
    "discrete_win_rate": "discrete_win_rate",
    "length_controlled_win_rate": "length_controlled_winrate",
    "avg_length": "avg_length",
}
"""Column by evalkit's metric."""
_PUBLISHED = "published"
_KNOWN: Mapping[str, Sequence[str]] = {
    "alpaca_eval": (*_COLUMNS, "length_capped_win_rate", "draws"),
    "mt_bench": tuple(metric.name for metric in mt_bench.METRICS),
}
"""Metrics of the benchmarks of one task, by type."""


def table_estimates(
    model: str, row: str, benchmarks: Sequence[BenchmarkSpec], level: float
) -> list[Estimate]:
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
    if wrong := unknown_row(row, benchmarks):
        raise DataError(f"model {model!r}: {wrong}")
    found: list[Estimate] = []
    for spec in benchmarks:
        path = _table(spec)
        if path is not None and row in _read(path):
            source = f"alpaca_eval {version('alpaca_eval')}, {path.name}, row {row!r}"
            found += _row_estimates((model, spec.entry), _read(path)[row], source, level)
    return found


def unknown_row(row: str, benchmarks: Sequence[BenchmarkSpec]) -> str:
    """What is wrong with the name of a row, in words; empty where a table of theirs has it.

    Raises:
        DataError: alpaca_eval is not installed.
    """
    known = {path: _read(path) for spec in benchmarks if (path := _table(spec)) is not None}
    if not known or any(row in rows for rows in known.values()):
        return ""
    names = sorted({name for rows in known.values() for name in rows})
    return (
        f"alpaca_eval's leaderboards have no row {row!r}{did_you_mean(row, names, 3, 0.4)}  "
        f"({len(names)} rows in {', '.join(path.name for path in known)}); write "
        f"`leaderboard: ROW`, or list `figures` with their sources"
    )


def board_estimates(edition: int, level: float) -> list[Estimate]:
    """Every row of AlpacaEval's own leaderboard of version `edition`, models called like rows.

    Raises:
        DataError: alpaca_eval is not installed, or ships no such table.
    """
    path = _folder() / _TABLES[edition] / f"{_EVALUATORS[edition]}_leaderboard.csv"
    if not path.is_file():
        raise DataError(f"{path} is missing; install evalkit with its dependencies")
    found: list[Estimate] = []
    for row, values in _read(path).items():
        source = f"alpaca_eval {version('alpaca_eval')}, {path.name}, row {row!r}"
        found += _row_estimates((row, alpaca.TASK), values, source, level)
    return found


def _row_estimates(
    place: tuple[str, str], row: Mapping[str, str], source: str, level: float
) -> Iterator[Estimate]:
    units = {metric.name: metric.unit for metric in alpaca.METRICS}
    total = _number(row.get("n_total"))
    for metric, column in _COLUMNS.items():
        point = _number(row.get(column))
        if point is None:
            continue
        error = _number(row.get("standard_error")) if metric == "win_rate" else None
        half = None if error is None else NormalDist().inv_cdf((1 + level) / 2) * error
        yield Estimate(
            model=place[0],
            benchmark=place[1],
            task=alpaca.TASK,
            metric=metric,
            category=None,
            point=point,
            standard_error=error,
            low=None if half is None else point - half,
            high=None if half is None else point + half,
            level=level,
            n=int(total or 0),
            n_clusters=int(total or 0),
            n_missing=0,
            unit=units.get(metric, "percent"),
            method=_PUBLISHED,
            source=source,
        )


def tables() -> list[Path]:
    """Every leaderboard table of the installed alpaca_eval package.  Raises DataError."""
    return sorted(_folder().glob("data_AlpacaEval*/*_leaderboard.csv"))


def _folder() -> Path:
    spec = importlib.util.find_spec("alpaca_eval")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the package alpaca_eval, which ships the leaderboards, is not installed; "
            "install evalkit with its dependencies"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "leaderboards"


def _table(spec: BenchmarkSpec) -> Path | None:
    """The table of an AlpacaEval entry; None where no one published one for its evaluator.

    None for other benchmarks.
    """
    if spec.type != "alpaca_eval":
        return None
    edition = int(getattr(spec, "version", 2))
    evaluator = getattr(spec, "evaluator", None) or _EVALUATORS[edition]
    path = _folder() / _TABLES[edition] / f"{evaluator}_leaderboard.csv"
    return path if path.is_file() else None


@functools.cache
def _read(path: Path) -> Mapping[str, Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row[""]: row for row in csv.DictReader(file)}


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def figure_estimates(
    model: str, spec: ModelSpec, benchmarks: Sequence[BenchmarkSpec], level: float
) -> list[Estimate]:
    """The figures that a suite lists for a model, each with its source; no intervals.

    Where they hold every task of the Open LLM Leaderboard's version 1, its average is computed.

    Raises:
        DataError: a figure of a metric or task that its benchmark does not have.
    """
    found = [
        _figure(model, figure, entry, level)
        for figure in spec.figures
        for entry in entries_of(figure, benchmarks)
    ]
    return [*found, *_averages(model, found, benchmarks, level)]


def unknown_term(figure: PublishedFigure, entry: BenchmarkSpec) -> tuple[str, str] | None:
    """A figure's field that its benchmark does not have, and what is wrong with it; else None.

    Such a figure would find no place in the report.
    """
    known = _KNOWN.get(entry.type)
    if known is None or getattr(entry, "mode", "single") != "single":
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


def _averages(
    model: str, found: Sequence[Estimate], benchmarks: Sequence[BenchmarkSpec], level: float
) -> Iterator[Estimate]:
    for entry in benchmarks:
        if entry.type != "open_llm_leaderboard" or getattr(entry, "version", 1) != 1:
            continue
        mine = [e for e in found if e.benchmark == entry.entry and e.point is not None]
        figures = {
            e.task: [Figure(e.metric, e.point / 100, None, 1, 0, "", corpus=True)]
            for e in mine
            if e.point is not None
        }
        drop = bool(getattr(entry, "include_drop", False))
        average = board.average_v1(figures, include_drop=drop).point
        if average is not None and entry.type not in figures:
            source = "computed from the published figures of its tasks"
            stated = PublishedFigure(
                benchmark=entry.entry, metric="average", value=100 * average, source=source
            )
            yield _figure(model, stated, entry, level)


def entries_of(figure: PublishedFigure, benchmarks: Sequence[BenchmarkSpec]) -> list[BenchmarkSpec]:
    """The entries a figure is of: the one it names, else all of the type it names."""
    named = [entry for entry in benchmarks if entry.entry == figure.benchmark]
    return named or [entry for entry in benchmarks if entry.type == figure.benchmark]


def _figure(model: str, figure: PublishedFigure, entry: BenchmarkSpec, level: float) -> Estimate:
    if wrong := unknown_term(figure, entry):
        raise DataError(f"model {model!r}: {wrong[1]}; correct it in `figures`")
    said = (figure.source, figure.date, figure.settings)
    return Estimate(
        model=model,
        benchmark=entry.entry,
        task=figure.task or entry.type,
        metric=figure.metric,
        category=None,
        point=figure.value,
        standard_error=None,
        low=None,
        high=None,
        level=level,
        n=0,
        n_clusters=0,
        n_missing=0,
        unit=_unit(figure.metric),
        method=_PUBLISHED,
        source=", ".join(part for part in said if part),
    )


def _unit(metric: str) -> str:
    if metric == "score" or metric.startswith("score_turn"):
        return "points"
    return "characters" if metric == "avg_length" else "percent"
