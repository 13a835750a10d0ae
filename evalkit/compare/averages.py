"""Averages over tasks, compared and estimated: a leaderboard's, a group's, a score against chance.

What is averaged is declared by the benchmark (`core.Average`) and stands in the manifest, so
that stored runs compare without their benchmark; how is in `stats/averages.py`.  Documents
are paired task by task.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.core import Comparison, Estimate, Record
from evalkit.core.protocols import Average
from evalkit.core.run import tasks_below
from evalkit.stats.averages import (
    PairedAverage,
    averages_of_records,
    paired_averages,
)

__all__ = ["average_comparisons", "average_estimates", "tasks_below"]


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
    ours, theirs = ([r for r in records if r.model == model] for model in sides)
    if not ours or not theirs or not averages:
        return []
    found = paired_averages(ours, theirs, averages, level)
    return [
        _comparison(average, found[average.task, average.metric.name], ours[0].benchmark, sides)
        for average in averages
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
    found = averages_of_records(records, averages, level)
    return [
        Estimate(
            model=records[0].model,
            benchmark=records[0].benchmark,
            task=average.task,
            metric=average.metric.name,
            category=None,
            point=own.point,
            standard_error=own.standard_error,
            low=own.low,
            high=own.high,
            level=level,
            n=own.n,
            n_clusters=own.n_units,
            n_missing=own.n_missing,
            unit=average.metric.unit,
            method=own.how,
        )
        for average in averages
        for own in [found[average.task, average.metric.name]]
    ]


def _comparison(
    average: Average, found: PairedAverage, benchmark: str, sides: tuple[str, str]
) -> Comparison:
    m, paired = found.paired.measured, found.paired
    return Comparison(
        candidate=sides[0],
        baseline=sides[1],
        benchmark=benchmark,
        task=average.task,
        metric=average.metric.name,
        category=None,
        difference=m.point,
        standard_error=m.standard_error,
        low=m.low,
        high=m.high,
        level=m.level,
        p=paired.p,
        n=m.n,
        n_clusters=m.n_units,
        wins=paired.wins,
        losses=paired.losses,
        ties=paired.ties,
        n_missing_candidate=found.missing_ours,
        n_missing_baseline=found.missing_theirs,
        unit=average.metric.unit,
        higher_is_better=average.metric.higher_is_better,
        method=m.how,
        df=m.df,
    )
