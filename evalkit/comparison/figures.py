"""Records to figures and comparisons: which scores enter, means, paired differences, averages.

    records ─ scores_of ─▶ Scores (one metric, one category or all) ─┬─ figures ─────▶ Figure
                                                                     └─ comparisons ─▶ Comparison

Nothing here reads a run or corrects for several comparisons: `contests` does.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

from evalkit import catalogue
from evalkit.core import Record
from evalkit.core.figures import Average, Comparison, Figure, FigureKey, Measured, Metric
from evalkit.core.run import BenchmarkEntry
from evalkit.errors import BenchmarkError, ComparisonError
from evalkit.stats.averages import averages_of_records, paired_averages
from evalkit.stats.means import Paired, is_binary, mean, paired_difference, share

__all__ = [
    "Part",
    "Scores",
    "average_comparisons",
    "average_figures",
    "compare_scores",
    "comparisons",
    "figures",
    "scores_of",
]

Part: TypeAlias = tuple[str, str]
"""(sample, part): what one score is about, and what is paired.  A part that ends in `#2`, `#3`, ...
is a repetition of it: it enters a mean, and is never missing."""


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
    means of per-sample scores and come from `Benchmark.extra_figures`.  Categories are in
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
            units[record.sample, part] = (
                ("cluster", record.cluster) if record.cluster else ("sample", record.sample)
            )
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
    `stats.means.mean`, clustered by `Record.cluster`, and `stats.means.share`; no interval goes
    beyond the metric's scale.  Averages over tasks are apart (`average_figures`), since
    benchmarks compute them with what else they know.

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
    scores, units = list(of.scores[model].values()), list(of.clusters[model].values())
    each = ((list(s.values()), list(of.clusters[m].values())) for m, s in of.scores.items())
    if all(is_binary(*one) for one in each):
        value = share(scores, units, level).times(of.metric.scale)
    else:
        least, most = catalogue.unit(of.metric.unit).low, catalogue.unit(of.metric.unit).high
        limits = None if least is None or most is None else (least, most)
        scaled = [of.metric.scale * score for score in scores]
        value = mean(scaled, units, level, scale=limits)
    if of.metric.whole and value.point is not None:
        value = replace(value, point=float(int(value.point)))
    return replace(value, n_missing=of.missing(model))


def average_figures(
    records: Sequence[Record], averages: Sequence[Average], level: float
) -> list[Figure]:
    """One model's averages over tasks with t intervals, in the order they are declared.

    Args:
        records: one model's of one benchmark.
        averages: that benchmark's.
        level: confidence level, between 0 and 1.
    """
    found = averages_of_records(records, averages, level) if records else {}
    units = {(a.task, a.metric.name): a.metric.unit for a in averages}
    return [
        Figure(records[0].model, FigureKey(records[0].benchmark, *place), units[place], value)
        for place, value in found.items()
    ]


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
    paired = paired_difference(
        ours, theirs, clusters, level, higher_is_better=metric.higher_is_better
    )
    missing = of.missing(candidate, baseline), of.missing(baseline, candidate)
    return _comparison((candidate, baseline), of.key, metric, paired, missing)


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
    ours, theirs = ([r for r in records if r.model == model] for model in (candidate, baseline))
    if not ours or not theirs:
        return []
    metrics = {(average.task, average.metric.name): average.metric for average in averages}
    return [
        _comparison(
            (candidate, baseline),
            FigureKey(ours[0].benchmark, *place),
            metrics[place],
            one.paired,
            (one.missing_ours, one.missing_theirs),
        )
        for place, one in paired_averages(ours, theirs, averages, level).items()
    ]


def _comparison(
    sides: tuple[str, str], key: FigureKey, metric: Metric, paired: Paired, missing: tuple[int, int]
) -> Comparison:
    return Comparison(
        candidate=sides[0],
        baseline=sides[1],
        key=key,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        difference=replace(paired.measured, n_missing=sum(missing)),
        p=paired.p,
        wins=paired.wins,
        losses=paired.losses,
        ties=paired.ties,
        n_missing_candidate=missing[0],
        n_missing_baseline=missing[1],
    )
