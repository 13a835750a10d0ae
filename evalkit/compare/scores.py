"""Per-sample scores out of records, metric by metric, with what is missing.

Here belongs what estimates and comparisons share: which scores enter a figure.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.core import Metric, Record
from evalkit.errors import BenchmarkError

__all__ = ["SCALES", "Cell", "Metrics", "Part", "cells", "check", "models"]

Metrics: TypeAlias = Mapping[str, Mapping[str, Sequence[Metric]]]
"""By benchmark entry and task, in report order."""

SCALES: Mapping[str, tuple[float, float]] = {"percent": (0.0, 100.0), "points": (1.0, 10.0)}
"""Least and most of a figure by unit, where that is known."""

Part: TypeAlias = tuple[str, str]
"""(sample, part): what one score is about, and what is paired.  A part that ends in `#2`, `#3`, ...
is a repetition of it: it enters a mean, and is never missing."""


@dataclass(frozen=True)
class Cell:
    """Scores of one metric, one category or all, for every model that was asked."""

    benchmark: str
    task: str
    metric: Metric
    category: str | None
    scores: Mapping[str, Mapping[Part, float]]
    """By model; failed samples have none.  Excluded samples count as failed."""
    absent: Mapping[str, frozenset[Part]]
    """By model: scores that its own records should have and do not."""
    clusters: Mapping[str, Mapping[Part, Hashable]]
    """By model: unit of resampling of each score."""

    def missing(self, model: str, other: str | None = None) -> int:
        """Scores of `model` that should be there and are not.

        Beside `other`, also those of samples that only the other was asked.
        """
        wanted = self.absent[model]
        if other is not None:
            known = {*self.scores[model], *wanted}
            theirs = {*self.scores[other], *self.absent[other]}
            wanted = wanted | {(s, part) for s, part in theirs - known if "#" not in part}
        return len(wanted)


def models(records: Sequence[Record]) -> list[str]:
    """In order of their first record."""
    return list(dict.fromkeys(record.model for record in records))


def check(records: Sequence[Record], metrics: Metrics) -> None:
    """Refuse records that no metric is for, and scores no metric announces.

    Raises:
        BenchmarkError: a benchmark's scores do not match its metrics.
    """
    parts = {
        (benchmark, task): {metric.name: metric.parts for metric in found}
        for benchmark, tasks in metrics.items()
        for task, found in tasks.items()
    }
    for record in records:
        announced = parts.get((record.benchmark, record.task))
        if announced is None:
            raise BenchmarkError(
                f"{record.benchmark}: no metrics for task {record.task!r}, which has records; "
                f"expected one of {', '.join(metrics.get(record.benchmark, {})) or 'none'}"
            )
        _check_scores(record, announced)


def _check_scores(record: Record, announced: Mapping[str, tuple[str, ...]]) -> None:
    seen: set[tuple[str, str]] = set()
    for score in record.outcome.scores:
        where = f"{record.benchmark}: sample {record.sample!r} of {record.task!r}"
        base = score.part.partition("#")[0]
        if base not in announced.get(score.metric, (base,)):
            raise BenchmarkError(
                f"{where} has a score {score.metric!r} for part {score.part!r}; "
                f"the metric's parts are {announced[score.metric]!r}"
            )
        if (score.metric, score.part) in seen:
            raise BenchmarkError(
                f"{where} has two scores {score.metric!r} for part {score.part!r}; expected one"
            )
        seen.add((score.metric, score.part))


def cells(records: Sequence[Record], metrics: Metrics) -> Iterator[Cell]:
    """Every metric of every task that was asked: all samples, then by category if it wants.

    Metrics without any score although samples succeeded are left out: their figures are not
    means of per-sample scores and come from `Benchmark.extra_figures`.  Categories are in
    order of their first record.
    """
    by_task: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_task.setdefault((record.benchmark, record.task), []).append(record)
    for benchmark, tasks in metrics.items():
        for task, found in tasks.items():
            mine = by_task.get((benchmark, task), [])
            for metric in found:
                if mine and _is_per_sample(mine, metric):
                    yield from _cells_of(mine, metric)


def _is_per_sample(records: Sequence[Record], metric: Metric) -> bool:
    if any(score.metric == metric.name for r in records for score in r.outcome.scores):
        return True
    return all(record.outcome.status != "ok" for record in records)


def _cells_of(records: Sequence[Record], metric: Metric) -> Iterator[Cell]:
    yield _cell(records, metric, None)
    if metric.by_category:
        for category in dict.fromkeys(r.category for r in records if r.category is not None):
            yield _cell([r for r in records if r.category == category], metric, category)


def _cell(records: Sequence[Record], metric: Metric, category: str | None) -> Cell:
    scores: dict[str, dict[Part, float]] = {}
    clusters: dict[str, dict[Part, Hashable]] = {}
    absent: dict[str, set[Part]] = {}
    for record in records:
        values = scores.setdefault(record.model, {})
        units = clusters.setdefault(record.model, {})
        found = dict(_values(record, metric))
        lacking = set(metric.parts) - {part.partition("#")[0] for part in found}
        absent.setdefault(record.model, set()).update((record.sample, p) for p in lacking)
        for part, value in found.items():
            values[record.sample, part] = value
            units[record.sample, part] = _unit(record)
    first = records[0]
    gone = {model: frozenset(parts) for model, parts in absent.items()}
    return Cell(first.benchmark, first.task, metric, category, scores, gone, clusters)


def _values(record: Record, metric: Metric) -> Iterator[tuple[str, float]]:
    if record.outcome.status == "excluded":
        return
    for score in record.outcome.scores:
        if score.metric == metric.name:
            yield score.part, score.value


def _unit(record: Record) -> Hashable:
    """A sample without cluster is its own; the tag keeps it apart from a cluster's name."""
    return ("cluster", record.cluster) if record.cluster else ("sample", record.sample)
