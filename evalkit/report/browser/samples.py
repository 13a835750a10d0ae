"""What both halves of the payload read: samples in order, and how two models did on one.

A sample's difference is the mean over the parts that both models have a score for, candidate
minus baseline, as in comparisons; they count parts, a row counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from evalkit.core import Metric, Record
from evalkit.report.view import Measure, View

__all__ = ["Task", "difference_of", "orders_disagree", "scores_of", "tasks_of"]


@dataclass(frozen=True)
class Task:
    """One task of one benchmark entry with its samples, in the order of the run."""

    benchmark: str
    task: str
    measures: tuple[Measure, ...]
    samples: Mapping[str, Mapping[str, Record]]
    """By sample id, then model."""

    @property
    def primary(self) -> Metric | None:
        """The headline metric; None where nothing says what was measured."""
        found = [m.metric for m in self.measures]
        return next((m for m in found if m.primary), found[0] if found else None)


def tasks_of(view: View) -> Iterator[Task]:
    """Every task that has records, in report order; those the manifest does not know last."""
    known = {
        (b.name, task): tuple(m for m in b.measures if m.task == task)
        for b in view.benchmarks
        for task in b.tasks
    }
    order = dict.fromkeys([*(key for key in known if key in view.records), *view.records])
    for benchmark, task in order:
        measures = known.get((benchmark, task), ())
        yield Task(benchmark, task, measures, view.records[benchmark, task])


def scores_of(record: Record | None, metric: Metric | None) -> dict[str, float]:
    """Scores of one metric by part, in the metric's unit; failed samples have none."""
    if record is None or metric is None or record.outcome.status == "excluded":
        return {}
    found = record.outcome.scores
    return {s.part: s.value * metric.scale for s in found if s.metric == metric.name}


def difference_of(
    candidate: Record | None, baseline: Record | None, metric: Metric | None
) -> float | None:
    """Candidate minus baseline, in the metric's unit; None where a part of neither is common."""
    ours, theirs = scores_of(candidate, metric), scores_of(baseline, metric)
    both = [ours[part] - theirs[part] for part in ours if part in theirs]
    return fmean(both) if both else None


def orders_disagree(record: Record) -> bool:
    """A judge preferred different answers when they traded places; an even vote prefers none."""
    return any(
        j.status == "ok" and len(j.votes) == 2 and (j.votes[0] - 0.5) * (j.votes[1] - 0.5) < 0
        for j in record.outcome.judgments
    )
