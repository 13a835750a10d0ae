"""The columns of a run's tables: the one place where they and their meaning are written.

`Run.to_frame`, the csv, json and parquet exports, and what documents them are made from it.
Missing is NaN in a frame, null in JSON and Parquet, an empty cell in CSV; never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["TABLES", "Column"]


@dataclass(frozen=True)
class Column:
    """One column."""

    kind: Literal["text", "number", "whole", "flag"]
    description: str
    content: bool = False
    """It holds text of the benchmark, a model or a judge, which may not be free to pass on."""


def _text(description: str, *, content: bool = False) -> Column:
    return Column("text", description, content)


def _number(description: str) -> Column:
    return Column("number", description)


def _whole(description: str) -> Column:
    return Column("whole", description)


def _flag(description: str) -> Column:
    return Column("flag", description)


_RUN_ID = _text("Run it was measured in: 12 hex digits.")
_MODEL = _text("Name in the suite.")
_CATEGORY = _text("Category; missing: none, or (of a figure) all together.")
_UNIT = _text("percent (0 to 100), points (1 to 10), characters or raw.")
_PRIMARY = _flag("The headline metric of its task.")

_SAMPLE: Mapping[str, Column] = {
    "run_id": _RUN_ID,
    "model": _MODEL,
    "benchmark": _text("Benchmark entry of the suite."),
    "task": _text("Task of the benchmark."),
    "sample": _text("Id of the sample, unique within its task."),
    "category": _CATEGORY,
    "cluster": _text("Unit of resampling; missing: the sample itself."),
}
_FIGURE: Mapping[str, Column] = {
    "benchmark": _SAMPLE["benchmark"],
    "task": _SAMPLE["task"],
    "metric": _text("Metric."),
    "category": _CATEGORY,
    "primary": _PRIMARY,
    "unit": _UNIT,
}

TABLES: Mapping[str, Mapping[str, Column]] = {
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
