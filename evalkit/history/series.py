"""One figure over checkpoints: what was measured alike is joined and compared, sample by sample.

Which figures there are is in `figures`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalkit import compare
from evalkit.compare.averages import average_comparisons, tasks_below
from evalkit.compare.old_cautions import Cautions, damage_remarks, is_weak, judge_of, weak_text
from evalkit.compare.old_guard import check
from evalkit.compare.sides import Part, averages_of
from evalkit.compare.words import Verdict, verdict
from evalkit.core import Comparison, Estimate, Metric, Record
from evalkit.core.protocols import Average
from evalkit.errors import ComparisonError, DataError
from evalkit.history.figures import Figure, Key, figures_of
from evalkit.history.places import Checkpoint
from evalkit.stats import holm

__all__ = ["Options", "Point", "Series", "history"]


@dataclass(frozen=True)
class Options:
    """What to show."""

    benchmark: str | None = None
    """Only this benchmark entry, or `benchmark/task`; None: all."""
    metric: str | None = None
    """This metric wherever it is, instead of the headline figures."""
    allow_different: frozenset[str] = frozenset()
    """Settings that may differ within a series; see `compare.old_guard.check`."""


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
    p_adjusted: float | None = None
    """Of the step from the one before, by Holm over all steps shown; None where there is no p."""
    flags: tuple[str, ...] = ()
    """What speaks against that step, else against the figure (`compare.old_cautions`)."""

    @property
    def verdict(self) -> Verdict | None:
        """What the step from the one before may be called; None where there is none."""
        if self.previous is None:
            return None
        said, p = verdict(self.previous), self.p_adjusted
        if said != "undefined" and p is not None and p > 1 - self.previous.level:
            return "unclear"
        return said


@dataclass(frozen=True)
class Series:
    """One figure over checkpoints, in order."""

    benchmark: str
    task: str
    metric: Metric
    points: tuple[Point, ...]
    notes: tuple[str, ...] = field(default=())
    tests: int = 0
    """Steps that Holm's correction is over: those of all series shown."""

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
    """Each wanted figure over the checkpoints: by default the headline ones, averages among them.

    A task within an average is a detail, and is shown where it is named.

    Args:
        found: In order, from `checkpoints`.
        options: Which figures.

    Returns:
        In the order in which runs name benchmarks and tasks; checkpoints without a figure have
        no point in it.

    Raises:
        DataError: nothing of what is wanted is there; names what is.
    """
    every = [(checkpoint, figures_of(checkpoint)) for checkpoint in found]
    known: dict[Key, Figure] = {}
    for _, figures in every:
        known = {**figures, **known}
    known = {key: known[key] for _, figures in every for key in figures}
    wanted = {key: figure for key, figure in known.items() if _wanted(key, figure, options)}
    if not wanted:
        choices = sorted({f"{b}/{t}: {m}" for b, t, m in known})
        raise DataError(
            f"no checkpoint has benchmark {options.benchmark!r}, metric {options.metric!r}; "
            f"expected one of: {', '.join(choices) or 'none: the runs have no figures'}"
        )
    return _judged([_series(key, fig.metric, every, options) for key, fig in wanted.items()])


def _judged(every: Sequence[Series]) -> list[Series]:
    """Of many steps between equal checkpoints some look better by chance: all are corrected for."""
    places = [(n, i) for n, series in enumerate(every) for i, _ in enumerate(series.points)]
    steps = [every[n].points[i].previous for n, i in places]
    p_values = [None if c is None else c.p for c in steps]
    adjusted = dict(zip(places, holm(p_values), strict=True))
    tests = sum(p is not None for p in p_values)
    return [
        replace(
            series,
            points=tuple(
                replace(point, p_adjusted=adjusted[n, i]) for i, point in enumerate(series.points)
            ),
            tests=tests,
        )
        for n, series in enumerate(every)
    ]


def _wanted(key: Key, figure: Figure, options: Options) -> bool:
    benchmark, task, name = key
    if options.benchmark not in (None, benchmark, f"{benchmark}/{task}"):
        return False
    if options.metric is not None:
        return name == options.metric
    return figure.headline or (figure.speaks and options.benchmark == f"{benchmark}/{task}")


def _series(
    key: Key,
    metric: Metric,
    every: Sequence[tuple[Checkpoint, Mapping[Key, Figure]]],
    options: Options,
) -> Series:
    points: list[Point] = []
    missing: list[str] = []
    for checkpoint, figures in every:
        if key not in figures:
            missing.append(checkpoint.label)
            continue
        point = Point(checkpoint, figures[key].estimate, 0, None, None)
        points.append(_joined(points, point, metric, options))
    notes = [f"no figure of {', '.join(missing)}"] if missing else []
    known = Cautions()
    points = [replace(p, flags=_flags(p, points[i - 1 : i], known)) for i, p in enumerate(points)]
    for point in points:
        limit = point.checkpoint.run.manifest.get("limit")
        if limit is not None:
            notes.append(f"{point.checkpoint.label} was asked {limit} samples a task only")
    return Series(key[0], key[1], metric, tuple(points), (*notes, *_doubts(points)))


def _flags(point: Point, before: Sequence[Point], known: Cautions) -> tuple[str, ...]:
    """Of the step, so of both its sides; of the figure alone where nothing comes before."""
    sides = [point, *before] if point.previous is not None else [point]
    benchmark = point.estimate.benchmark
    parts = [Part(p.checkpoint.run, p.checkpoint.model, benchmark) for p in sides]
    return known.flags(parts, point.estimate.unit)


def _doubts(points: Sequence[Point]) -> Iterator[str]:
    """Each weak judge and each damage once; limits are said by checkpoint."""
    flags = dict.fromkeys(flag for point in points for flag in point.flags)
    for judge in [judge_of(flag) for flag in flags if is_weak(flag)]:
        yield weak_text([points[0].estimate.benchmark], f"{judge}, a model of the suite")
    yield from damage_remarks(tuple(flags))


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
    parts = tuple(Part(p.checkpoint.run, p.checkpoint.model, row.benchmark) for p in (point, other))
    labels = (point.checkpoint.label, other.checkpoint.label)
    if any((a.task, a.metric.name) == (row.task, row.metric) for a in averages_of(parts[0])):
        return _of_average(parts, row, labels, options)
    check(parts[0], parts[1], [row.task], options.allow_different)
    whole = replace(metric, by_category=False)
    records = [
        record
        for part, label in zip(parts, labels, strict=True)
        for record in _records(part, row.task, metric.name, label)
    ]
    roles = dict(zip(labels, ("candidate", "baseline"), strict=True))
    rows = compare.comparisons(records, {row.benchmark: {row.task: (whole,)}}, roles, row.level)
    return rows[0] if rows else None


def _of_average(
    parts: tuple[Part, ...], row: Estimate, labels: tuple[str, str], options: Options
) -> Comparison | None:
    """Documents paired task by task, as `compare` has it."""
    averages = [averages_of(part) for part in parts]
    ours, theirs = (dict(_below(found, row)) for found in averages)
    if ours != theirs:
        raise ComparisonError(
            f"{row.benchmark}, {row.metric}: over other tasks here ({', '.join(ours)}) than there "
            f"({', '.join(theirs) or 'none'})"
        )
    check(parts[0], parts[1], list(ours), options.allow_different)
    records = [
        replace(record, model=label)
        for part, label in zip(parts, labels, strict=True)
        for record in part.records
        if record.task in ours
    ]
    rows = average_comparisons(records, averages[0], labels, row.level)
    return next((c for c in rows if (c.task, c.metric) == (row.task, row.metric)), None)


def _below(averages: Sequence[Average], row: Estimate) -> Iterator[tuple[str, str]]:
    """Tasks that an average is made of, and by which metric."""
    for average in averages:
        if (average.task, average.metric.name) == (row.task, row.metric):
            yield from tasks_below(average, averages).items()


def _records(part: Part, task: str, metric: str, label: str) -> Iterator[Record]:
    """Records of one task under another name, with the scores of one metric."""
    for record in part.records:
        if record.task == task:
            scores = tuple(s for s in record.outcome.scores if s.metric == metric)
            yield replace(record, model=label, outcome=replace(record.outcome, scores=scores))
