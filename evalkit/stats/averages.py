"""Averages over tasks from documents, as `core.Average` declares them.

Documents are sampled, tasks are not: tasks are strata (`stats.average_of_tasks`).  Figures that are
no plain means of documents enter by their linear part (the delta method): a share over lists of
values, and a score against chance, whose floor makes a task below chance contribute nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from evalkit.core import Json, Record
from evalkit.core.protocols import Average
from evalkit.stats import Mean, Stratified, average_of_tasks, mean_estimate

__all__ = [
    "Documents",
    "Part",
    "Place",
    "Values",
    "by_task",
    "nested",
    "own_averages",
    "raw_values",
    "unit",
    "values_of",
]

Place: TypeAlias = tuple[str, str]
"""(task, metric)"""
Documents: TypeAlias = dict[str, dict[str, Record]]
"""By task and sample."""
Values: TypeAlias = dict[str, float]
"""One figure's value of each document, whose mean is the figure."""
Part: TypeAlias = Mean | Stratified


def by_task(records: Iterable[Record]) -> Documents:
    """One model's records."""
    found: Documents = {}
    for record in records:
        found.setdefault(record.task, {})[record.sample] = record
    return found


def own_averages(
    records: Iterable[Record], averages: Sequence[Average], level: float
) -> dict[Place, Part]:
    """Each average of one model, in its own unit, over the documents that have scores.

    Standard error: of a stratified mean; of 0 where all that it is made of is at or below chance.

    Args:
        records: one model's of one benchmark.
        averages: each after those it is made of.
        level: confidence level, between 0 and 1.
    """
    documents = by_task(records)

    def part(task: str, metrics: Sequence[str], average: Average) -> Mean:
        mine = {
            key: record
            for key, record in documents.get(task, {}).items()
            if all(raw_values(record, metric) for metric in metrics)
        }
        scale = average.metric.scale
        values = values_of(mine, metrics, average.chance)
        scaled = [scale * value for value in values.values()]
        return mean_estimate(scaled, [unit(mine[key]) for key in values], level)

    return nested(averages, part, level)


def nested(
    averages: Sequence[Average],
    part: Callable[[str, Sequence[str], Average], Mean],
    level: float,
) -> dict[Place, Part]:
    """Every average from what it is made of.

    Args:
        averages: each after those it is made of.
        part: (task, metrics, average) to one task's mean of these metrics, as the average has it.
        level: confidence level, between 0 and 1.
    """
    found: dict[Place, Part] = {}
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


def raw_values(record: Record, metric: str) -> tuple[float, ...]:
    """A document's values of a metric: one score, or a list that the metric flattens."""
    if record.outcome.status == "excluded":
        return ()
    scores = tuple(s.value for s in record.outcome.scores if s.metric == metric)
    return scores or tuple(_numbers(record.outcome.data.get(metric)))


def _numbers(value: Json) -> Iterator[float]:
    if isinstance(value, list | tuple):
        yield from (float(v) for v in value if isinstance(v, bool | int | float))


def values_of(
    documents: Mapping[str, Record], metrics: Sequence[str], chance: float | None
) -> Values:
    """Each document's value, so that their mean is the mean over the metrics' figures."""
    figures = [_values(documents, metric, chance) for metric in metrics]
    return {key: math.fsum(f[key] for f in figures) / len(figures) for key in figures[0]}


def _values(documents: Mapping[str, Record], metric: str, chance: float | None) -> Values:
    """For a figure over all values of all documents, the linear part of the ratio.

    Where every document has one value, the value itself.
    """
    raw = {key: raw_values(record, metric) for key, record in documents.items()}
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


def unit(record: Record) -> Hashable:
    """What is resampled: the document, or the passage that documents share."""
    return ("cluster", record.cluster) if record.cluster else ("sample", record.sample)
