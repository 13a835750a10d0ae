"""Do a run's records still say what its results.json says?

Figures are read from results.json, comparisons are computed from records; where one of the two was
changed by hand, or lines were lost, a run contradicts itself.  This is the cheap check that every
reader makes: mean and number of the scores behind each stored figure.  Field by field, intervals
and all, is `evidence`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from evalkit.compare.words import metric_words
from evalkit.core import Estimate, Json, Metric, Run
from evalkit.draw import count, figure
from evalkit.store.codec import CodecError, decode

__all__ = ["disagreements"]

_TOLERANCE = 1e-9
"""Relative: another machine may add in another order."""
_Place: TypeAlias = tuple[str, str, str, str]
"""Model, benchmark entry, task, metric."""


def disagreements(run: Run) -> Iterator[tuple[str, str, str]]:
    """(model, benchmark entry, what the two files say), the first such figure of each.

    Passed over are a run that is not sealed, which has no results yet, figures that are no means of
    scores, undefined ones, and those of a model without any records of the benchmark: it is plain
    that nothing can be computed from them.
    """
    if not run.manifest.get("sealed", True):
        return
    asked = {(r.model, r.benchmark) for r in run.records}
    scores, metrics = _scores(run), _metrics(run)
    scored = {place[1:] for place in scores}
    answered = {(r.benchmark, r.task) for r in run.records if r.outcome.status == "ok"}
    seen: set[tuple[str, str]] = set()
    for row in run.estimates:
        place = (row.model, row.benchmark, row.task, row.metric)
        metric = metrics.get(place[1:])
        if place[:2] not in asked - seen or metric is None or row.category is not None:
            continue
        if row.source or row.point is None:
            continue
        if place[1:] not in scored and place[1:3] in answered:
            continue  # no mean of scores: the benchmark computes it another way
        said = _held(row, metric, scores.get(place, ()))
        if said:
            seen.add(place[:2])
            yield row.model, row.benchmark, said


def _held(row: Estimate, metric: Metric, values: Sequence[float]) -> str:
    """Empty where the records give the stored figure."""
    point = math.fsum(values) / len(values) * metric.scale if values else None
    if metric.whole and point is not None:
        point = float(int(point))
    if len(values) == row.n and _same(point, row.point):
        return ""
    ours, theirs = _shown(row, point)
    return (
        f"results.json has {metric_words(row.metric)} {ours} from {count(row.n)} scores, "
        f"records.jsonl gives {theirs} from {count(len(values))}: one of the two files was changed"
    )


def _shown(row: Estimate, point: float | None) -> tuple[str, str]:
    """Both figures, unrounded where rounding hides what tells them apart."""
    ours, theirs = figure(row.point, row.unit), figure(point, row.unit)
    if ours == theirs and row.point != point:
        return repr(row.point), repr(point)
    return ours, theirs


def _same(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _scores(run: Run) -> dict[_Place, list[float]]:
    found: dict[_Place, list[float]] = {}
    for record in run.records:
        if record.outcome.status != "excluded":
            for score in record.outcome.scores:
                place = (record.model, record.benchmark, record.task, score.metric)
                found.setdefault(place, []).append(score.value)
    return found


def _metrics(run: Run) -> dict[tuple[str, str, str], Metric]:
    """Metrics of samples, by entry, task and name."""
    entries: Sequence[Mapping[str, Json]] = run.manifest.get("benchmarks", ())
    try:
        return {
            (str(entry.get("name")), task, metric.name): metric
            for entry in entries
            for task, about in entry.get("tasks", {}).items()
            for described in about.get("metrics", ())
            for metric in [decode(Metric, described)]
        }
    except CodecError:
        return {}
