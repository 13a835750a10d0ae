"""Averages over tasks, compared and estimated: a leaderboard's, a group's, a score against chance.

What is averaged is declared by the benchmark (`core.Average`) and stands in the manifest, so
that stored runs compare without their benchmark; how is in `stats/averages.py`.  Documents
are paired task by task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.core import Comparison, Estimate, Record
from evalkit.core.protocols import Average
from evalkit.stats import Mean, Stratified, average_of_tasks, mean_estimate
from evalkit.stats.averages import (
    Documents,
    Part,
    by_task,
    nested,
    own_averages,
    raw_values,
    unit,
    values_of,
)

__all__ = ["average_comparisons", "average_estimates", "tasks_below"]


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
    ours, theirs = (by_task(r for r in records if r.model == model) for model in sides)
    if not ours or not theirs or not averages:
        return []
    benchmark = next(r.benchmark for r in records)
    differences = _Differences(ours, theirs, averages, level)
    found = differences.found()
    return [
        _comparison(differences, average, found[average.task, average.metric.name], place)
        for average in averages
        for place in [(benchmark, *sides)]
    ]


def average_estimates(
    records: Sequence[Record], averages: Sequence[Average], level: float
) -> list[Estimate]:
    """One model's averages with t intervals, in the order they are declared.

    Args:
        records: one model's of one benchmark.
        averages: that benchmark's.
        level: confidence level, between 0 and 1.
    """
    if not records:
        return []
    first, documents = records[0], by_task(records)
    found = own_averages(records, averages, level)
    rows = []
    for average in averages:
        task, metric = average.task, average.metric.name
        own = _as_stratified(found[task, metric], level)
        flat = not own.standard_error
        rows.append(
            Estimate(
                model=first.model,
                benchmark=first.benchmark,
                task=task,
                metric=metric,
                category=None,
                point=own.point,
                standard_error=None if flat else own.standard_error,
                low=None if flat else own.low,
                high=None if flat else own.high,
                level=level,
                n=own.n,
                n_clusters=own.n_clusters,
                n_missing=sum(
                    not raw_values(record, name)
                    for below, name in tasks_below(average, averages).items()
                    for record in documents.get(below, {}).values()
                ),
                unit=average.metric.unit,
                method=own.method,
            )
        )
    return rows


@dataclass
class _Differences:
    """Each figure's paired difference, computed once."""

    ours: Documents
    theirs: Documents
    averages: Sequence[Average]
    level: float

    def found(self) -> dict[tuple[str, str], Part]:
        """Every average's, in its own unit."""
        return nested(self.averages, self._of_task, self.level)

    def _of_task(self, task: str, metrics: Sequence[str], average: Average) -> Mean:
        """One task's mean over the metrics, against chance where the average says so."""
        ours, theirs = self._common(task, metrics)
        scale = average.metric.scale
        both = [values_of(side, metrics, average.chance) for side in (ours, theirs)]
        differences = [scale * (both[0][k] - both[1][k]) for k in both[0]]
        size = scale * max((abs(v) for side in both for v in side.values()), default=0.0)
        return mean_estimate(differences, [unit(ours[k]) for k in both[0]], self.level, size)

    def _common(
        self, task: str, metrics: Sequence[str]
    ) -> tuple[dict[str, Record], dict[str, Record]]:
        """Documents with every metric on both sides."""
        ours, theirs = (
            {k: r for k, r in side.get(task, {}).items() if all(raw_values(r, m) for m in metrics)}
            for side in (self.ours, self.theirs)
        )
        keys = [key for key in ours if key in theirs]
        return {k: ours[k] for k in keys}, {k: theirs[k] for k in keys}

    def _lacking(self, side: Documents, task: str, metric: str) -> int:
        """Documents without a score on one side, of those either side was asked."""
        asked = {**self.ours.get(task, {}), **self.theirs.get(task, {})}
        mine = side.get(task, {})
        return sum(key not in mine or not raw_values(mine[key], metric) for key in asked)

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


def _share(record: Record, metric: str) -> float:
    values = raw_values(record, metric)
    return math.fsum(values) / len(values)


def _comparison(
    differences: _Differences, average: Average, found: Part, place: tuple[str, str, str]
) -> Comparison:
    benchmark, candidate, baseline = place
    counts = differences.counts(average)
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
