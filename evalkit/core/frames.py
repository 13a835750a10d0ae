r"""Runs as flat tables: rows of the columns in `columns.py`, and pandas frames of them.

Text is exact but for halves of surrogate pairs, which UTF-8 (and so Parquet and pandas) cannot
hold: each is spelled out, `\ud800` as ⟨U+D800⟩.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from evalkit.core import Json, Judgment, Record, Run
from evalkit.core.columns import TABLES, Column
from evalkit.errors import ExportError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Row", "columns_of", "encodable", "frame", "rows"]

Value: TypeAlias = str | float | int | bool | None
Row: TypeAlias = dict[str, Value]
Metrics: TypeAlias = Mapping[tuple[str, str], Sequence[Mapping[str, Json]]]
"""By benchmark entry and task: the fields of `core.Metric`, as the manifest has them."""

_LONE = re.compile("[\ud800-\udfff]")
_TYPES = {"text": "str", "number": "float64", "whole": "int64", "flag": "bool"}


def frame(runs: Iterable[Run], what: str, *, figures_only: bool = False) -> DataFrame:
    """A table of `runs` as a pandas frame.

    Args:
        runs: one or several; `run_id` tells them apart.
        what: `samples`, `scores`, `judgments`, `estimates` or `comparisons`.
        figures_only: leave out columns that hold words of a benchmark, model or judge.

    Raises:
        ExportError: another table.
    """
    import pandas as pd

    columns = columns_of(what, figures_only=figures_only)
    found = list(rows(runs, what))
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in found], dtype=_TYPES[column.kind])
            for name, column in columns.items()
        }
    )


def columns_of(what: str, *, figures_only: bool = False) -> dict[str, Column]:
    """Columns of a table in order.  Raises ExportError."""
    if what not in TABLES:
        raise ExportError(f"no table {what!r} of a run; expected one of {', '.join(TABLES)}")
    return {
        name: column
        for name, column in TABLES[what].items()
        if not (figures_only and column.content)
    }


def rows(runs: Iterable[Run], what: str) -> Iterator[Row]:
    """Rows of a table with all its columns in order, runs after each other.  Raises ExportError."""
    columns = columns_of(what)
    make = _MAKERS[what]
    for run in runs:
        about = {"run_id": str(run.manifest.get("run_id", ""))}
        for row in make(run, _metrics(run)):
            whole = about | row
            yield {name: encodable(whole[name]) for name in columns}


def encodable(value: Value) -> Value:
    """Text as UTF-8 can hold it, a number that is none (an overflow) as missing; else as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return _LONE.sub(lambda m: f"⟨U+{ord(m.group()):04X}⟩", value)
    return value


def _metrics(run: Run) -> Metrics:
    return {
        (str(entry.get("name")), task): about.get("metrics", ())
        for entry in run.manifest.get("benchmarks", ())
        for task, about in entry.get("tasks", {}).items()
    }


def _metric(metrics: Metrics, place: tuple[str, str], name: str | None) -> Mapping[str, Json]:
    """The metric of that name, or (None) the primary one; empty where there is none."""
    wanted = ("primary", True) if name is None else ("name", name)
    return next((m for m in metrics.get(place, ()) if m.get(wanted[0]) == wanted[1]), {})


# --- one row per record, score, judgment ----------------------------------------------------


def _identity(record: Record) -> Row:
    return {
        "model": record.model,
        "benchmark": record.benchmark,
        "task": record.task,
        "sample": record.sample,
        "category": record.category,
        "cluster": record.cluster or None,
    }


def _samples(run: Run, metrics: Metrics) -> Iterator[Row]:
    roles = {m.get("name"): m.get("role") for m in run.manifest.get("models", ())}
    for record in run.records:
        outcome = record.outcome
        yield {
            **_identity(record),
            "role": roles.get(record.model),
            "status": outcome.status,
            "truncated": outcome.truncated,
            **_headline(record, _metric(metrics, (record.benchmark, record.task), None)),
            "prompt": _joined(m.content for m in outcome.conversation if m.role == "user"),
            "answer": _joined(outcome.answers, _between(record)),
            "reference": _joined(outcome.reference),
            "error": outcome.error,
        }


def _headline(record: Record, metric: Mapping[str, Json]) -> Row:
    """Mean of the record's scores of `metric`; an excluded record has none."""
    named = [s for s in record.outcome.scores if s.metric == metric.get("name")]
    scores = named if record.outcome.status != "excluded" else []
    have = {score.part.partition("#")[0] for score in scores}
    scaled = [metric["scale"] * score.value for score in scores]
    return {
        "metric": metric.get("name"),
        "unit": metric.get("unit"),
        "score": math.fsum(scaled) / len(scaled) if scaled else None,
        "n_scores": len(scores),
        "n_missing": len(set(metric.get("parts", ())) - have),
    }


def _between(record: Record) -> str:
    """Choices of one question stand on lines of their own; turns are set apart."""
    turns = sum(m.role == "assistant" for m in record.outcome.conversation)
    return "\n\n" if turns == len(record.outcome.answers) else "\n"


def _joined(texts: Iterable[str], between: str = "\n\n") -> str | None:
    found = list(texts)
    return between.join(found) if found else None


def _scores(run: Run, metrics: Metrics) -> Iterator[Row]:
    for record in run.records:
        for score in record.outcome.scores:
            metric = _metric(metrics, (record.benchmark, record.task), score.metric)
            yield {
                **_identity(record),
                "status": record.outcome.status,
                "metric": score.metric,
                "part": score.part,
                "primary": bool(metric.get("primary")),
                "value": score.value,
                "score": metric["scale"] * score.value if metric else None,
                "unit": metric.get("unit"),
            }


def _judgments(run: Run, metrics: Metrics) -> Iterator[Row]:
    for record in run.records:
        for judgment in record.outcome.judgments:
            yield {**_identity(record), **_judgment(judgment)}


def _judgment(judgment: Judgment) -> Row:
    first, second = judgment.votes if len(judgment.votes) == 2 else (None, None)
    return {
        "part": judgment.part,
        "judge": judgment.judge,
        "protocol": judgment.protocol,
        "status": judgment.status,
        "value": judgment.value,
        "vote_first": first,
        "vote_second": second,
        "reply": _joined(exchange.reply for exchange in judgment.exchanges),
        "error": judgment.error,
    }


# --- one row per figure ---------------------------------------------------------------------


def _estimates(run: Run, metrics: Metrics) -> Iterator[Row]:
    for row in run.estimates:
        metric = _metric(metrics, (row.benchmark, row.task), row.metric)
        yield {**dataclasses.asdict(row), "primary": bool(metric.get("primary"))}


def _comparisons(run: Run, metrics: Metrics) -> Iterator[Row]:
    for row in run.comparisons:
        metric = _metric(metrics, (row.benchmark, row.task), row.metric)
        yield {**dataclasses.asdict(row), "primary": bool(metric.get("primary"))}


_MAKERS: Mapping[str, Callable[[Run, Metrics], Iterator[Row]]] = {
    "samples": _samples,
    "scores": _scores,
    "judgments": _judgments,
    "estimates": _estimates,
    "comparisons": _comparisons,
}
