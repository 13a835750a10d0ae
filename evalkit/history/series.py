"""One figure over checkpoints: what was measured alike is joined and compared, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from evalkit import compare
from evalkit.compare.guard import check
from evalkit.compare.sides import Part, metrics_of
from evalkit.errors import ComparisonError, DataError
from evalkit.history.places import Checkpoint
from evalkit.types import Comparison, Estimate, Metric, Record

__all__ = ["Options", "Point", "Series", "history"]

Key = tuple[str, str, str]
"""Benchmark, task, metric."""


@dataclass(frozen=True)
class Options:
    """What to show."""

    benchmark: str | None = None
    """Only this benchmark entry, or `benchmark/task`; None: all."""
    metric: str | None = None
    """This metric instead of each task's primary one."""
    allow_different: frozenset[str] = frozenset()
    """Settings that may differ within a series; see `compare.guard.check`."""


@dataclass(frozen=True)
class Point:
    """One checkpoint's figure."""

    checkpoint: Checkpoint
    estimate: Estimate
    segment: int
    """Number of its part of the series, from 0: points of one part were measured alike."""
    first: Comparison | None
    """Minus the first of its segment; None for the first, and without scores of samples."""
    previous: Comparison | None
    """Minus the one before it in its segment."""
    split: str = ""
    """Why it is not joined to the point before it, by the guard."""


@dataclass(frozen=True)
class Series:
    """One figure over checkpoints, in order."""

    benchmark: str
    task: str
    metric: Metric
    points: tuple[Point, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def key(self) -> Key:
        """Benchmark, task, metric."""
        return self.benchmark, self.task, self.metric.name

    @property
    def segments(self) -> tuple[tuple[Point, ...], ...]:
        """Points that were measured alike, together."""
        numbers = dict.fromkeys(p.segment for p in self.points)
        return tuple(tuple(p for p in self.points if p.segment == n) for n in numbers)


def history(found: Sequence[Checkpoint], options: Options = Options()) -> list[Series]:
    """Each wanted figure over the checkpoints.

    Args:
        found: In order, from `checkpoints`.
        options: Which figures.

    Returns:
        In the order in which runs name benchmarks and tasks; checkpoints without a figure have
        no point in it.

    Raises:
        DataError: nothing of what is wanted is there; names what is.
    """
    every: dict[Key, Metric] = {}
    for checkpoint in found:
        for key, metric in _figures(checkpoint):
            every.setdefault(key, metric)
    wanted = {key: metric for key, metric in every.items() if _wanted(key, metric, options)}
    if not wanted:
        choices = sorted({f"{b}/{t}: {m}" for b, t, m in every})
        raise DataError(
            f"no checkpoint has benchmark {options.benchmark!r}, metric {options.metric!r}; "
            f"expected one of: {', '.join(choices) or 'none: the runs have no figures'}"
        )
    return [_series(key, metric, found, options) for key, metric in wanted.items()]


def _figures(checkpoint: Checkpoint) -> Iterator[tuple[Key, Metric]]:
    for row in checkpoint.run.estimates:
        if row.model == checkpoint.model and row.category is None and row.point is not None:
            yield (row.benchmark, row.task, row.metric), _metric(checkpoint, row)


def _metric(checkpoint: Checkpoint, row: Estimate) -> Metric:
    """As the run describes it; a figure that is no mean of samples' scores by its unit alone."""
    described = metrics_of(_part(checkpoint, row.benchmark)).get(row.task, ())
    found = next((m for m in described if m.name == row.metric), None)
    return found or Metric(row.metric, row.unit)  # type: ignore[arg-type]


def _wanted(key: Key, metric: Metric, options: Options) -> bool:
    benchmark, task, name = key
    if options.benchmark not in (None, benchmark, f"{benchmark}/{task}"):
        return False
    return metric.primary if options.metric is None else name == options.metric


def _part(checkpoint: Checkpoint, benchmark: str) -> Part:
    return Part(checkpoint.run, checkpoint.model, benchmark)


def _series(key: Key, metric: Metric, found: Sequence[Checkpoint], options: Options) -> Series:
    points: list[Point] = []
    missing: list[str] = []
    for checkpoint in found:
        row = _estimate(checkpoint, key)
        if row is None:
            missing.append(checkpoint.label)
        else:
            points.append(_joined(points, Point(checkpoint, row, 0, None, None), metric, options))
    notes = [f"no figure of {', '.join(missing)}"] if missing else []
    for point in points:
        limit = point.checkpoint.run.manifest.get("limit")
        if limit is not None:
            notes.append(f"{point.checkpoint.label} was asked {limit} samples a task only")
    return Series(key[0], key[1], metric, tuple(points), tuple(notes))


def _estimate(checkpoint: Checkpoint, key: Key) -> Estimate | None:
    rows = (row for row in checkpoint.run.estimates if row.model == checkpoint.model)
    for row in rows:
        if (row.benchmark, row.task, row.metric, row.category) == (*key, None):
            return row if row.point is not None else None
    return None


def _joined(before: Sequence[Point], point: Point, metric: Metric, options: Options) -> Point:
    """The point as a part of the series: joined to the last segment, or the first of its own."""
    if not before:
        return point
    last = before[-1]
    segment = [p for p in before if p.segment == last.segment]
    try:
        first, previous = (
            _difference(point, other, metric, options) for other in (segment[0], last)
        )
    except ComparisonError as error:
        return replace(point, segment=last.segment + 1, split=str(error))
    return replace(point, segment=last.segment, first=first, previous=previous)


def _difference(point: Point, other: Point, metric: Metric, options: Options) -> Comparison | None:
    """`point` minus `other`; None where a side has no scores of samples.

    Raises:
        ComparisonError: they were not measured alike.
    """
    row = point.estimate
    ours, theirs = (_part(p.checkpoint, row.benchmark) for p in (point, other))
    check(ours, theirs, [row.task], options.allow_different)
    labels = (point.checkpoint.label, other.checkpoint.label)
    whole = replace(metric, by_category=False)
    records = [
        record
        for part, label in zip((ours, theirs), labels, strict=True)
        for record in _records(part, row.task, metric.name, label)
    ]
    roles = dict(zip(labels, ("candidate", "baseline"), strict=True))
    rows = compare.comparisons(records, {row.benchmark: {row.task: (whole,)}}, roles, row.level)
    return rows[0] if rows else None


def _records(part: Part, task: str, metric: str, label: str) -> Iterator[Record]:
    """Records of one task under another name, with the scores of one metric."""
    for record in part.records:
        if record.task == task:
            scores = tuple(s for s in record.outcome.scores if s.metric == metric)
            yield replace(record, model=label, outcome=replace(record.outcome, scores=scores))
