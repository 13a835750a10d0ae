r"""Runs as flat tables: their columns, rows of them, and pandas frames.

`TABLES` is the one place where columns and their meaning are written: `Run.to_frame`, the csv, json
and parquet exports, and what documents them are made from it.  Missing is NaN in a frame, null in
JSON and Parquet, an empty cell in CSV; never 0.  Text is exact but for halves of surrogate pairs,
which UTF-8 (and so Parquet and pandas) cannot hold: each is spelled out, `\ud800` as ⟨U+D800⟩.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from evalkit.core.figures import FigureKey, Measured, Metric
from evalkit.core.run import Run
from evalkit.core.samples import Judgment, Record
from evalkit.errors import ExportError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["TABLES", "FrameColumn", "Row", "columns_of", "encodable", "frame", "rows"]

Value: TypeAlias = str | float | int | bool | None
Row: TypeAlias = dict[str, Value]
Metrics: TypeAlias = Mapping[tuple[str, str], Sequence[Metric]]
"""By benchmark entry and task."""

_LONE = re.compile("[\ud800-\udfff]")
_TYPES = {"text": "str", "number": "float64", "whole": "int64", "flag": "bool"}


@dataclass(frozen=True)
class FrameColumn:
    """One column."""

    kind: Literal["text", "number", "whole", "flag"]
    description: str
    content: bool = False
    """It holds text of the benchmark, a model or a judge, which may not be free to pass on."""


_text = partial(FrameColumn, "text")
_number = partial(FrameColumn, "number")
_whole = partial(FrameColumn, "whole")
_flag = partial(FrameColumn, "flag")

_RUN_ID = _text("Run it was measured in: 12 hex digits.")
_MODEL = _text("Name in the suite.")
_CATEGORY = _text("Category; missing: none, or (of a figure) all together.")
_UNIT = _text("percent (0 to 100), points (1 to 10), characters or raw.")
_PRIMARY = _flag("The headline metric of its task.")

_SAMPLE: Mapping[str, FrameColumn] = {
    "run_id": _RUN_ID,
    "model": _MODEL,
    "benchmark": _text("Benchmark entry of the suite."),
    "task": _text("Task of the benchmark."),
    "sample": _text("Id of the sample, unique within its task."),
    "category": _CATEGORY,
    "cluster": _text("Unit of resampling; missing: the sample itself."),
}
_FIGURE: Mapping[str, FrameColumn] = {
    "benchmark": _SAMPLE["benchmark"],
    "task": _SAMPLE["task"],
    "metric": _text("Metric."),
    "category": _CATEGORY,
    "primary": _PRIMARY,
    "unit": _UNIT,
}

TABLES: Mapping[str, Mapping[str, FrameColumn]] = {
    "samples": {
        **_SAMPLE,
        "role": _text("candidate or baseline."),
        "status": _text(
            "ok, or why there is no score: engine_error, transport_error, unparsable, refused, "
            "over_long, excluded."
        ),
        "truncated": _flag("An answer was cut by its token limit; it is scored all the same."),
        "metric": _text("The task's headline metric; missing: the task has only corpus metrics."),
        "unit": _UNIT,
        "score": _number("Mean of the sample's scores of that metric, in its unit."),
        "n_scores": _whole("Scores of that metric the sample has (MT-Bench: one per turn)."),
        "n_missing": _whole("Scores of that metric that are missing."),
        "prompt": _text("The user's turns, separated by blank lines.", content=True),
        "answer": _text(
            "The model's answers, separated by blank lines; of choices, one per line with its "
            "log-probability.",
            content=True,
        ),
        "reference": _text("Reference answers or gold targets, likewise.", content=True),
        "error": _text("What went wrong.", content=True),
    },
    "scores": {
        **_SAMPLE,
        "status": _text("Status of the sample."),
        "metric": _text("Metric."),
        "part": _text("turn_1, turn_2, ...; empty where there is one score per sample."),
        "primary": _PRIMARY,
        "value": _number("As measured: 0 or 1, a preference from 0 to 1, a rating."),
        "score": _number("The same in its unit."),
        "unit": _UNIT,
    },
    "judgments": {
        **_SAMPLE,
        "part": _text("turn_1, turn_2; empty where there is one judgment per sample."),
        "judge": _text("Judge's name in the suite, or as the evidence calls it."),
        "protocol": _text("Judge protocol: a module of the judges room, or recorded."),
        "status": _text("ok, or why there is no verdict."),
        "value": _number("Pairwise: preference for the answer, 0 to 1.  Rating: 1 to 10."),
        "vote_first": _number("Pairwise: preference for the answer when it was shown first."),
        "vote_second": _number("Pairwise: preference for the answer when it was shown second."),
        "reply": _text("The judge's replies, separated by blank lines.", content=True),
        "error": _text("What went wrong.", content=True),
    },
    "estimates": {
        "run_id": _RUN_ID,
        "model": _MODEL,
        **_FIGURE,
        "point": _number("The figure, in its unit."),
        "standard_error": _number("Of the figure."),
        "low": _number("Lower end of its interval."),
        "high": _number("Upper end of its interval."),
        "level": _number("Confidence level of the interval, 0 to 1."),
        "n": _whole("Scores in the figure; 0 where only the figure is known."),
        "n_clusters": _whole("Units of resampling among them."),
        "n_missing": _whole("Scores that should be there and are not."),
        "method": _text("How it was computed, in words; `published`: someone else's figure."),
        "source": _text("Where someone else published it; empty: computed by evalkit."),
    },
    "comparisons": {
        "run_id": _RUN_ID,
        "candidate": _text("Model whose difference it is."),
        "baseline": _text("Model it is compared with."),
        **_FIGURE,
        "difference": _number("Candidate minus baseline on the samples both have, in its unit."),
        "standard_error": _number("Of the difference."),
        "low": _number("Lower end of its interval."),
        "high": _number("Upper end of its interval."),
        "level": _number("Confidence level of the interval, 0 to 1."),
        "p": _number("Two-sided p, not corrected for several comparisons."),
        "n": _whole("Scores both have."),
        "n_clusters": _whole("Units of resampling among them."),
        "wins": _whole("Scores on which the candidate is better."),
        "losses": _whole("Scores on which it is worse."),
        "ties": _whole("Scores on which both are equal."),
        "n_missing_candidate": _whole("Missing scores of the candidate."),
        "n_missing_baseline": _whole("Missing scores of the baseline."),
        "higher_is_better": _flag("False: a negative difference is an improvement."),
        "method": _text("How interval and p were computed, in words."),
    },
}
"""By table: every column in order.  `samples` has a row per model and sample, `scores` one per
score of every metric, `judgments` one per judgment."""


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


def columns_of(what: str, *, figures_only: bool = False) -> dict[str, FrameColumn]:
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
        metrics = {(b.name, t): found for b in run.benchmarks for t, found in b.metrics.items()}
        for row in make(run, metrics):
            whole = {"run_id": run.manifest.run_id, **row}
            yield {name: encodable(whole[name]) for name in columns}


def encodable(value: Value) -> Value:
    """Text as UTF-8 can hold it, a number that is none (an overflow) as missing; else as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return _LONE.sub(lambda m: f"⟨U+{ord(m.group()):04X}⟩", value)
    return value


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
    roles = {m.name: m.role or None for m in run.manifest.models}
    for record in run.records:
        outcome = record.outcome
        known = metrics.get((record.benchmark, record.task), ())
        yield {
            **_identity(record),
            "role": roles.get(record.model),
            "status": outcome.status,
            "truncated": outcome.truncated,
            **_headline(record, next((m for m in known if m.primary), None)),
            "prompt": _joined(m.content for m in outcome.conversation if m.role == "user"),
            "answer": _joined(outcome.answers, _between(record)),
            "reference": _joined(outcome.reference),
            "error": outcome.error,
        }


def _headline(record: Record, metric: Metric | None) -> Row:
    """Mean of the record's scores of `metric`; an excluded record has none."""
    if metric is None:
        return {"metric": None, "unit": None, "score": None, "n_scores": 0, "n_missing": 0}
    named = [s for s in record.outcome.scores if s.metric == metric.name]
    scores = named if record.outcome.status != "excluded" else []
    have = {score.part.partition("#")[0] for score in scores}
    scaled = [metric.scale * score.value for score in scores]
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "score": math.fsum(scaled) / len(scaled) if scaled else None,
        "n_scores": len(scores),
        "n_missing": len(set(metric.parts) - have),
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
            known = metrics.get((record.benchmark, record.task), ())
            metric = next((m for m in known if m.name == score.metric), None)
            yield {
                **_identity(record),
                "status": record.outcome.status,
                "metric": score.metric,
                "part": score.part,
                "primary": metric is not None and metric.primary,
                "value": score.value,
                "score": metric.scale * score.value if metric else None,
                "unit": metric.unit if metric else None,
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


def _key(key: FigureKey, metrics: Metrics) -> Row:
    known = metrics.get((key.benchmark, key.task), ())
    return {
        "benchmark": key.benchmark,
        "task": key.task,
        "metric": key.metric,
        "category": key.category,
        "primary": any(m.primary for m in known if m.name == key.metric),
    }


def _uncertainty(value: Measured) -> Row:
    return {
        "standard_error": value.standard_error,
        "low": value.low,
        "high": value.high,
        "level": value.level,
        "n": value.n,
        "n_clusters": value.n_units,
        "method": value.how,
    }


def _estimates(run: Run, metrics: Metrics) -> Iterator[Row]:
    for figure in run.figures:
        yield {
            **_key(figure.key, metrics),
            **_uncertainty(figure.value),
            "model": figure.model,
            "unit": figure.unit,
            "point": figure.value.point,
            "n_missing": figure.value.n_missing,
            "source": "" if figure.source is None else figure.source.text,
        }


def _comparisons(run: Run, metrics: Metrics) -> Iterator[Row]:
    for c in run.comparisons:
        yield {
            **_key(c.key, metrics),
            **_uncertainty(c.difference),
            "candidate": c.candidate,
            "baseline": c.baseline,
            "unit": c.unit,
            "difference": c.difference.point,
            "p": c.p,
            "wins": c.wins,
            "losses": c.losses,
            "ties": c.ties,
            "n_missing_candidate": c.n_missing_candidate,
            "n_missing_baseline": c.n_missing_baseline,
            "higher_is_better": c.higher_is_better,
        }


_MAKERS: Mapping[str, Callable[[Run, Metrics], Iterator[Row]]] = {
    "samples": _samples,
    "scores": _scores,
    "judgments": _judgments,
    "estimates": _estimates,
    "comparisons": _comparisons,
}
