"""Records to figures and comparisons: which scores enter, means, paired differences, averages.

    records ─ scores_of ─▶ Scores (one metric, one category or all) ─┬─ figures ─────▶ Figure
                                                                     └─ comparisons ─▶ Comparison

Nothing here reads a run or corrects for several comparisons: `contests` does.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

from evalkit import catalogue
from evalkit.core import Record
from evalkit.core.figures import (
    Average,
    Comparison,
    Estimator,
    Figure,
    FigureKey,
    Interval,
    Measured,
    Method,
    Metric,
)
from evalkit.core.run import BenchmarkEntry, tasks_below
from evalkit.errors import BenchmarkError, ComparisonError
from evalkit.stats import (
    Mean,
    Stratified,
    average_of_tasks,
    is_binary,
    mean_estimate,
    paired_difference,
    proportion_estimate,
)
from evalkit.stats.averages import (
    Documents,
    by_task,
    nested,
    own_averages,
    raw_values,
    unit,
    values_of,
)

__all__ = [
    "Part",
    "Scores",
    "average_comparisons",
    "average_figures",
    "compare_scores",
    "comparisons",
    "degrees",
    "figures",
    "is_hardly_known",
    "scores_of",
]

Part: TypeAlias = tuple[str, str]
"""(sample, part): what one score is about, and what is paired.  A part that ends in `#2`, `#3`, ...
is a repetition of it: it enters a mean, and is never missing."""
_FEWEST_DF = 4
"""Below that the standard error itself is hardly known, and no MDE is given."""


# --- which scores -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Scores of one metric, one category or all, for every model that has records of the task."""

    key: FigureKey
    metric: Metric
    scores: Mapping[str, Mapping[Part, float]]
    """By model; failed samples have none.  Excluded samples count as failed."""
    absent: Mapping[str, frozenset[Part]]
    """By model: scores that its own records should have and do not."""
    clusters: Mapping[str, Mapping[Part, Hashable]]
    """By model: unit of resampling of each score."""

    def missing(self, model: str, other: str | None = None) -> int:
        """Scores of `model` that should be there and are not.

        Beside `other`, also those of samples that only the other has a record of.
        """
        wanted = self.absent[model]
        if other is not None:
            known = {*self.scores[model], *wanted}
            theirs = {*self.scores[other], *self.absent[other]}
            wanted = wanted | {(s, part) for s, part in theirs - known if "#" not in part}
        return len(wanted)


def scores_of(records: Sequence[Record], entries: Sequence[BenchmarkEntry]) -> Iterator[Scores]:
    """Every metric of every task that has records: all samples, then by category if it wants.

    Metrics without any score although samples succeeded are left out: their figures are not
    means of per-sample scores and come from `Benchmark.extra_estimates`.  Categories are in
    order of their first record.
    """
    by_place: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_place.setdefault((record.benchmark, record.task), []).append(record)
    for entry in entries:
        for task, metrics in entry.metrics.items():
            mine = by_place.get((entry.name, task), [])
            scored = {s.metric for r in mine for s in r.outcome.scores}
            all_failed = all(r.outcome.status != "ok" for r in mine)
            for metric in metrics if mine else ():
                if metric.name in scored or all_failed:
                    yield from _scores_of(mine, metric)


def _scores_of(records: Sequence[Record], metric: Metric) -> Iterator[Scores]:
    yield _scores(records, metric, None)
    if metric.by_category:
        for category in dict.fromkeys(r.category for r in records if r.category is not None):
            yield _scores([r for r in records if r.category == category], metric, category)


def _scores(records: Sequence[Record], metric: Metric, category: str | None) -> Scores:
    scores: dict[str, dict[Part, float]] = {}
    clusters: dict[str, dict[Part, Hashable]] = {}
    absent: dict[str, set[Part]] = {}
    for record in records:
        values = scores.setdefault(record.model, {})
        units = clusters.setdefault(record.model, {})
        given = () if record.outcome.status == "excluded" else record.outcome.scores
        found = {s.part: s.value for s in given if s.metric == metric.name}
        lacking = set(metric.parts) - {part.partition("#")[0] for part in found}
        absent.setdefault(record.model, set()).update((record.sample, p) for p in lacking)
        for part, value in found.items():
            values[record.sample, part] = value
            units[record.sample, part] = unit(record)
    key = FigureKey(records[0].benchmark, records[0].task, metric.name, category)
    gone = {model: frozenset(parts) for model, parts in absent.items()}
    return Scores(key, metric, scores, gone, clusters)


def _check(records: Sequence[Record], entries: Sequence[BenchmarkEntry]) -> None:
    """Refuse records that no metric is for, and scores that no metric announces."""
    parts = {
        (entry.name, task): {metric.name: metric.parts for metric in metrics}
        for entry in entries
        for task, metrics in entry.metrics.items()
    }
    for record in records:
        announced = parts.get((record.benchmark, record.task))
        if announced is None:
            tasks = [task for name, task in parts if name == record.benchmark]
            raise BenchmarkError(
                f"{record.benchmark}: no metrics for task {record.task!r}, which has records; "
                f"expected one of {', '.join(tasks) or 'none'}"
            )
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


# --- figures of one model -----------------------------------------------------------------------


def figures(
    records: Sequence[Record], entries: Sequence[BenchmarkEntry], level: float
) -> list[Figure]:
    """One figure per model, benchmark, task and metric, and per category where wanted.

    The point is `Metric.scale` times the mean of the scores there are (cut to a whole number
    where the metric says so; its interval is not); `n` counts scores and `n_missing` those that
    failed, could not be parsed or were excluded.  Standard error and interval: see
    `stats.mean_estimate`, clustered by `Record.cluster`, and `stats.proportion_estimate` for
    shares; no interval goes beyond the metric's scale.  Averages over tasks are apart
    (`average_figures`), since benchmarks compute them with what else they know.

    Args:
        records: canonical order; sets the order of models and categories.
        entries: benchmarks with their metrics, in report order.
        level: confidence level, between 0 and 1.

    Returns:
        Rows by model, then benchmark, task, metric, with categories after the whole.

    Raises:
        BenchmarkError: scores and metrics of a benchmark do not match.
    """
    _check(records, entries)
    found = list(scores_of(records, entries))
    return [
        Figure(model, s.key, s.metric.unit, _figure(s, model, level))
        for model in dict.fromkeys(record.model for record in records)
        for s in found
        if model in s.scores
    ]


def _figure(of: Scores, model: str, level: float) -> Measured:
    """In the metric's unit.

    Shares get a Wilson interval where every model's scores are binary, so that all models of a
    row are treated alike.
    """
    scores, scale = of.scores[model], of.metric.scale
    units = list(of.clusters[model].values())
    if all(
        is_binary(list(s.values()), list(of.clusters[m].values())) for m, s in of.scores.items()
    ):
        found = proportion_estimate(list(scores.values()), units, level)
        value = _measured(found, level, of.missing(model), Estimator.SHARE)
        point, error, low, high = (
            None if x is None else scale * x
            for x in (value.point, value.standard_error, value.low, value.high)
        )
        value = replace(value, point=point, standard_error=error, low=low, high=high)
    else:
        scaled = [scale * score for score in scores.values()]
        found = mean_estimate(scaled, units, level)
        value = _measured(found, level, of.missing(model), Estimator.MEAN)
        value = _within(value, scaled, of.metric)
    if of.metric.whole and value.point is not None:
        value = replace(value, point=float(int(value.point)))
    return value


def _within(value: Measured, values: Sequence[float], metric: Metric) -> Measured:
    """The interval cut to the scale that all its values keep to: beyond it no mean can be."""
    least, most = catalogue.unit(metric.unit).low, catalogue.unit(metric.unit).high
    if value.low is None or value.high is None or least is None or most is None:
        return value
    if min(values) < least or max(values) > most or (value.low >= least and value.high <= most):
        return value
    method = replace(value.method, cut_to_scale=True)
    return replace(value, low=max(value.low, least), high=min(value.high, most), method=method)


def average_figures(
    records: Sequence[Record], averages: Sequence[Average], level: float
) -> list[Figure]:
    """One model's averages over tasks with t intervals, in the order they are declared.

    Args:
        records: one model's of one benchmark.
        averages: that benchmark's.
        level: confidence level, between 0 and 1.
    """
    if not records:
        return []
    first, documents = records[0], by_task(records)
    found = own_averages(records, averages, level)
    rows = []
    for average in averages:
        own = _as_stratified(found[average.task, average.metric.name], level)
        below = tasks_below(average, averages)
        missing = sum(
            not raw_values(record, name)
            for task, name in below.items()
            for record in documents.get(task, {}).values()
        )
        value = _averaged(own, average, level, missing, paired=False)
        if not value.standard_error:
            value = replace(value, standard_error=None, low=None, high=None, df=None)
        key = FigureKey(first.benchmark, average.task, average.metric.name)
        rows.append(Figure(first.model, key, average.metric.unit, value))
    return rows


# --- candidates against baselines ---------------------------------------------------------------


def comparisons(
    records: Sequence[Record],
    entries: Sequence[BenchmarkEntry],
    roles: Mapping[str, str],
    level: float,
) -> list[Comparison]:
    """Each candidate minus each baseline, for every figure made from per-sample scores.

    Scores are paired on (sample, part); a score only one side has enters neither.  A win is a
    score of the candidate that is better in the metric's own sense, by whatever amount; the
    difference itself keeps its sign (candidate minus baseline) also where lower is better.

    Args:
        records: canonical order.
        entries: benchmarks with their metrics and averages, in report order.
        roles: of every model: `candidate`, `baseline` or `published` (which has no scores).
        level: confidence level, between 0 and 1.

    Returns:
        Rows by candidate, baseline, benchmark, task, metric, with categories after the whole and
        averages after a benchmark's tasks; none where only one of the two has records.

    Raises:
        BenchmarkError: scores and metrics of a benchmark do not match.
        ComparisonError: a sample is in different clusters for the two models.
    """
    _check(records, entries)
    found = list(scores_of(records, entries))
    models = list(dict.fromkeys(record.model for record in records))
    candidates = [m for m in models if roles.get(m) == "candidate"]
    baselines = [m for m in models if roles.get(m) == "baseline"]
    rows: list[Comparison] = []
    for candidate, baseline, entry in product(candidates, baselines, entries):
        rows += (
            compare_scores(s, candidate, baseline, level)
            for s in found
            if s.key.benchmark == entry.name
            if candidate in s.scores and baseline in s.scores
        )
        if entry.averages:
            mine = [r for r in records if r.benchmark == entry.name]
            rows += average_comparisons(mine, entry.averages, candidate, baseline, level)
    return rows


def compare_scores(of: Scores, candidate: str, baseline: str, level: float) -> Comparison:
    """One such row.  Raises ComparisonError as above, KeyError for a model without records."""
    clusters, metric = of.clusters[candidate], of.metric
    for part in clusters.keys() & of.clusters[baseline].keys():
        if clusters[part] != of.clusters[baseline][part]:
            raise ComparisonError(
                f"{of.key.benchmark}, task {of.key.task!r}, sample {part[0]!r}: cluster "
                f"{clusters[part]!r} for {candidate!r} but {of.clusters[baseline][part]!r} for "
                f"{baseline!r}; these are not the same samples: run both models with one suite"
            )
    ours, theirs = (
        {part: metric.scale * value for part, value in of.scores[model].items()}
        for model in (candidate, baseline)
    )
    paired = paired_difference(ours, theirs, clusters, level)
    lacking = of.missing(candidate, baseline), of.missing(baseline, candidate)
    found = Mean(
        paired.difference,
        paired.standard_error,
        paired.low,
        paired.high,
        paired.n,
        paired.n_clusters,
        paired.method,
    )
    above, below = paired.wins, paired.losses
    wins, losses = (above, below) if metric.higher_is_better else (below, above)
    return Comparison(
        candidate=candidate,
        baseline=baseline,
        key=of.key,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        difference=_measured(found, level, sum(lacking), Estimator.PAIRED),
        p=paired.p,
        wins=wins,
        losses=losses,
        ties=paired.ties,
        n_missing_candidate=lacking[0],
        n_missing_baseline=lacking[1],
    )


def average_comparisons(
    records: Sequence[Record],
    averages: Sequence[Average],
    candidate: str,
    baseline: str,
    level: float,
) -> list[Comparison]:
    """Candidate minus baseline of every average over tasks, in the order they are declared.

    Documents are paired task by task.  Wins, ties and losses count documents over all tasks.  A
    task without a score on either side leaves the average undefined, since it would be over other
    tasks than its name says.

    Args:
        records: of one benchmark.
        averages: that benchmark's, each after those it is made of.
        candidate: a model.
        baseline: another.
        level: confidence level, between 0 and 1.
    """
    ours, theirs = (by_task(r for r in records if r.model == m) for m in (candidate, baseline))
    if not ours or not theirs:
        return []
    sides = _Documents(ours, theirs)

    def of_task(task: str, metrics: Sequence[str], average: Average) -> Mean:
        """One task's mean difference over the metrics, against chance where it says so."""
        mine, other = sides.common(task, metrics)
        scale = average.metric.scale
        both = [values_of(side, metrics, average.chance) for side in (mine, other)]
        differences = [scale * (both[0][k] - both[1][k]) for k in both[0]]
        size = scale * max((abs(v) for side in both for v in side.values()), default=0.0)
        return mean_estimate(differences, [unit(mine[k]) for k in both[0]], level, size)

    found = nested(averages, of_task, level)
    rows = []
    for average in averages:
        own = _as_stratified(found[average.task, average.metric.name], level)
        n, wins, losses, lacking = sides.counts(average, averages)
        value = _averaged(own, average, level, sum(lacking), paired=True)
        rows.append(
            Comparison(
                candidate=candidate,
                baseline=baseline,
                key=FigureKey(records[0].benchmark, average.task, average.metric.name),
                unit=average.metric.unit,
                higher_is_better=average.metric.higher_is_better,
                difference=replace(value, n=n),
                p=own.p,
                wins=wins,
                losses=losses,
                ties=n - wins - losses,
                n_missing_candidate=lacking[0],
                n_missing_baseline=lacking[1],
            )
        )
    return rows


@dataclass
class _Documents:
    """Both sides' documents."""

    ours: Documents
    theirs: Documents

    def common(
        self, task: str, metrics: Sequence[str]
    ) -> tuple[dict[str, Record], dict[str, Record]]:
        """Documents with every metric on both sides."""
        ours, theirs = (
            {k: r for k, r in side.get(task, {}).items() if all(raw_values(r, m) for m in metrics)}
            for side in (self.ours, self.theirs)
        )
        keys = [key for key in ours if key in theirs]
        return {k: ours[k] for k in keys}, {k: theirs[k] for k in keys}

    def counts(
        self, average: Average, averages: Sequence[Average]
    ) -> tuple[int, int, int, tuple[int, int]]:
        """Documents both have, wins, losses, and what is missing on each side."""
        n, wins, losses, lacking = 0, 0, 0, [0, 0]
        for task, metric in tasks_below(average, averages).items():
            ours, theirs = self.common(task, [metric])
            signs = [_share(ours[k], metric) - _share(theirs[k], metric) for k in ours]
            above, below = sum(s > 0 for s in signs), sum(s < 0 for s in signs)
            n += len(signs)
            wins += above if average.metric.higher_is_better else below
            losses += below if average.metric.higher_is_better else above
            either = {**self.ours.get(task, {}), **self.theirs.get(task, {})}
            for i, side in enumerate((self.ours, self.theirs)):
                mine = side.get(task, {})
                lacking[i] += sum(
                    key not in mine or not raw_values(mine[key], metric) for key in either
                )
        return n, wins, losses, (lacking[0], lacking[1])


def _share(record: Record, metric: str) -> float:
    values = raw_values(record, metric)
    return math.fsum(values) / len(values)


# --- what stats gives as a Measured -------------------------------------------------------------


def degrees(value: Measured) -> float | None:
    """Degrees of freedom of the t statistic, as far as its units tell them."""
    if value.df is not None:
        return value.df
    return value.n_units - 1 if value.n_units > 1 else None


def is_hardly_known(value: Measured) -> bool:
    """Whether the error rests on so few units, or runs, that nothing can be planned by it."""
    df = degrees(value)
    return df is None or df < _FEWEST_DF


def _measured(found: Mean, level: float, n_missing: int, estimator: Estimator) -> Measured:
    error = found.standard_error
    undefined = found.method.startswith("undefined")
    is_share = estimator is Estimator.SHARE
    interval = Interval.NONE if found.low is None else Interval.WILSON if is_share else Interval.T
    return Measured(
        point=found.point,
        standard_error=error,
        low=found.low,
        high=found.high,
        level=level,
        n=found.n,
        n_units=found.n_clusters,
        n_missing=n_missing,
        method=Method(
            estimator,
            interval,
            clustered=found.n != found.n_clusters,
            paired=estimator is Estimator.PAIRED,
            no_variation=error == 0 and not is_share,
            detail=found.method.removeprefix("undefined: ") if undefined else "",
        ),
        df=None if error is None else found.n_clusters - 1,
    )


def _as_stratified(found: Mean | Stratified, level: float) -> Stratified:
    """A single task's mean gets its p like an average of one."""
    if isinstance(found, Stratified):
        return found
    return replace(average_of_tasks({"": found}, level), method=found.method)


def _averaged(
    found: Stratified, average: Average, level: float, n_missing: int, *, paired: bool
) -> Measured:
    undefined = found.method.startswith("undefined")
    return Measured(
        point=found.point,
        standard_error=found.standard_error,
        low=found.low,
        high=found.high,
        level=level,
        n=found.n,
        n_units=found.n_clusters,
        n_missing=n_missing,
        method=Method(
            Estimator.TASKS,
            Interval.NONE if found.low is None else Interval.T,
            paired=paired,
            tasks=found.n_tasks,
            by_size=average.by_size,
            no_variation=found.standard_error == 0,
            detail=found.method.removeprefix("undefined: ") if undefined else "",
        ),
        df=found.df,
    )
