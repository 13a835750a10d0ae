"""Differences of averages over tasks: a leaderboard's, a group's, a score against chance.

What is averaged is declared by the benchmark (`types.Average`) and stands in the manifest, so that
stored runs compare without their benchmark.  Documents are paired task by task; tasks are strata
(`stats.average_of_tasks`).  Figures that are no plain means of documents enter by their linear
part (the delta method): a share over lists of values, and a score against chance, whose floor
makes a task below chance contribute nothing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from evalkit.protocols import Average
from evalkit.stats import Mean, Stratified, average_of_tasks, mean_estimate
from evalkit.types import Comparison, Json, Record

__all__ = ["average_comparisons", "tasks_below"]

Place: TypeAlias = tuple[str, str]
"""(task, metric)"""
Documents: TypeAlias = dict[str, dict[str, Record]]
"""By task and sample."""
Values: TypeAlias = dict[str, float]
"""One figure's value of each document, whose mean is the figure."""


def tasks_below(average: Average, averages: Sequence[Average]) -> dict[str, str]:
    """Every task an average is made of, with the first metric it enters by."""
    known = {(a.task, a.metric.name): a for a in averages}
    found: dict[str, str] = {}
    for task, metric in average.of:
        inner = known.get((task, metric))
        below = {task: metric} if inner is None else tasks_below(inner, averages)
        found = {**below, **found}
    return found


def average_comparisons(
    records: Sequence[Record],
    averages: Sequence[Average],
    sides: tuple[str, str],
    level: float,
) -> list[Comparison]:
    """Candidate minus baseline of every average, in the order they are declared.

    Wins, ties and losses count documents over all tasks.  A task without a score on either side
    leaves the average undefined, since it would be over other tasks than its name says.

    Args:
        records: of one benchmark; others' are ignored.
        averages: that benchmark's.
        sides: candidate and baseline.
        level: confidence level, between 0 and 1.
    """
    ours, theirs = (_by_task(records, model) for model in sides)
    if not ours or not theirs or not averages:
        return []
    benchmark = next(r.benchmark for r in records)
    differences = _Differences(ours, theirs, averages, level)
    return [_comparison(differences, average, (benchmark, *sides)) for average in averages]


def _by_task(records: Sequence[Record], model: str) -> Documents:
    found: Documents = {}
    for record in records:
        if record.model == model:
            found.setdefault(record.task, {})[record.sample] = record
    return found


@dataclass
class _Differences:
    """Each figure's paired difference, computed once."""

    ours: Documents
    theirs: Documents
    averages: Sequence[Average]
    level: float
    _found: dict[Place, Mean | Stratified] = field(default_factory=dict)

    def of(self, average: Average) -> Mean | Stratified:
        """In the average's own unit."""
        place = (average.task, average.metric.name)
        if place not in self._found:
            self._found[place] = self._computed(average)
        return self._found[place]

    def _computed(self, average: Average) -> Mean | Stratified:
        inner = {(a.task, a.metric.name): a for a in self.averages}
        plain = [place for place in average.of if place not in inner]
        if len(plain) == len(average.of) and len({task for task, _ in plain}) == 1:
            return self._of_task(plain[0][0], [m for _, m in plain], average)
        parts = {
            f"{task} {metric}": self.of(inner[task, metric])
            if (task, metric) in inner
            else self._of_task(task, [metric], average)
            for task, metric in average.of
        }
        return average_of_tasks(parts, self.level, by_size=average.by_size)

    def _of_task(self, task: str, metrics: Sequence[str], average: Average) -> Mean:
        """One task's mean over the metrics, against chance where the average says so."""
        ours, theirs = self._common(task, metrics)
        scale = average.metric.scale
        both = [
            _mean_of([_values(side, metric, average.chance) for metric in metrics])
            for side in (ours, theirs)
        ]
        differences = [scale * (both[0][k] - both[1][k]) for k in both[0]]
        size = scale * max((abs(v) for side in both for v in side.values()), default=0.0)
        return mean_estimate(differences, [_unit(ours[k]) for k in both[0]], self.level, size)

    def _common(
        self, task: str, metrics: Sequence[str]
    ) -> tuple[dict[str, Record], dict[str, Record]]:
        """Documents with every metric on both sides."""
        ours, theirs = (
            {k: r for k, r in side.get(task, {}).items() if all(_raw(r, m) for m in metrics)}
            for side in (self.ours, self.theirs)
        )
        keys = [key for key in ours if key in theirs]
        return {k: ours[k] for k in keys}, {k: theirs[k] for k in keys}

    def _lacking(self, side: Documents, task: str, metric: str) -> int:
        """Documents without a score on one side, of those either side was asked."""
        asked = {**self.ours.get(task, {}), **self.theirs.get(task, {})}
        mine = side.get(task, {})
        return sum(key not in mine or not _raw(mine[key], metric) for key in asked)

    def counts(self, average: Average) -> dict[str, int]:
        """Documents both have, wins, losses, ties, and what is missing on each side."""
        total = dict.fromkeys(("n", "wins", "losses", "ties", "missing", "missing_other"), 0)
        for task, metric in tasks_below(average, self.averages).items():
            ours, theirs = self._common(task, [metric])
            signs = [_share(ours[k], metric) - _share(theirs[k], metric) for k in ours]
            above, below = sum(s > 0 for s in signs), sum(s < 0 for s in signs)
            better = average.metric.higher_is_better
            total["n"] += len(signs)
            total["wins"] += above if better else below
            total["losses"] += below if better else above
            total["ties"] += len(signs) - above - below
            total["missing"] += self._lacking(self.ours, task, metric)
            total["missing_other"] += self._lacking(self.theirs, task, metric)
        return total


def _raw(record: Record, metric: str) -> tuple[float, ...]:
    """A document's values of a metric: one score, or a list that the metric flattens."""
    if record.outcome.status == "excluded":
        return ()
    scores = tuple(s.value for s in record.outcome.scores if s.metric == metric)
    return scores or tuple(_numbers(record.outcome.data.get(metric)))


def _numbers(value: Json) -> Iterator[float]:
    if isinstance(value, list | tuple):
        yield from (float(v) for v in value if isinstance(v, bool | int | float))


def _share(record: Record, metric: str) -> float:
    values = _raw(record, metric)
    return math.fsum(values) / len(values)


def _values(side: Mapping[str, Record], metric: str, chance: float | None) -> Values:
    """Each document's value, so that their mean is the figure.

    For a figure over all values of all documents, the linear part of the ratio; where every
    document has one value, the value itself.
    """
    raw = {key: _raw(record, metric) for key, record in side.items()}
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
    return found if chance is None else _against(found, figure, chance)


def _against(values: Values, figure: float, chance: float) -> Values:
    """Max(0, (s - c) / (1 - c)) of the figure s; below chance it does not move."""
    if figure <= chance:
        return dict.fromkeys(values, 0.0)
    return {key: (value - chance) / (1 - chance) for key, value in values.items()}


def _mean_of(figures: Sequence[Values]) -> Values:
    return {key: math.fsum(f[key] for f in figures) / len(figures) for key in figures[0]}


def _unit(record: Record) -> Hashable:
    return ("cluster", record.cluster) if record.cluster else ("sample", record.sample)


def _comparison(
    differences: _Differences, average: Average, place: tuple[str, str, str]
) -> Comparison:
    benchmark, candidate, baseline = place
    found, counts = differences.of(average), differences.counts(average)
    stratified = _as_stratified(found, differences.level)
    return Comparison(
        candidate=candidate,
        baseline=baseline,
        benchmark=benchmark,
        task=average.task,
        metric=average.metric.name,
        category=None,
        difference=stratified.point,
        standard_error=stratified.standard_error,
        low=stratified.low,
        high=stratified.high,
        level=differences.level,
        p=stratified.p,
        n=counts["n"],
        n_clusters=stratified.n_clusters,
        wins=counts["wins"],
        losses=counts["losses"],
        ties=counts["ties"],
        n_missing_candidate=counts["missing"],
        n_missing_baseline=counts["missing_other"],
        unit=average.metric.unit,
        higher_is_better=average.metric.higher_is_better,
        method=f"paired by document; {stratified.method}",
        df=stratified.df,
    )


def _as_stratified(found: Mean | Stratified, level: float) -> Stratified:
    """A single task's mean gets its p like an average of one."""
    if isinstance(found, Stratified):
        return found
    return replace(average_of_tasks({"": found}, level), method=found.method)
