"""The figures that one checkpoint has: those its run stores, and averages over its tasks.

An average that a run prints without an interval (imports of result files) gets the one that its
documents carry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.compare.averages import average_estimates
from evalkit.compare.headline import headlines, primary
from evalkit.compare.sides import Part, averages_of, metrics_of
from evalkit.core import Estimate, Metric
from evalkit.history.places import Checkpoint

__all__ = ["Figure", "Key", "figures_of"]

Key: TypeAlias = tuple[str, str, str]
"""Benchmark, task, metric."""
_LEVEL = 0.95
"""Of intervals where a run stores no figure that says its own."""


@dataclass(frozen=True)
class Figure:
    """One figure of one checkpoint."""

    estimate: Estimate
    metric: Metric
    headline: bool
    """One of the benchmark's headline figures (`compare.headline`)."""
    speaks: bool
    """By the metric that speaks for its task."""


def figures_of(checkpoint: Checkpoint) -> dict[Key, Figure]:
    """Every figure with a value, in the order of the run's results."""
    rows: dict[Key, Estimate] = {}
    for row in checkpoint.run.estimates:
        if row.model == checkpoint.model and row.category is None and row.point is not None:
            rows.setdefault((row.benchmark, row.task, row.metric), row)
    names = [str(e.get("name")) for e in checkpoint.run.manifest.get("benchmarks", ())]
    level = next((row.level for row in rows.values()), _LEVEL)
    for row in _averages(checkpoint, names, level):
        key = (row.benchmark, row.task, row.metric)
        if key not in rows or (rows[key].low is None and row.low is not None):
            rows[key] = row
    parts = {
        name: Part(checkpoint.run, checkpoint.model, name)
        for name in dict.fromkeys(benchmark for benchmark, _, _ in rows)
    }
    return {
        key: figure
        for name, part in parts.items()
        for key, figure in _described(part, {k: r for k, r in rows.items() if k[0] == name})
    }


def _averages(checkpoint: Checkpoint, names: list[str], level: float) -> Iterator[Estimate]:
    for name in names:
        part = Part(checkpoint.run, checkpoint.model, name)
        averages = averages_of(part)
        if averages:
            rows = average_estimates(part.records, averages, level)
            yield from (row for row in rows if row.point is not None)


def _described(part: Part, rows: dict[Key, Estimate]) -> Iterator[tuple[Key, Figure]]:
    """By what the run's manifest says of its metrics; a figure it does not know by its unit."""
    tasks, averages = metrics_of(part), averages_of(part)
    known = {(task, m.name): m for task, found in tasks.items() for m in found}
    known |= {(a.task, a.metric.name): a.metric for a in averages}
    first, speaks = headlines(tasks, averages), primary(tasks, averages)
    for key, row in rows.items():
        place = (row.task, row.metric)
        metric = known.get(place) or Metric(row.metric, row.unit)  # type: ignore[arg-type]
        yield key, Figure(row, metric, place in first, place in speaks)
