"""Figures over the checkpoints of a training run: in order, joined where settings are the same.

    places ─ find_runs ─▶ runs ─ checkpoints ─▶ in order ─ history ─▶ Series of Points

A series is split where settings change.  Within a segment each checkpoint is compared with the
first and with the one before it, sample by sample; of many steps between equal checkpoints some
look better by chance, so Holm's correction is over all steps shown (family `history`).

Trainers name checkpoints `checkpoint-500` (transformers), `global_step500` (DeepSpeed),
`epoch=3-step=1000.ckpt` (Lightning), `step_1000`, `step-10k`, `epoch-3`, `iter_0005000`.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from evalkit import catalogue, store
from evalkit.comparison.cautions import cautions_of
from evalkit.comparison.contests import corrected, same_averages, uncorrected
from evalkit.comparison.figures import average_comparisons, average_figures, comparisons, scores_of
from evalkit.comparison.guard import check
from evalkit.comparison.recompute import load
from evalkit.comparison.resolve import Part
from evalkit.core import Json
from evalkit.core.contests import Caution, Contest, Damaged, FewUnits, LocalJudge, StatedByOne
from evalkit.core.figures import Comparison, Figure, FigureKey, Metric
from evalkit.core.run import BenchmarkEntry, ModelEntry, Run, TaskEntry, tasks_below
from evalkit.draw import (
    HISTORY,
    MISSING,
    N_COUNTS,
    NOT_SIGNIFICANT,
    Cell,
    Column,
    Line,
    Table,
    bounds,
    caution_text,
    ci,
    contest_table,
    count,
    defused,
    difference,
    figure,
    figure_label,
    is_formula,
    limit_text,
    metric_label,
    size,
    state_text,
    task_label,
    unit_words,
    visible,
)
from evalkit.draw.svg import Trend, TrendPoint
from evalkit.errors import ComparisonError, DataError
from evalkit.stats.resampling import Selection, selection_optimism
from evalkit.store.reading import figure_row

__all__ = [
    "CSV_COLUMNS",
    "Checkpoint",
    "Found",
    "Options",
    "Point",
    "Series",
    "Step",
    "best_of",
    "best_sentence",
    "change_sentence",
    "checkpoints",
    "find_runs",
    "formula_cells",
    "history",
    "history_csv",
    "history_json",
    "series_lines",
    "series_table",
    "series_trend",
    "sparkline",
    "step_of",
]


# --- how far training had come ------------------------------------------------------------------

_COUNTED = re.compile(
    r"(?<![a-z])(?P<word>checkpoints?|ckpt|steps?|iter(?:ation)?s?|epochs?)[-_=.: ]?"
    r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,3})?)(?P<times>[km]?)(?![0-9a-z])",
    re.IGNORECASE,
)
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Step:
    """A place in training."""

    kind: Literal["step", "epoch"]
    value: float
    """Optimizer steps (as far as the name says), or epochs."""

    def __str__(self) -> str:
        number = f"{self.value:,.15g}" if self.value.is_integer() else f"{self.value:g}"
        return number if self.kind == "step" else f"epoch {number}"


def step_of(names: Iterable[str]) -> Step | None:
    """The step that the first of `names` to tell one tells; None where none does.

    Of a path the last part that tells one counts, and within a part a step before an epoch.
    """
    for name in names:
        for part in reversed(re.split(r"[/\\]", name)):
            found: list[Step] = []
            for match in _COUNTED.finditer(part):
                value = float(match["number"]) * _TIMES[match["times"].lower()]
                is_epoch = match["word"].lower().startswith("epoch")
                found.append(Step("epoch" if is_epoch else "step", value))
            if found:
                return ([step for step in found if step.kind == "step"] or found)[-1]
    return None


# --- which checkpoints --------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """One model of one run."""

    label: str
    """As tables show it: unique among the checkpoints."""
    run: Run
    model: str
    """Name in the run."""
    step: Step | None
    """None: neither name nor path tells it."""
    time: float | None
    """Unix time at which the run's first session began."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    checkpoints: tuple[Checkpoint, ...]
    """In order."""
    notes: tuple[str, ...] = ()
    """What was left out, and what the order rests on where that is not plain steps."""


def find_runs(places: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Runs in `places`: run folders, or folders searched for some; each run once.

    Returns:
        The finished runs, and a note for each run that was found and left out.

    Raises:
        DataError: a place is not there or holds no finished run, or a run that was named cannot be
            read.
    """
    runs: dict[Path, Run] = {}
    notes: list[str] = []
    for place in places:
        for folder in store.run_folders(place):
            key = folder.resolve()
            if key in runs:
                continue
            try:
                runs[key] = load(folder)
            except DataError as error:
                if folder == place:
                    raise
                notes.append(f"left out: {error}")
    for run in runs.values():
        if said := state_text(run):
            notes.append(f"left out: {run.folder}: {said}")
    finished = [run for run in runs.values() if run.state == "finished"]
    if not finished:
        raise DataError("no run is left:\n  " + "\n  ".join(notes))
    return finished, notes


def checkpoints(runs: Sequence[Run], model: str | None = None) -> Found:
    """The checkpoints in `runs`: their candidates, or the model called `model`.

    Ordered by training step where every name or path tells one; those that tell none come last,
    by the time of their run.  Where some tell steps and others epochs, all are ordered by time.

    Raises:
        DataError: no run has such a model.
    """
    found = [
        _checkpoint(run, entry)
        for run in runs
        for entry in run.manifest.models
        if (entry.name == model if model else entry.role == "candidate")
    ]
    if not found:
        wanted = f"model {model!r}" if model else "a candidate"
        has = sorted({entry.name for run in runs for entry in run.manifest.models})
        raise DataError(
            f"none of {len(runs)} finished runs has {wanted}; expected one of: "
            f"{', '.join(has) or 'none'} (choose it with --model)"
        )
    is_mixed = len({c.step.kind for c in found if c.step is not None}) > 1
    if is_mixed:
        found.sort(key=_by_time)
    else:
        found.sort(key=lambda c: (c.step is None, c.step.value if c.step else 0.0, _by_time(c)))
    # Labels that are unique: as they are, else with the run's id, else numbered.
    plain = [c.label for c in found]
    with_run = [f"{c.label} ({c.run.manifest.run_id[:8]})" for c in found]
    numbered = [f"{c.label} ({i})" for i, c in enumerate(found, 1)]
    labels = next((ls for ls in (plain, with_run) if len(set(ls)) == len(ls)), numbered)
    named = [replace(c, label=label) for c, label in zip(found, labels, strict=True)]
    mixed = ["some checkpoints tell steps and others epochs: ordered by time of their runs"]
    return Found(tuple(named), tuple(mixed if is_mixed else _order_notes(named)))


def _checkpoint(run: Run, entry: ModelEntry) -> Checkpoint:
    names = [entry.name]
    spec = run.manifest.suite.models.get(entry.name)
    provenance = entry.provenance
    for holder in (provenance.adapter, provenance.source, spec and spec.model_dump()):
        for key in ("adapter", "path", "name"):
            value = holder.get(key) if isinstance(holder, Mapping) else None
            if isinstance(value, str):
                names.append(value)
    names.append(run.folder.name)
    # The part of a name or path that tells the step, else the model's name.
    told = next((text for text in names if step_of([text])), entry.name)
    parts = reversed(told.replace("\\", "/").split("/"))
    label = next((part for part in parts if step_of([part])), entry.name)
    return Checkpoint(label, run, entry.name, step_of(names), store.started(run.folder))


def _by_time(checkpoint: Checkpoint) -> tuple[object, ...]:
    time = checkpoint.time
    name = store.natural_key(f"{checkpoint.label} {checkpoint.run.folder}")
    return (time is None, 0.0 if time is None else time, name)


def _order_notes(found: Sequence[Checkpoint]) -> Iterator[str]:
    def some(names: Sequence[str]) -> str:
        shown = ", ".join(names[:5])
        return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"

    unknown = [c.label for c in found if c.step is None]
    if unknown and len(found) > 1:
        where = "all" if len(unknown) == len(found) else "last,"
        yield (
            f"no training step in the name or path of {some(unknown)}: {where} ordered by time "
            f"of their runs"
        )
    for step, n in Counter(str(c.step) for c in found if c.step is not None).items():
        if n > 1:
            yield f"{n} checkpoints at step {step}: ordered by time of their runs"
    untimed = [c.label for c in found if c.time is None and c.step is None]
    if untimed and len(found) > 1:
        yield f"no time is known of {some(untimed)}: ordered by name"


# --- series -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What to show."""

    benchmark: str | None = None
    """Only this benchmark entry, or `benchmark/task`; None: all."""
    metric: str | None = None
    """This metric wherever it is, instead of the headline figures."""
    allow_different: frozenset[str] = frozenset()
    """Settings that may differ within a series; see `guard.check`."""


@dataclass(frozen=True)
class Point:
    """One checkpoint's figure."""

    checkpoint: Checkpoint
    figure: Figure
    segment: int = 0
    """Number of its part of the series, from 0: settings are the same within one."""
    first: Comparison | None = None
    """Minus the first of its segment; None for the first, and without scores of samples."""
    previous: Contest | None = None
    """Minus the one before it in its segment, among all steps shown."""
    split: str = ""
    """Why it is not joined to the point before it, by the guard."""
    cautions: tuple[Caution, ...] = ()
    """What speaks against that step, else against the figure."""


@dataclass(frozen=True)
class Series:
    """One figure over checkpoints, in order."""

    key: FigureKey
    metric: Metric
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()

    @property
    def segments(self) -> tuple[tuple[Point, ...], ...]:
        """Points with the same settings, together."""
        numbers = dict.fromkeys(p.segment for p in self.points)
        return tuple(tuple(p for p in self.points if p.segment == n) for n in numbers)

    @property
    def tests(self) -> int:
        """Steps that Holm's correction is over: those of all series shown."""
        return max((p.previous.tests for p in self.points if p.previous is not None), default=0)


_Figures: TypeAlias = Mapping[FigureKey, Figure]


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
    every = [(checkpoint, _figures_of(checkpoint)) for checkpoint in found]
    # As the first run that has the figure describes it.
    known: dict[FigureKey, tuple[BenchmarkEntry, Figure]] = {}
    for checkpoint, figures in every:
        for key, own in figures.items():
            known.setdefault(key, (checkpoint.run.benchmark(key.benchmark), own))
    wanted = [key for key, (entry, _) in known.items() if _is_wanted(key, entry, options)]
    if not wanted:
        choices = sorted({f"{key.benchmark}/{key.task}: {key.metric}" for key in known})
        raise DataError(
            f"no checkpoint has benchmark {options.benchmark!r}, metric {options.metric!r}; "
            f"expected one of: {', '.join(choices) or 'none: the runs have no figures'}"
        )
    series = []
    for key in wanted:
        entry, own = known[key]
        metric = entry.metric(key.task, key.metric) or Metric(key.metric, own.unit)
        series.append(_series(key, metric, every, options))
    return _corrected(series)


def _is_wanted(key: FigureKey, entry: BenchmarkEntry, options: Options) -> bool:
    of_task = f"{key.benchmark}/{key.task}"
    if options.benchmark not in (None, key.benchmark, of_task):
        return False
    if options.metric is not None:
        return key.metric == options.metric
    return key in entry.headlines or (key in entry.primaries and options.benchmark == of_task)


def _corrected(every: Sequence[Series]) -> list[Series]:
    """All steps of all series as one family."""
    steps = [p.previous for series in every for p in series.points if p.previous is not None]
    # With a p: what differs was allowed, and none is refused.
    judged = iter(corrected([replace(s, p_adjusted=s.comparison.p) for s in steps], "history"))
    return [
        replace(
            series,
            points=tuple(
                p if p.previous is None else replace(p, previous=next(judged))
                for p in series.points
            ),
        )
        for series in every
    ]


_LEVEL = 0.95
"""Of intervals where a run stores no figure that says its own."""


def _figures_of(checkpoint: Checkpoint) -> dict[FigureKey, Figure]:
    """Those its run stores, and averages over its tasks, by benchmark.

    An average that a run prints without an interval (imports of result files) gets the one that
    its documents give.
    """
    run, model = checkpoint.run, checkpoint.model
    found: dict[FigureKey, Figure] = {}
    for f in run.figures:
        if f.model == model and f.key.category is None and f.value.point is not None:
            found.setdefault(f.key, f)
    level = next((f.value.level for f in found.values()), _LEVEL)
    for entry in run.manifest.benchmarks:
        records = run.records_of(model, entry.name)
        for f in average_figures(records, entry.averages, level):
            stored = found.get(f.key)
            is_better = stored is None or (stored.value.low is None and f.value.low is not None)
            if f.value.point is not None and is_better:
                found[f.key] = f
    order = list(dict.fromkeys(key.benchmark for key in found))
    return dict(sorted(found.items(), key=lambda item: order.index(item[0].benchmark)))


def _series(
    key: FigureKey,
    metric: Metric,
    every: Sequence[tuple[Checkpoint, _Figures]],
    options: Options,
) -> Series:
    points: list[Point] = []
    for checkpoint, figures in every:
        if key in figures:
            points.append(_joined(points, Point(checkpoint, figures[key]), metric, options))
    missing = [checkpoint.label for checkpoint, figures in every if key not in figures]
    notes = [f"no figure of {', '.join(missing)}"] if missing else []
    for point in points:
        limit = point.checkpoint.run.manifest.limit
        if limit is not None:
            notes.append(f"{point.checkpoint.label}: {limit_text(limit)}")
    # What speaks against a step stands under the table of steps.
    said = {c for point in points if point.previous for c in point.previous.cautions}
    alone = dict.fromkeys(c for point in points for c in point.cautions if c not in said)
    notes += [caution_text(c) for c in alone if isinstance(c, LocalJudge | Damaged)]
    return Series(key, metric, tuple(points), tuple(notes))


def _joined(before: Sequence[Point], point: Point, metric: Metric, options: Options) -> Point:
    """The point as a part of the series: joined to the last segment, or the first of its own."""
    alone = replace(point, cautions=cautions_of([_part(point)], point.figure.unit))
    if not before:
        return alone
    last = before[-1]
    start = next(p for p in before if p.segment == last.segment)
    try:
        first, previous = (_difference(point, other, metric, options) for other in (start, last))
        differ = _check(point, last, options)
    except ComparisonError as error:
        return replace(alone, segment=last.segment + 1, split=str(error))
    if previous is None:
        return replace(alone, segment=last.segment, first=first)
    cautions = (*cautions_of([_part(point), _part(last)], point.figure.unit), *differ)
    entry = _part(point).entry
    contest = uncorrected(previous, entry, cautions, power=0.8)
    return replace(
        point, segment=last.segment, first=first, previous=contest, cautions=contest.cautions
    )


def _part(point: Point) -> Part:
    return Part(point.checkpoint.run, point.checkpoint.model, point.figure.key.benchmark)


def _below(point: Point) -> dict[str, str] | None:
    """Tasks that an average is made of, and by which metric; None: the figure is none."""
    entry = _part(point).entry
    average = entry.average(point.figure.key)
    return None if average is None else tasks_below(average, entry.averages)


def _check(point: Point, other: Point, options: Options) -> list[Caution]:
    """What differs and is allowed.  Raises ComparisonError: other settings differ."""
    key, ours, theirs = point.figure.key, _below(point), _below(other)
    if ours is not None and ours != theirs:
        raise ComparisonError(
            f"{key.benchmark}, {key.metric}: over other tasks here ({', '.join(ours)}) than there "
            f"({', '.join(theirs or {}) or 'none'})"
        )
    entries = _part(point).entry, _part(other).entry
    if ours is not None and entries[0].average(key) not in same_averages(*entries):
        raise ComparisonError(
            f"{key.benchmark}, {key.metric}: the average is declared otherwise here than there"
        )
    tasks = [key.task] if ours is None else list(ours)
    found = check(_part(point), _part(other), tasks, options.allow_different)
    return list(dict.fromkeys(caution for task in tasks for caution in found.get(task, ())))


def _difference(point: Point, other: Point, metric: Metric, options: Options) -> Comparison | None:
    """`point` minus `other`; None where a side has no scores of samples.

    Raises:
        ComparisonError: settings differ.
    """
    _check(point, other, options)
    key, level, below = point.figure.key, point.figure.value.level, _below(point)
    labels = point.checkpoint.label, other.checkpoint.label
    records = []
    for p, label in zip((point, other), labels, strict=True):
        for record in _part(p).records:
            if record.task in (below or (key.task,)):
                outcome = record.outcome
                if below is None:
                    scores = tuple(s for s in outcome.scores if s.metric == metric.name)
                    outcome = replace(outcome, scores=scores)
                records.append(replace(record, model=label, outcome=outcome))
    if below is not None:
        rows = average_comparisons(records, _part(point).entry.averages, *labels, level)
    else:
        task = TaskEntry(metrics=(replace(metric, by_category=False),))
        entry = BenchmarkEntry(name=key.benchmark, tasks={key.task: task})
        roles = dict(zip(labels, ("candidate", "baseline"), strict=True))
        rows = comparisons(records, [entry], roles, level)
    return next((c for c in rows if c.key == key), None)


# --- the best of several ------------------------------------------------------------------------


def best_of(series: Series) -> Selection | None:
    """Best-of-N over the last segment, whose checkpoints have the same settings.

    `stats.selection_optimism` on per-sample scores in the metric's unit; where lower is better
    scores are negated for the choice and the results turned back, so `point` and `honest` are in
    the unit printed, and `optimism` is positive where the winner's figure is too good.

    Returns:
        None where fewer than two checkpoints have scores of samples (an average over tasks has
        none of its own), and of a length, of which none is best.
    """
    if not catalogue.unit(series.metric.unit).has_direction or not series.segments:
        return None
    sign = 1.0 if series.metric.higher_is_better else -1.0
    metric = replace(series.metric, by_category=False)
    tasks = {series.key.task: TaskEntry(metrics=(metric,))}
    entry = BenchmarkEntry(name=series.key.benchmark, tasks=tasks)
    scores: dict[str, dict[tuple[str, str], float]] = {}
    clusters: dict[tuple[str, str], Hashable] = {}
    for point in series.segments[-1]:
        model = point.checkpoint.model
        for of in scores_of(_part(point).records, [entry]):
            mine = {k: sign * metric.scale * v for k, v in of.scores[model].items()}
            if mine:
                scores[point.checkpoint.label] = mine
                clusters |= of.clusters[model]
    if len(scores) < 2:
        return None
    found = selection_optimism(scores, clusters)
    if sign > 0:
        return found
    turned = [None if v is None else -v for v in (found.point, found.honest)]
    return replace(found, point=turned[0], honest=turned[1])


def best_sentence(selection: Selection, series: Series) -> str:
    """What the best of several is worth."""
    unit = series.metric.unit
    start = (
        f"Best of {selection.n_models} on {count(selection.n)} common scores: {selection.winner}, "
        f"{figure(selection.point, unit)}"
    )
    if selection.honest is None or selection.optimism is None:
        return f"{start}; what to expect of it on new samples is not known ({selection.method})."
    return (
        f"{start}; chosen by these very samples, so expect about {figure(selection.honest, unit)} "
        f"on new ones (selection optimism {size(selection.optimism, unit)} "
        f"{unit_words(unit, of_difference=True)})."
    )


# --- tables, charts, lines ----------------------------------------------------------------------

_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 60


def series_title(series: Series) -> str:
    """Benchmark, task, metric and unit in words."""
    key = series.key
    label = figure_label(key)
    if label == task_label(key.benchmark, key.task):
        # An average over all tasks has its metric's name in its label.
        label = f"{label}, {metric_label(key.metric)}"
    return f"{label} ({unit_words(series.metric.unit)})"


def sparkline(series: Series) -> str:
    """One bar a checkpoint, from the lowest to the highest figure; a blank between segments.

    It shows figures without their intervals: a shape, not evidence.  The latest 60 are shown.
    """
    points = series.points[-_MOST_BARS:]
    values = [p.figure.value.point or 0.0 for p in points]
    low, high = min(values, default=0.0), max(values, default=0.0)
    text = ""
    for i, (point, value) in enumerate(zip(points, values, strict=True)):
        if i and point.segment != points[i - 1].segment:
            text += " "
        share = 0.5 if high == low else (value - low) / (high - low)
        text += _BARS[min(len(_BARS) - 1, int(share * len(_BARS)))]
    return text


def change_sentence(series: Series) -> str:
    """First and last figure of the last segment, which way it went, and their paired difference.

    The interval is of this one difference, and is corrected for no other.
    """
    first, last = series.segments[-1][0], series.segments[-1][-1]
    unit, end = last.figure.unit, figure(last.figure.value.point, last.figure.unit)
    if first is last:
        return f"{end} at {last.checkpoint.label}"
    said = (
        f"{figure(first.figure.value.point, unit)} → {end} "
        f"from {first.checkpoint.label} to {last.checkpoint.label}"
    )
    if last.first is None or last.first.difference.point is None:
        return f"{said}; without scores of samples nothing is known of the difference"
    d, better = last.first.difference, last.first.higher_is_better
    words = NOT_SIGNIFICANT
    if catalogue.unit(unit).has_direction:
        up, down = ("better", "worse") if better else ("worse", "better")
    else:
        up, down = "longer", "shorter"
    if d.low is not None and d.low > 0:
        words = up
    elif d.high is not None and d.high < 0:
        words = down
    return (
        f"{said}: {words}, {difference(d.point, unit)} {unit_words(unit, of_difference=True)}, "
        f"{ci(d.level)} {bounds(d, unit, signed=True)}"
    )


def series_table(series: Series) -> Table:
    """One row a checkpoint, in order."""
    confidence = ci(series.points[0].figure.value.level if series.points else _LEVEL)
    columns = (
        Column("Checkpoint", header=True),
        Column("Step", "right", rank=4),
        Column("Figure", "right"),
        Column(confidence, "right", rank=2),
        Column("n", "right", rank=1),
        Column("Missing", "right", rank=3),
        Column("Minus first", "right", rank=3),
        Column(confidence, "right", rank=3),
    )
    lead = Table.of("", columns, [_row(point) for point in series.points])
    notes = ["The candidate is the checkpoint, the baseline the one before it.", N_COUNTS]
    if series.tests > 1:
        notes.append(
            f"Verdict: after Holm's correction over the {count(series.tests)} steps shown."
        )
    steps = [point.previous for point in series.points]
    table = contest_table(steps, HISTORY, caption=series_title(series), lead=lead, notes=notes)
    differ = Cell.text("settings differ", tone="warning")
    rows = [
        (*row[:-1], differ) if point.split else row
        for point, row in zip(series.points, table.rows, strict=True)
    ]
    return Table.of(table.caption, table.columns, rows, table.note)


def _row(point: Point) -> tuple[Cell, ...]:
    value, unit, step = point.figure.value, point.figure.unit, point.checkpoint.step
    to_first = (Cell.missing(), Cell.missing())
    if point.first is not None:
        d = point.first.difference
        to_first = (
            Cell(d.point, difference(d.point, unit)),
            Cell(d.low, bounds(d, unit, signed=True)),
        )
    return (
        Cell.text(point.checkpoint.label + (" (bridged)" if point.figure.bridged else "")),
        Cell(None, MISSING) if step is None else Cell(step.value, str(step)),
        Cell(value.point, figure(value.point, unit)),
        Cell(value.low, bounds(value, unit)),
        Cell(value.n, count(value.n)),
        Cell(value.n_missing, count(value.n_missing)),
        *to_first,
    )


def series_trend(series: Series) -> Trend:
    """What `draw.svg` draws of a series."""
    steps = [point.checkpoint.step for point in series.points]
    kinds = {step.kind if step else None for step in steps}
    axis = "checkpoint, in order"
    if kinds in ({"step"}, {"epoch"}):
        axis = "training step" if "step" in kinds else "epoch"
    points = tuple(
        TrendPoint(
            point.checkpoint.label,
            point.figure.value,
            None if step is None else step.value,
            "" if step is None else str(step),
            split=bool(point.split),
        )
        for point, step in zip(series.points, steps, strict=True)
    )
    return Trend(series_title(series), series.metric.unit, points, axis)


def series_lines(series: Series) -> list[Line]:
    """For a terminal: title with sparkline, table, splits, the best of them, notes."""
    table = series_table(series)
    lines: list[Line] = [
        table.caption,
        f"{sparkline(series)}  {change_sentence(series)}",
        "",
        replace(table, caption=""),
    ]
    for point in series.points:
        if point.split:
            first, *more = point.split.splitlines()
            split = [f"{point.checkpoint.label}: {first}", *(line.strip() for line in more)]
            lines += [f"not joined: {line}" for line in split]
    best = best_of(series)
    if best is not None:
        lines.append(best_sentence(best, series))
    return [*lines, *(f"note: {note}" for note in series.notes)]


# --- CSV and JSON -------------------------------------------------------------------------------

CSV_COLUMNS: Mapping[str, str] = {
    "benchmark": "Benchmark entry of the suite.",
    "task": "Task of the benchmark.",
    "metric": "Metric.",
    "unit": "percent (0 to 100), points (1 to 10), characters or raw.",
    "higher_is_better": "true or false.",
    "position": "Place in the order of checkpoints, from 0.",
    "checkpoint": "Name shown: unique in this file.",
    "model": "Model's name in its run.",
    "run_id": "Run it was measured in.",
    "step": "Training step or epoch that name or path tell; empty: none.",
    "step_kind": "step or epoch; empty: none.",
    "time": "When the run's first session began, ISO 8601 in UTC; empty: not known.",
    "segment": "Rows of one series with the same number have the same settings.",
    "point": "The figure, in its unit.",
    "standard_error": "Of the figure.",
    "low": "Lower end of its interval.",
    "high": "Upper end of its interval.",
    "level": "Confidence level of all intervals of the row, 0 to 1.",
    "n": "Scores in the figure.",
    "n_clusters": "Units of resampling among them.",
    "n_missing": "Scores that should be there and are not.",
    "minus_first": "Paired difference to the first checkpoint of the segment; empty for that one.",
    "minus_first_low": "Lower end of its interval.",
    "minus_first_high": "Upper end of its interval.",
    "minus_first_n": "Scores both have.",
    "minus_previous": "Paired difference to the checkpoint before; empty for a segment's first.",
    "minus_previous_low": "Lower end of its interval.",
    "minus_previous_high": "Upper end of its interval.",
    "minus_previous_n": "Scores both have.",
    "minus_previous_p": "Two-sided p of that difference.",
    "minus_previous_p_adjusted": "The same after Holm's correction over all steps shown.",
    "since_previous": (
        "better, worse, longer, shorter, not_significant or undefined, after the correction."
    ),
    "flags": "What speaks against it: local judge, limited run, damaged evidence.",
}
"""Columns of the CSV and what they hold.  Numbers are unrounded, an empty cell is undefined."""
_OF_SERIES = ("benchmark", "task", "metric", "unit", "higher_is_better")


def history_csv(every: Sequence[Series], *, spreadsheet: bool = False) -> str:
    """RFC 4180 with a header row; UTF-8 can hold all of it.

    Args:
        every: What to write.
        spreadsheet: An apostrophe before text that would be taken for a formula.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(CSV_COLUMNS), lineterminator="\r\n")
    writer.writeheader()
    for row in _csv_rows(every):
        writer.writerow({k: _csv_cell(defused(v) if spreadsheet else v) for k, v in row.items()})
    return stream.getvalue()


def formula_cells(every: Sequence[Series]) -> int:
    """How many cells of the CSV a spreadsheet would take for formulas."""
    return sum(is_formula(value) for row in _csv_rows(every) for value in row.values())


def _csv_rows(every: Sequence[Series]) -> Iterator[dict[str, Json]]:
    """In the CSV's columns."""
    for series in every:
        for position, point in enumerate(series.points):
            row = _fields(series, position, point)
            yield {k: visible(v) if isinstance(v, str) else v for k, v in row.items()}


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _fields(series: Series, position: int, point: Point) -> dict[str, Json]:
    checkpoint, contest = point.checkpoint, point.previous
    step, time = checkpoint.step, checkpoint.time
    previous = None if contest is None else contest.comparison
    own = {k: v for k, v in figure_row(point.figure).items() if k in CSV_COLUMNS}
    said = [caution_text(c) for c in point.cautions if not isinstance(c, FewUnits | StatedByOne)]
    found = {
        **own,
        "higher_is_better": series.metric.higher_is_better,
        "position": position,
        "checkpoint": checkpoint.label,
        "model": checkpoint.model,
        "run_id": checkpoint.run.manifest.run_id,
        "step": None if step is None else _whole(step.value),
        "step_kind": None if step is None else step.kind,
        "time": None if time is None else datetime.fromtimestamp(time, UTC).isoformat(),
        "segment": point.segment,
        **_numbers("minus_first", point.first),
        **_numbers("minus_previous", previous),
        "minus_previous_p": None if previous is None else previous.p,
        "minus_previous_p_adjusted": None if contest is None else contest.p_adjusted,
        "since_previous": None if contest is None else contest.verdict,
        "flags": " ".join(said) or None,
    }
    return {name: found[name] for name in CSV_COLUMNS}


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _numbers(name: str, row: Comparison | None) -> dict[str, Json]:
    d = None if row is None else row.difference
    values = (None,) * 4 if d is None else (d.point, d.low, d.high, d.n)
    return dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_n"), values, strict=True))


def history_json(every: Sequence[Series], notes: Sequence[str]) -> dict[str, Json]:
    """`{"series": [...], "notes": [...]}`: the CSV's fields by point, splits and best-of-N."""
    found = []
    for series in every:
        best = best_of(series)
        rows = [_fields(series, position, point) for position, point in enumerate(series.points)]
        found.append(
            {
                **{name: rows[0][name] for name in _OF_SERIES},
                "points": [
                    {k: v for k, v in row.items() if k not in _OF_SERIES}
                    | {"split": point.split or None}
                    for row, point in zip(rows, series.points, strict=True)
                ],
                "best": None if best is None else asdict(best),
                "notes": list(series.notes),
            }
        )
    return {"series": found, "notes": list(notes)}
