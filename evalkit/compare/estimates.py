"""Figures of one model: the mean of its scores per metric, in the unit leaderboards print."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

from evalkit.compare.scores import SCALES, Cell, Metrics, cells, check, models
from evalkit.core import Estimate, Metric, Record
from evalkit.stats import Mean, is_binary, mean_estimate, proportion_estimate

__all__ = ["estimates"]


def estimates(records: Sequence[Record], metrics: Metrics, level: float) -> list[Estimate]:
    """One estimate per model, benchmark, task and metric, and per category where wanted.

    The point is `Metric.scale` times the mean of the scores there are (cut to a whole number
    where the metric says so; its interval is not); `n` counts scores and
    `n_missing` those that failed, could not be parsed or were excluded.  Standard error and
    interval: see `stats.mean_estimate`, clustered by `Record.cluster`, and
    `stats.proportion_estimate` for shares; no interval goes beyond the metric's scale.

    Args:
        records: canonical order; sets the order of models and categories.
        metrics: by benchmark entry and task, in report order.
        level: confidence level, between 0 and 1.

    Returns:
        Rows by model, then benchmark, task, metric, with categories after the whole.

    Raises:
        BenchmarkError: scores and metrics of a benchmark do not match.
    """
    check(records, metrics)
    found = list(cells(records, metrics))
    return [
        _estimate(cell, model, level)
        for model in models(records)
        for cell in found
        if model in cell.scores
    ]


def _estimate(cell: Cell, model: str, level: float) -> Estimate:
    mean = _mean(cell, model, level)
    return Estimate(
        model=model,
        benchmark=cell.benchmark,
        task=cell.task,
        metric=cell.metric.name,
        category=cell.category,
        point=_shown(mean.point, cell.metric),
        standard_error=mean.standard_error,
        low=mean.low,
        high=mean.high,
        level=level,
        n=mean.n,
        n_clusters=mean.n_clusters,
        n_missing=cell.missing(model),
        unit=cell.metric.unit,
        method=mean.method,
    )


def _shown(point: float | None, metric: Metric) -> float | None:
    return float(int(point)) if metric.whole and point is not None else point


def _mean(cell: Cell, model: str, level: float) -> Mean:
    """In the metric's unit.

    Shares get a Wilson interval where every model's scores are binary, so that all models of a
    row are treated alike.
    """
    scores, scale = cell.scores[model], cell.metric.scale
    if not all(is_binary(list(s.values()), _clusters(cell, m)) for m, s in cell.scores.items()):
        scaled = [scale * value for value in scores.values()]
        return _within(mean_estimate(scaled, _clusters(cell, model), level), scaled, cell.metric)
    share = proportion_estimate(list(scores.values()), _clusters(cell, model), level)
    return replace(
        share,
        point=_times(scale, share.point),
        standard_error=_times(scale, share.standard_error),
        low=_times(scale, share.low),
        high=_times(scale, share.high),
    )


def _within(mean: Mean, values: Sequence[float], metric: Metric) -> Mean:
    """The interval cut to the scale that all its values keep to: beyond it no mean can be."""
    if mean.low is None or mean.high is None or metric.unit not in SCALES:
        return mean
    least, most = SCALES[metric.unit]
    if min(values) < least or max(values) > most or (mean.low >= least and mean.high <= most):
        return mean
    low, high = max(mean.low, least), min(mean.high, most)
    return replace(mean, low=low, high=high, method=f"{mean.method}, cut to the scale")


def _times(scale: float, value: float | None) -> float | None:
    return None if value is None else scale * value


def _clusters(cell: Cell, model: str) -> list[Hashable]:
    return [cell.clusters[model][part] for part in cell.scores[model]]
