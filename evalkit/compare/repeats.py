"""Several runs of one model (A/A): their mean as one side, and their noise in the interval.

A run's scores may all be off together (another server, seed, build, judge version), which no
interval from one run can know.  Where a side has several runs, each sample's score is its mean over
them, and what runs shift by is added to the error (`stats.run_noise`, `stats.widened`).  A side
with one run lends the other's noise: one run of another model is no surer than one of this.  Models
that share a run are taken to shift independently, which is cautious where they shift together.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from evalkit.compare.averages import average_comparisons
from evalkit.compare.comparisons import degrees
from evalkit.compare.scores import Metrics, cells
from evalkit.compare.sides import Part, Side
from evalkit.compare.words import benchmark_label
from evalkit.core import Comparison, Record, Score
from evalkit.core.figures import Estimator, Measured, Method
from evalkit.core.protocols import Average
from evalkit.stats.means import p_value
from evalkit.stats.noise import Noise, run_noise, widened

__all__ = ["Repeated", "merged", "unvaried", "with_noise"]

Place: TypeAlias = tuple[str, str, str | None]
"""(task, metric, category)"""


@dataclass(frozen=True)
class Repeated:
    """Both sides' runs of one benchmark, each run's records under its side's label."""

    candidate: Sequence[Sequence[Record]]
    baseline: Sequence[Sequence[Record]]
    metrics: Metrics
    averages: Sequence[Average]


def merged(parts: Sequence[Part]) -> Part:
    """One part whose scores are means over the runs that have them.

    What fails in one run and not in another is scored by the others; texts are the first run's.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    by_key: dict[tuple[str, str], list[Record]] = {}
    for part in parts:
        for record in part.records:
            by_key.setdefault((record.task, record.sample), []).append(record)
    records = tuple(_mean(found) for found in by_key.values())
    return Part(replace(first.run, records=records), first.model, first.benchmark)


def unvaried(sides: Iterable[Side]) -> list[str]:
    """A sentence for each benchmark whose several runs are copies of one another.

    Runs that were answered from one cache repeat nothing, and show no noise where there is some.
    """
    return [
        f"The {len(parts)} runs of {side.label} do not differ in any answer or score of "
        f"{benchmark_label(name)}: copies, as one cache answers them, measure no noise."
        for side in sides
        for name, parts in side.repeats.items()
        if len(parts) > 1 and all(_said(part) == _said(parts[0]) for part in parts[1:])
    ]


def _said(part: Part) -> list[tuple[object, ...]]:
    return [(r.task, r.sample, r.outcome.answers, r.outcome.scores) for r in part.records]


def _mean(records: Sequence[Record]) -> Record:
    scored = [r for r in records if r.outcome.scores]
    if len(records) == 1 or not scored:
        return records[0]
    values: dict[tuple[str, str], list[float]] = {}
    for record in scored:
        for score in record.outcome.scores:
            values.setdefault((score.metric, score.part), []).append(score.value)
    scores = tuple(
        Score(metric, math.fsum(found) / len(found), part)
        for (metric, part), found in values.items()
    )
    return replace(scored[0], outcome=replace(scored[0].outcome, scores=scores))


def with_noise(rows: Iterable[Comparison], runs: Repeated) -> list[Comparison]:
    """Rows of the merged sides with the noise of runs in error, interval and p."""
    sizes = len(runs.candidate), len(runs.baseline)
    if max(sizes) < 2:
        return list(rows)
    sides = [_noises(mine, runs) for mine in (runs.candidate, runs.baseline)]
    averages = [
        _noises_of_averages(mine, other[0], runs)
        for mine, other in ((runs.candidate, runs.baseline), (runs.baseline, runs.candidate))
    ]
    found = []
    for row in rows:
        place = (row.task, row.metric, row.category)
        each = zip(sides, averages, strict=True)
        noises = [own.get(place) or whole.get(place) for own, whole in each]
        found.append(_widened(row, noises, sizes))
    return found


def _widened(row: Comparison, noises: Sequence[Noise | None], sizes: tuple[int, int]) -> Comparison:
    known = next((n for n in noises if n is not None), None)
    if known is None or row.difference is None:
        return row
    each = [known if n is None else n for n in noises]
    numbers = (row.difference, row.standard_error, row.low, row.high, row.level)
    method = Method(Estimator.PAIRED, detail=row.method)
    old = Measured(*numbers, row.n, row.n_clusters, 0, method, degrees(row))
    wide = widened(old, each, sizes)
    if wide is old:
        return row
    return replace(
        row,
        standard_error=wide.standard_error,
        low=wide.low,
        high=wide.high,
        p=p_value(wide),
        df=wide.df,
        method=f"{row.method}; {wide.how.partition('; ')[2]}",
    )


def _noises(records: Sequence[Sequence[Record]], runs: Repeated) -> dict[Place, Noise]:
    """Of figures that are means of samples; nothing where there is one run."""
    if len(records) < 2:
        return {}
    by_place: dict[Place, list[Mapping[Hashable, float]]] = {}
    for mine in records:
        for cell in cells(mine, runs.metrics):
            (scores,), (clusters,) = cell.scores.values(), cell.clusters.values()
            units: dict[Hashable, list[float]] = {}
            for part, value in scores.items():
                units.setdefault(clusters[part], []).append(cell.metric.scale * value)
            means = {unit: math.fsum(v) / len(v) for unit, v in units.items()}
            by_place.setdefault((cell.task, cell.metric.name, cell.category), []).append(means)
    found = {place: run_noise(maps) for place, maps in by_place.items()}
    return {place: noise for place, noise in found.items() if noise is not None}


def _noises_of_averages(
    mine: Sequence[Sequence[Record]], other: Sequence[Record], runs: Repeated
) -> dict[Place, Noise]:
    """The variance of the runs' own averages, which holds their inference noise too."""
    if len(mine) < 2 or not mine[0] or not other:
        return {}
    sides = mine[0][0].model, other[0].model
    differences: dict[Place, list[float]] = {}
    for records in mine:
        for c in average_comparisons([*records, *other], runs.averages, sides, 0.95):
            if c.difference is not None:
                differences.setdefault((c.task, c.metric, None), []).append(c.difference)
    return {
        place: Noise(_variance(values), len(values))
        for place, values in differences.items()
        if len(values) == len(mine)
    }


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
