"""Candidates against baselines, paired on the samples both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType

from evalkit.compare.averages import average_comparisons
from evalkit.compare.scores import Cell, Metrics, cells, check, models
from evalkit.core import Comparison, Record
from evalkit.core.protocols import Average
from evalkit.errors import ComparisonError
from evalkit.stats import paired_difference

__all__ = ["compare_cell", "comparisons", "degrees", "is_hardly_known"]

_FEWEST_DF = 4
"""Below that the error itself is hardly known: nothing is said of what samples resolve."""


def comparisons(
    records: Sequence[Record],
    metrics: Metrics,
    roles: Mapping[str, str],
    level: float,
    averages: Mapping[str, Sequence[Average]] = MappingProxyType({}),
) -> list[Comparison]:
    """Each candidate minus each baseline, for every figure made from per-sample scores.

    Scores are paired on (sample, part); a score only one side has enters neither.  A win is a
    score of the candidate that is better in the metric's own sense, by whatever amount; the
    difference itself keeps its sign (candidate minus baseline) also where lower is better.

    Args:
        records: canonical order.
        metrics: by benchmark entry and task, in report order.
        roles: of every model: `candidate`, `baseline` or `published` (which has no scores).
        level: confidence level, between 0 and 1.
        averages: over tasks, by benchmark entry.

    Returns:
        Rows by candidate, baseline, benchmark, task, metric, with categories after the whole and
        averages after a benchmark's tasks; none where only one of the two was asked.

    Raises:
        BenchmarkError: scores and metrics of a benchmark do not match.
        ComparisonError: a sample is in different clusters for the two models.
    """
    check(records, metrics)
    found = list(cells(records, metrics))
    asked = models(records)
    candidates = [model for model in asked if roles.get(model) == "candidate"]
    baselines = [model for model in asked if roles.get(model) == "baseline"]
    rows: list[Comparison] = []
    for candidate, baseline, benchmark in product(candidates, baselines, metrics):
        rows += (
            compare_cell(cell, candidate, baseline, level)
            for cell in found
            if cell.benchmark == benchmark
            if candidate in cell.scores and baseline in cell.scores
        )
        if declared := averages.get(benchmark):
            mine = [r for r in records if r.benchmark == benchmark]
            rows += average_comparisons(mine, declared, (candidate, baseline), level)
    return rows


def degrees(comparison: Comparison) -> float | None:
    """Degrees of freedom of a comparison's t statistic."""
    if comparison.df is not None:
        return comparison.df
    return comparison.n_clusters - 1 if comparison.n_clusters > 1 else None


def is_hardly_known(df: float | None) -> bool:
    """Whether an error of so few degrees of freedom says nothing of what samples resolve.

    Few are had from few samples, and from few runs that repeat one measurement.
    """
    return df is None or df < _FEWEST_DF


def compare_cell(cell: Cell, candidate: str, baseline: str, level: float) -> Comparison:
    """One such row.  Raises ComparisonError as above, KeyError for a model that was not asked."""
    _check_clusters(cell, candidate, baseline)
    metric = cell.metric
    ours, theirs = (
        {part: metric.scale * value for part, value in cell.scores[model].items()}
        for model in (candidate, baseline)
    )
    paired = paired_difference(ours, theirs, cell.clusters[candidate], level)
    above, below = paired.wins, paired.losses
    wins, losses = (above, below) if metric.higher_is_better else (below, above)
    return Comparison(
        candidate=candidate,
        baseline=baseline,
        benchmark=cell.benchmark,
        task=cell.task,
        metric=metric.name,
        category=cell.category,
        difference=paired.difference,
        standard_error=paired.standard_error,
        low=paired.low,
        high=paired.high,
        level=level,
        p=paired.p,
        n=paired.n,
        n_clusters=paired.n_clusters,
        wins=wins,
        losses=losses,
        ties=paired.ties,
        n_missing_candidate=cell.missing(candidate, baseline),
        n_missing_baseline=cell.missing(baseline, candidate),
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        method=paired.method,
        df=None if paired.standard_error is None else paired.n_clusters - 1,
    )


def _check_clusters(cell: Cell, candidate: str, baseline: str) -> None:
    ours, theirs = cell.clusters[candidate], cell.clusters[baseline]
    for part in ours.keys() & theirs.keys():
        if ours[part] != theirs[part]:
            raise ComparisonError(
                f"{cell.benchmark}, task {cell.task!r}, sample {part[0]!r}: cluster "
                f"{ours[part]!r} for {candidate!r} but {theirs[part]!r} for {baseline!r}; "
                f"these are not the same samples: run both models with one suite"
            )
