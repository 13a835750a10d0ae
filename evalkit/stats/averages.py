"""Averages over tasks: a leaderboard's, a group's, a score against chance.

The tasks are fixed; only documents (or their clusters) are sampled.  So a task's mean has an error,
the choice of tasks has none.  The benchmark declares its averages (`core.figures.Average`) and the
manifest keeps them, so that stored runs are averaged without their benchmark.

Figures that are not plain means of documents enter by their linear part (the delta method): a share
over lists of values, and a score against chance, where a task below chance contributes 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from evalkit.core.figures import Average, Estimator, Interval, Measured, Method
from evalkit.core.run import tasks_below
from evalkit.core.samples import Record
from evalkit.stats.means import Paired, mean, p_value, paired_difference, t_quantile

__all__ = [
    "PairedAverage",
    "Place",
    "average_of_tasks",
    "averages_of_records",
    "paired_averages",
]

Place: TypeAlias = tuple[str, str]
"""(task, metric)"""
Documents: TypeAlias = dict[str, dict[str, Record]]
"""One model's records by task and sample."""


def average_of_tasks(
    tasks: Mapping[str, Measured], level: float, *, by_size: bool = False
) -> Measured:
    """Mean over tasks that share no documents, with its error; equal weights by default.

    Point: Σ w_t x̄_t with w_t = 1/T, or n_t/n by size.  SE = √(Σ w_t² SE_t²): the variance of a
    stratified mean (Cochran 1977, "Sampling Techniques", eq. 5.7, without finite-population
    correction).  Interval: Student's t with Satterthwaite's (1946) degrees of freedom,
    (Σ w_t² SE_t²)² / Σ(w_t⁴ SE_t⁴ / df_t) (Cochran eq. 5.16).

    Args:
        tasks: estimate of each, paired differences included; an average is a task in turn
            (MMLU's 57 subjects among six).
        level: confidence level, between 0 and 1; intervals of the parts are not used.
        by_size: weight each task by its number of values.

    Returns:
        No task, or a task without values: no point.  A task of one cluster: the point only.
        SE 0 in every task: an interval of no width (`Method.no_variation`).
    """
    parts = list(tasks.values())
    n, units = sum(part.n for part in parts), sum(part.n_units for part in parts)
    missing = sum(part.n_missing for part in parts)
    paired = bool(parts) and all(part.method.paired for part in parts)
    method = Method(Estimator.TASKS, paired=paired, tasks=len(parts), by_size=by_size)

    def found(detail: str = "", point: float | None = None) -> Measured:
        how = replace(method, detail=detail)
        return Measured(point, None, None, None, level, n, units, missing, how)

    if not parts:
        return found("no tasks")
    points = [part.point for part in parts if part.point is not None]
    if len(points) < len(parts):
        names = ", ".join(repr(task) for task, part in tasks.items() if part.point is None)
        return found(f"no scores in task {names}")
    weights = [part.n / n if by_size else 1 / len(parts) for part in parts]
    weighted = math.fsum(w * x for w, x in zip(weights, points, strict=True))
    point = weighted if by_size else math.fsum(points) / len(parts)
    if any(part.standard_error is None for part in parts):
        names = ", ".join(repr(task) for task, part in tasks.items() if part.standard_error is None)
        return found(f"no standard error from one unit in task {names}", point)
    errors = [w * (part.standard_error or 0.0) for part, w in zip(parts, weights, strict=True)]
    largest = max(errors)
    if largest == 0:
        flat = replace(method, interval=Interval.T, no_variation=True)
        return Measured(point, 0.0, point, point, level, n, units, missing, flat)
    # Relative to the largest, so that squares of squares neither overflow nor vanish.
    squares = [(error / largest) ** 2 for error in errors]
    dfs = [part.n_units - 1 if part.df is None else part.df for part in parts]
    spread = math.fsum(s * s / df for s, df in zip(squares, dfs, strict=True) if s)
    total = math.fsum(squares)
    error, df = largest * math.sqrt(total), total**2 / spread
    half = t_quantile(0.5 + level / 2, df) * error
    method = replace(method, interval=Interval.T)
    low, high = point - half, point + half
    return Measured(point, error, low, high, level, n, units, missing, method, df)


def averages_of_records(
    records: Iterable[Record], averages: Sequence[Average], level: float
) -> dict[Place, Measured]:
    """Each average of one model, in its own unit, over the documents that have scores.

    Args:
        records: one model's of one benchmark.
        averages: each after those it is made of.
        level: confidence level, between 0 and 1.

    Returns:
        In the order declared.  Where nothing varies (all parts at or below chance, for example)
        there is no standard error and no interval: a width of 0 would claim precision.
    """
    documents = _by_task(records)

    def part(task: str, metrics: Sequence[str], average: Average) -> Measured:
        mine = _with_all(documents.get(task, {}), metrics)
        values = _values_of(mine, metrics, average.chance)
        scaled = [average.metric.scale * value for value in values.values()]
        return mean(scaled, [_unit(mine[key]) for key in values], level)

    found = _nested(averages, part, level)
    for average in averages:
        place = average.task, average.metric.name
        missing = sum(
            not _raw_values(record, metric)
            for task, metric in tasks_below(average, averages).items()
            for record in documents.get(task, {}).values()
        )
        found[place] = replace(found[place], n_missing=missing)
        if not found[place].standard_error:
            method = replace(found[place].method, interval=Interval.NONE)
            found[place] = replace(
                found[place], standard_error=None, low=None, high=None, df=None, method=method
            )
    return found


@dataclass(frozen=True)
class PairedAverage:
    """Two models' average on the documents both have, task by task."""

    paired: Paired
    """Wins, losses and ties count documents over all tasks, as does `n`."""
    missing_ours: int
    """Documents without a score, of those that either side has a record of."""
    missing_theirs: int


def paired_averages(
    ours: Iterable[Record], theirs: Iterable[Record], averages: Sequence[Average], level: float
) -> dict[Place, PairedAverage]:
    """Our minus their average, for each declared average; documents are paired task by task.

    A task without a score on either side leaves the average undefined: it would not be over the
    tasks it names.

    Args:
        ours: one model's records of one benchmark.
        theirs: another's.
        averages: each after those it is made of.
        level: confidence level, between 0 and 1.
    """
    mine, other = _by_task(ours), _by_task(theirs)

    def common(task: str, metrics: Sequence[str]) -> tuple[dict[str, Record], dict[str, Record]]:
        both = [_with_all(side.get(task, {}), metrics) for side in (mine, other)]
        keys = [key for key in both[0] if key in both[1]]
        return {key: both[0][key] for key in keys}, {key: both[1][key] for key in keys}

    def part(task: str, metrics: Sequence[str], average: Average) -> Measured:
        sides = common(task, metrics)
        units = {key: _unit(record) for key, record in sides[0].items()}
        a, b = (
            {
                k: average.metric.scale * v
                for k, v in _values_of(side, metrics, average.chance).items()
            }
            for side in sides
        )
        return paired_difference(a, b, units, level).measured

    differences = _nested(averages, part, level)
    found = {}
    for average in averages:
        n = above = below = missing_ours = missing_theirs = 0
        for task, metric in tasks_below(average, averages).items():
            own, others = mine.get(task, {}), other.get(task, {})
            a, b = common(task, [metric])
            gaps = [
                _mean(_raw_values(a[key], metric)) - _mean(_raw_values(b[key], metric)) for key in a
            ]
            n += len(gaps)
            above += sum(gap > 0 for gap in gaps)
            below += sum(gap < 0 for gap in gaps)
            known = own.keys() | others.keys()
            missing_ours += len(known) - len(_with_all(own, [metric]))
            missing_theirs += len(known) - len(_with_all(others, [metric]))
        place = average.task, average.metric.name
        measured = replace(differences[place], n=n)
        wins, losses = (above, below) if average.metric.higher_is_better else (below, above)
        paired = Paired(measured, p_value(measured), wins, losses, n - wins - losses)
        found[place] = PairedAverage(paired, missing_ours, missing_theirs)
    return found


def _nested(
    averages: Sequence[Average],
    part: Callable[[str, Sequence[str], Average], Measured],
    level: float,
) -> dict[Place, Measured]:
    """Every average from what it is made of, each after those it is made of.

    `part`: (task, metrics, average) to one task's mean of these metrics, scaled for the average.
    """
    found: dict[Place, Measured] = {}
    for average in averages:
        plain = [place for place in average.of if place not in found]
        own = (average.task, average.metric.name)
        if len(plain) == len(average.of) and len({task for task, _ in plain}) == 1:
            found[own] = part(plain[0][0], [metric for _, metric in plain], average)
            continue
        parts = {
            f"{task} {metric}": found[task, metric]
            if (task, metric) in found
            else part(task, [metric], average)
            for task, metric in average.of
        }
        found[own] = average_of_tasks(parts, level, by_size=average.by_size)
    return found


def _by_task(records: Iterable[Record]) -> Documents:
    found: Documents = {}
    for record in records:
        found.setdefault(record.task, {})[record.sample] = record
    return found


def _with_all(documents: Mapping[str, Record], metrics: Sequence[str]) -> dict[str, Record]:
    """Those that have every metric."""
    return {k: r for k, r in documents.items() if all(_raw_values(r, m) for m in metrics)}


def _raw_values(record: Record, metric: str) -> tuple[float, ...]:
    """A document's values of a metric: one score, or a list that the metric flattens."""
    if record.outcome.status == "excluded":
        return ()
    scores = tuple(s.value for s in record.outcome.scores if s.metric == metric)
    listed = record.outcome.data.get(metric)
    if scores or not isinstance(listed, list | tuple):
        return scores
    return tuple(float(v) for v in listed if isinstance(v, bool | int | float))


def _values_of(
    documents: Mapping[str, Record], metrics: Sequence[str], chance: float | None
) -> dict[str, float]:
    """Each document's value, so that their mean is the mean over the metrics' figures."""
    figures = [_values(documents, metric, chance) for metric in metrics]
    return {key: _mean([f[key] for f in figures]) for key in figures[0]}


def _values(documents: Mapping[str, Record], metric: str, chance: float | None) -> dict[str, float]:
    """Each document's value of one figure; the linear part where documents have several values."""
    raw = {key: _raw_values(record, metric) for key, record in documents.items()}
    n, total = len(raw), sum(len(values) for values in raw.values())
    if not n:
        return {}
    figure = math.fsum(v for values in raw.values() for v in values) / total
    found = {
        key: figure + (math.fsum(values) - figure * len(values)) * n / total
        for key, values in raw.items()
    }
    if total == n:
        found = {key: values[0] for key, values in raw.items()}
    if chance is None:
        return found
    # max(0, (s - c) / (1 - c)) of the figure s: below chance it does not move.
    if figure <= chance:
        return dict.fromkeys(found, 0.0)
    return {key: (value - chance) / (1 - chance) for key, value in found.items()}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _unit(record: Record) -> Hashable:
    """Unit of resampling: the document, or the passage that documents share."""
    return ("cluster", record.cluster) if record.cluster else ("sample", record.sample)
