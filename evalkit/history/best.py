"""The best checkpoint of a series, and what its lead is worth on samples it was not chosen by."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from evalkit.compare.scores import cells
from evalkit.compare.sides import Part
from evalkit.compare.words import has_direction, unit_text
from evalkit.draw import count, figure
from evalkit.draw import difference as shown_difference
from evalkit.history.series import Point, Series
from evalkit.stats.resampling import Selection, selection_optimism

__all__ = ["best_of", "best_sentence"]

_Scores = dict[tuple[str, str], float]


def best_of(series: Series) -> Selection | None:
    """Best-of-N over the last segment, whose checkpoints were measured alike.

    `stats.selection_optimism` on per-sample scores in the metric's unit; where lower is better
    scores are negated for the choice and the results turned back, so `point` and `honest` are in
    the unit printed, and `optimism` is positive where the winner's figure is too good.

    Returns:
        None where fewer than two checkpoints have scores of samples (an average over tasks has
        none of its own), and of a length, of which none is best.
    """
    if not has_direction(series.metric.unit):
        return None
    segment = series.segments[-1] if series.segments else ()
    sign = 1.0 if series.metric.higher_is_better else -1.0
    scores: dict[str, _Scores] = {}
    clusters: dict[tuple[str, str], Hashable] = {}
    for point in segment:
        mine, units = _scores(point, series)
        if mine:
            scores[point.checkpoint.label] = {k: sign * v for k, v in mine.items()}
            clusters |= units
    if len(scores) < 2:
        return None
    found = selection_optimism(scores, clusters)
    if sign > 0:
        return found
    turned = [None if v is None else -v for v in (found.point, found.honest)]
    return replace(found, point=turned[0], honest=turned[1])


def _scores(point: Point, series: Series) -> tuple[_Scores, dict[tuple[str, str], Hashable]]:
    part = Part(point.checkpoint.run, point.checkpoint.model, series.benchmark)
    records = [r for r in part.records if r.task == series.task]
    metric = replace(series.metric, by_category=False)
    for cell in cells(records, {series.benchmark: {series.task: (metric,)}}):
        found = cell.scores[point.checkpoint.model]
        scaled = {k: metric.scale * v for k, v in found.items()}
        return scaled, dict(cell.clusters[point.checkpoint.model])
    return {}, {}


def best_sentence(selection: Selection, series: Series) -> str:
    """What may be said of the best of several."""
    unit = series.metric.unit
    start = (
        f"Best of {selection.n_models} on {count(selection.n)} common scores: {selection.winner}, "
        f"{figure(selection.point, unit)}"
    )
    if selection.honest is None or selection.optimism is None:
        return f"{start}; what to expect of it on new samples is not known ({selection.method})."
    return (
        f"{start}; chosen by these very samples, so expect about {figure(selection.honest, unit)} "
        f"on new ones (selection optimism "
        f"{shown_difference(selection.optimism, unit).lstrip('+')} "
        f"{unit_text(unit, of_difference=True)})."
    )
