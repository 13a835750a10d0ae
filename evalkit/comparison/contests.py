"""The only maker of contests: comparisons within their family, corrected, with their cautions.

    runs, names ─ resolve ─▶ sides ─ guard ─▶ records ─ figures ─▶ comparisons ─ Holm ─▶ contests

A family is what is read together.  `headline`: the headline figures of all benchmarks
(`core.run.headlines`) against all baselines; `detail`: everything else (other metrics, categories,
tasks within a group), which is exploration; `history` and `claim`: the steps of a training, the
parts of a sentence (`corrected`).
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from evalkit import catalogue
from evalkit.comparison.cautions import cautions_of, of_thinking
from evalkit.comparison.figures import comparisons, scores_of
from evalkit.comparison.guard import check, differences, not_allowed, of_judge, same_model
from evalkit.comparison.resolve import Part, Side, find, run_names
from evalkit.core import Json, Record, Score
from evalkit.core.contests import (
    Caution,
    Contest,
    Family,
    FewUnits,
    JudgeUnfit,
    SettingsDiffer,
    Verdict,
)
from evalkit.core.figures import Average, Comparison, Estimator, FigureKey, Measured, Method, Metric
from evalkit.core.run import BenchmarkEntry, Run, TaskEntry, tasks_below
from evalkit.draw import benchmark_label, contest_sentence, count
from evalkit.errors import ComparisonError
from evalkit.stats.averages import paired_averages
from evalkit.stats.decisions import holm, minimum_detectable_effect
from evalkit.stats.means import Noise, p_value, run_noise, widened
from evalkit.store.reading import comparison_row

if TYPE_CHECKING:
    from evalkit.comparison.bridge import Across

__all__ = [
    "Options",
    "Shown",
    "Uncompared",
    "by_other_judges",
    "caution_json",
    "contest_json",
    "contests",
    "contests_of",
    "corrected",
    "judged",
    "mde",
    "same_averages",
    "shown",
    "stored",
    "uncompared",
    "uncorrected",
    "unvaried",
    "verdict",
    "without_samples",
]


@dataclass(frozen=True)
class Options:
    """How to compare."""

    level: float = 0.95
    """Confidence level of the intervals."""
    power: float = 0.8
    """Probability with which an effect as large as the MDE is found."""
    allow_different: frozenset[str] = frozenset()
    """Settings that may differ; see `guard.check`."""
    repeats: bool = False
    """Several runs of a model repeat one measurement: their mean counts, and their noise is in
    the interval."""
    accept_damaged: bool = False
    """Runs that are not as they were sealed get verdicts, too."""


def contests(
    runs: Sequence[Run], candidate: str, baselines: Sequence[str], options: Options
) -> list[Contest]:
    """A candidate against baselines on every benchmark they share.

    Args:
        runs: Sealed or not: only records are read.
        candidate: `MODEL` or `RUN:MODEL`; see `resolve.pick` for what a suite says.
        baselines: The same.
        options: Level, power, allowed differences.

    Returns:
        By baseline, benchmark, task, metric; categories after the whole.

    Raises:
        ComparisonError: a name that is unknown or ambiguous, sides without a common benchmark,
            or settings that differ.
    """
    ours, *others = (find(runs, name, repeats=options.repeats) for name in (candidate, *baselines))
    return contests_of(ours, others, options)


def contests_of(ours: Side, others: Sequence[Side], options: Options) -> list[Contest]:
    """As `contests`, of sides that are found already."""
    found: list[Contest] = []
    for theirs in others:
        found += _against(ours, theirs, options)
    return _adjusted(found)


def stored(run: Run, power: float = 0.8) -> list[Contest]:
    """The comparisons that a run stores, with their figures untouched.

    With one candidate they are what `contests` says of the same run; with several, Holm's
    correction is over all of them.  What the guard would refuse is here left without a verdict
    (`Contest.refused`), and outside of the correction.

    Args:
        run: Sealed.
        power: Of the MDE.

    Returns:
        In the run's order.
    """
    found: list[Contest] = []
    refused: set[int] = set()
    for c in run.comparisons:
        mine, other = (Part(run, name, c.key.benchmark) for name in (c.candidate, c.baseline))
        differ, _ = differences(mine, other, c.key.task)
        if differ:
            refused.add(len(found))
        cautions = tuple(differ) if differ else cautions_of((mine, other), c.unit)
        cautions = (*cautions, *of_thinking([mine], [other], c.key))
        found.append(uncorrected(c, mine.entry, cautions, power))
    alike = iter(_adjusted([one for i, one in enumerate(found) if i not in refused]))
    return [
        replace(one, verdict="undefined", mde=None) if i in refused else next(alike)
        for i, one in enumerate(found)
    ]


# --- one pair of sides --------------------------------------------------------------------------


def _against(ours: Side, theirs: Side, options: Options) -> Iterator[Contest]:
    if ours.label == theirs.label:
        raise ComparisonError(f"{ours.label!r} is compared with itself; name another baseline")
    shared = [name for name in ours.parts if name in theirs.parts]
    if not shared:
        has = [", ".join(side.parts) or "nothing" for side in (ours, theirs)]
        raise ComparisonError(
            f"{ours.label!r} has records of {has[0]}, {theirs.label!r} of {has[1]}: no benchmark "
            f"is common; run both with one suite, or name its entries alike"
        )
    for name in shared:
        yield from _benchmark(ours, theirs, name, options)


def by_other_judges(ours: Side, theirs: Side, options: Options) -> dict[str, SettingsDiffer]:
    """Benchmarks that nothing but their judges keeps from being compared, and how these differ."""
    found = {}
    for name in [name for name in ours.parts if name in theirs.parts]:
        mine, other = ours.parts[name], theirs.parts[name]
        if (across := _across(mine, other)) is not None:
            mine, other = across.alike
        differ = not_allowed(mine, other, options.allow_different)
        if differ and all(of_judge(d.field) for d in differ):
            found[name] = differ[0]
    return found


def _across(mine: Part, other: Part) -> Across | None:
    """The bridge between the judges of two parts."""
    if not (mine.entry.bridge or other.entry.bridge):
        return None
    from evalkit.comparison.bridge import across_judges  # not for most comparisons

    return across_judges(mine, other)


def _benchmark(ours: Side, theirs: Side, name: str, options: Options) -> Iterator[Contest]:
    mine, other = ours.parts[name], theirs.parts[name]
    entry = _common(mine.entry, other.entry)
    across = _across(mine, other)
    alike = across.alike if across else (mine, other)
    found: dict[str, list[Caution]] = {**check(*alike, list(entry.tasks), options.allow_different)}
    for average in entry.averages:
        below = tasks_below(average, entry.averages)
        all_below = [c for task in below for c in found.get(task, ())]
        found[average.task] = [c for i, c in enumerate(all_below) if c not in all_below[:i]]
    several = [_repeated(side.repeats[name], options) for side in (ours, theirs)]
    labels = (ours.label, theirs.label)
    runs = [
        [_as(part.records, label, entry) for part in parts]
        for parts, label in zip(several, labels, strict=True)
    ]
    records = [record for each in runs for record in _mean_of(each)]
    roles = {ours.label: "candidate", theirs.label: "baseline"}
    rows = comparisons(records, [entry], roles, options.level)
    if across is not None:
        rows = across.rows(rows, records, entry, labels[across.earlier is other])
    for row in _with_noise(rows, runs[0], runs[1], entry):
        parts = (*ours.repeats[name], *theirs.repeats[name])
        thinking = of_thinking(ours.repeats[name], theirs.repeats[name], row.key)
        own = cautions_of(parts, row.unit, accepted=options.accept_damaged)
        cautions = (*own, *found[row.key.task], *thinking)
        yield uncorrected(row, entry, cautions, options.power)


def _common(mine: BenchmarkEntry, other: BenchmarkEntry) -> BenchmarkEntry:
    """Of tasks both have, the metrics both have; and the averages both declare."""
    tasks = {}
    for task, about in mine.tasks.items():
        if task in other.tasks:
            names = {metric.name for metric in other.tasks[task].metrics}
            kept = tuple(m for m in about.metrics if m.name in names)
            tasks[task] = TaskEntry(n_samples=about.n_samples, metrics=kept)
    averages = same_averages(mine, other)
    return BenchmarkEntry(name=mine.name, tasks=tasks, averages=averages)


def same_averages(mine: BenchmarkEntry, other: BenchmarkEntry) -> tuple[Average, ...]:
    """Averages that both declare alike, as they declare all averages that these are made of."""
    apart = {(a.task, a.metric.name) for a in {*mine.averages} ^ {*other.averages}}
    kept = []
    for average in mine.averages:
        if average in other.averages and apart.isdisjoint(average.of):
            kept.append(average)
        else:
            apart.add((average.task, average.metric.name))
    return tuple(kept)


def _as(records: Sequence[Record], label: str, entry: BenchmarkEntry) -> list[Record]:
    """Records of the common tasks under their side's label, with the common scores."""
    names = {task: {m.name for m in about.metrics} for task, about in entry.tasks.items()}
    found = []
    for record in records:
        if record.task in names:
            kept = tuple(s for s in record.outcome.scores if s.metric in names[record.task])
            found.append(replace(record, model=label, outcome=replace(record.outcome, scores=kept)))
    return found


def uncorrected(
    c: Comparison, entry: BenchmarkEntry, cautions: tuple[Caution, ...], power: float
) -> Contest:
    """Before the correction."""
    if c.difference.method.bridged is not None:
        cautions = (*cautions, c.difference.method.bridged)
    if c.difference.standard_error and c.difference.hardly_known:
        cautions = (*cautions, FewUnits(c.difference.df))
    unfit = any(isinstance(caution, JudgeUnfit) for caution in cautions)
    return Contest(
        comparison=c,
        family="headline" if c.key in entry.headlines else "detail",
        tests=0,
        p_adjusted=None,
        mde=None if unfit else mde(c.difference, power),
        verdict="undefined" if unfit else verdict(c),
        cautions=cautions,
        primary=c.key.whole in entry.primaries,
    )


def without_samples(
    candidate: str, baseline: str, key: FigureKey, metric: Metric, lacking: tuple[int, int]
) -> Contest:
    """A headline contest that no sample of both is for, as the gate shows it.

    Args:
        candidate: Its label.
        baseline: Its label.
        key: The figure.
        metric: Its metric, or its average's.
        lacking: Scores that candidate and baseline lack.
    """
    nothing = Method(Estimator.PAIRED, paired=True, detail="no common samples")
    value = Measured(None, None, None, None, 0.95, 0, 0, sum(lacking), nothing)
    c = Comparison(
        candidate=candidate,
        baseline=baseline,
        key=key,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        difference=value,
        p=None,
        wins=0,
        losses=0,
        ties=0,
        n_missing_candidate=lacking[0],
        n_missing_baseline=lacking[1],
    )
    return Contest(c, "headline", 0, None, None, "undefined", (), primary=True)


# --- verdict, MDE, Holm --------------------------------------------------------------------------


def verdict(c: Comparison) -> Verdict:
    """Better or worse (longer or shorter) only where the whole interval is on one side of zero.

    Samples that all differ by the same amount have a standard error of 0, which measures
    nothing: such a difference is undefined unless it is zero.
    """
    d = c.difference
    if d.point is None or d.low is None or d.high is None:
        return "undefined"
    if d.standard_error == 0 and d.point != 0:
        return "undefined"
    if d.low <= 0 <= d.high:
        return "not_significant"
    if not catalogue.unit(c.unit).has_direction:
        return "longer" if d.low > 0 else "shorter"
    return "better" if (d.low > 0) == c.higher_is_better else "worse"


def mde(difference: Measured, power: float) -> float | None:
    """The smallest true difference that a contest finds with that power, at its level.

    None without an error, and where it rests on so few units that it is hardly known itself.
    """
    if difference.standard_error is None or difference.hardly_known:
        return None
    df = difference.n_units - 1 if difference.df is None else difference.df
    alpha = 1 - difference.level
    return minimum_detectable_effect(difference.standard_error, alpha=alpha, power=power, df=df)


def judged(contest: Contest, p_adjusted: float | None, tests: int) -> Contest:
    """The contest with the verdict that its adjusted p, over so many tests, allows.

    None where its judge is not fit.
    """
    if contest.unfit:
        return contest
    found = verdict(contest.comparison)
    level = contest.comparison.difference.level
    is_open = p_adjusted is not None and p_adjusted > 1 - level
    if is_open and found != "undefined":
        found = "not_significant"
    if contest.withheld:
        found = "undefined"
    return replace(contest, p_adjusted=p_adjusted, tests=tests, verdict=found)


def corrected(found: Sequence[Contest], family: Family) -> list[Contest]:
    """These contests as one family of their own, with Holm's correction over all of them.

    Refused ones stay as they are and do not count.
    """
    live = [one for one in found if not one.refused]
    adjusted = iter(holm([one.comparison.p for one in live]))
    tests = sum(one.comparison.p is not None for one in live)
    return [
        one if one.refused else judged(replace(one, family=family), next(adjusted), tests)
        for one in found
    ]


def _adjusted(found: Sequence[Contest]) -> list[Contest]:
    """Holm within the headline figures, and within the details."""
    rows = dict(enumerate(found))
    for family in ("headline", "detail"):
        places = [i for i, one in rows.items() if one.family == family and not one.unfit]
        p_values = [found[i].comparison.p for i in places]
        tests = sum(p is not None for p in p_values)
        for i, p in zip(places, holm(p_values), strict=True):
            rows[i] = judged(found[i], p, tests)
    return list(rows.values())


_Key: TypeAlias = tuple[frozenset[str], FigureKey]
"""Pair in any order, figure."""


@dataclass(frozen=True)
class Shown:
    """All that is read together with some contests: their runs show it besides.

    A run's report corrects its headline contests together (`stored`).  A claim picked from among
    them is no single question any more, so it is judged within that same set, and within what it
    names itself; details are a set of their own.
    """

    p: Mapping[Family, Mapping[_Key, float]]
    """Two-sided, by family."""

    def corrected(self, contest: Contest, p: float | None) -> tuple[float | None, int]:
        """Holm's p of a contest whose own p is `p`, among these; and of how many tests."""
        known = self.p[contest.family]
        if p is None:
            return None, len(known)
        others = [v for key, v in known.items() if key != _key(contest.comparison)]
        return holm([p, *others])[0], len(others) + 1

    def judged(self, contest: Contest) -> Contest:
        """The contest within these."""
        return judged(contest, *self.corrected(contest, contest.comparison.p))


def shown(runs: Sequence[Run], found: Sequence[Contest]) -> Shown:
    """Contests, with all that the runs of these pairs store besides."""
    p: dict[Family, dict[_Key, float]] = {"headline": {}, "detail": {}}
    pairs = {_key(one.comparison)[0] for one in found}
    named = {name for pair in pairs for name in pair}
    for run in runs:
        # The run's models by the labels that the contests have for them.
        labels = {
            label.removeprefix(f"{place}:"): label
            for label in sorted(named)
            for place in run_names(run)
            if label.startswith(f"{place}:")
        }
        mine = []
        for one in stored(run):
            c = one.comparison
            ours, theirs = (labels.get(name, name) for name in (c.candidate, c.baseline))
            mine.append(replace(one, comparison=replace(c, candidate=ours, baseline=theirs)))
        if any(_key(one.comparison)[0] in pairs for one in mine):
            _add(p, mine)
    _add(p, found)
    return Shown(p)


def _add(p: dict[Family, dict[_Key, float]], found: Iterable[Contest]) -> None:
    for one in found:
        if one.comparison.p is not None and not one.refused:
            p[one.family][_key(one.comparison)] = one.comparison.p


def _key(c: Comparison) -> _Key:
    return frozenset((c.candidate, c.baseline)), c.key


# --- several runs of one model (A/A) --------------------------------------------------------------
#
# A run's scores may all be off together (another server, seed, build, judge version), which no
# interval from one run can know.  Where a side has several runs, each sample's score is its mean
# over them, and what runs shift by is added to the error (`stats.run_noise`, `stats.widened`).  A
# side with one run lends the other's noise: one run of another model is no surer than one of this.
# Models that share a run are taken to shift independently, which is cautious where they shift
# together.


def unvaried(sides: Iterable[Side]) -> list[str]:
    """A sentence for each benchmark whose several runs are copies of one another.

    Runs that were answered from one cache repeat nothing, and show no noise where there is some.
    """

    def said(part: Part) -> list[tuple[object, ...]]:
        return [(r.task, r.sample, r.outcome.answers, r.outcome.scores) for r in part.records]

    return [
        f"The {len(parts)} runs of {side.label} do not differ in any answer or score of "
        f"{benchmark_label(name)}: copies, as one cache answers them, measure no noise."
        for side in sides
        for name, parts in side.repeats.items()
        if len(parts) > 1 and all(said(part) == said(parts[0]) for part in parts[1:])
    ]


def _repeated(parts: Sequence[Part], options: Options) -> Sequence[Part]:
    """Runs that repeat one measurement; seeds may differ, nothing else may."""
    first = parts[0]
    for part in parts[1:]:
        same_model(first, part, options.allow_different)
        tasks = [task for task in first.entry.tasks if task in part.entry.tasks]
        check(first, part, tasks, {*options.allow_different, "seed"})
    return parts


def _mean_of(runs: Sequence[Sequence[Record]]) -> Sequence[Record]:
    """Records whose scores are means over the runs that have them.

    What fails in one run and not in another is scored by the others; texts are the first run's.
    """
    if len(runs) == 1:
        return runs[0]
    by_key: dict[tuple[str, str], list[Record]] = {}
    for record in (record for records in runs for record in records):
        by_key.setdefault((record.task, record.sample), []).append(record)
    found = []
    for records in by_key.values():
        scored = [r for r in records if r.outcome.scores]
        if len(records) == 1 or not scored:
            found.append(records[0])
            continue
        values: dict[tuple[str, str], list[float]] = {}
        for record in scored:
            for score in record.outcome.scores:
                values.setdefault((score.metric, score.part), []).append(score.value)
        scores = tuple(
            Score(metric, math.fsum(held) / len(held), part)
            for (metric, part), held in values.items()
        )
        found.append(replace(scored[0], outcome=replace(scored[0].outcome, scores=scores)))
    return found


def _with_noise(
    rows: Sequence[Comparison],
    ours: Sequence[Sequence[Record]],
    theirs: Sequence[Sequence[Record]],
    entry: BenchmarkEntry,
) -> Sequence[Comparison]:
    """Rows of the sides' means with the noise of runs in error, interval and p."""
    sizes = len(ours), len(theirs)
    if max(sizes) < 2:
        return rows
    noises = [
        {**_noises_of_averages(mine, other[0], entry), **_noises(mine, entry)}
        for mine, other in ((ours, theirs), (theirs, ours))
    ]
    found = []
    for row in rows:
        each = [own.get(row.key) for own in noises]
        known = next((noise for noise in each if noise is not None), None)
        if known is None:
            found.append(row)
            continue
        both = [known if noise is None else noise for noise in each]
        wide = widened(row.difference, both, sizes)
        found.append(replace(row, difference=wide, p=p_value(wide)))
    return found


def _noises(runs: Sequence[Sequence[Record]], entry: BenchmarkEntry) -> dict[FigureKey, Noise]:
    """Of figures that are means of samples; nothing where there is one run."""
    if len(runs) < 2:
        return {}
    by_key: dict[FigureKey, list[Mapping[Hashable, float]]] = {}
    for records in runs:
        for of in scores_of(records, [entry]):
            (scores,), (clusters,) = of.scores.values(), of.clusters.values()
            units: dict[Hashable, list[float]] = {}
            for part, value in scores.items():
                units.setdefault(clusters[part], []).append(of.metric.scale * value)
            means = {unit: math.fsum(v) / len(v) for unit, v in units.items()}
            by_key.setdefault(of.key, []).append(means)
    found = {key: run_noise(means) for key, means in by_key.items()}
    return {key: noise for key, noise in found.items() if noise is not None}


def _noises_of_averages(
    runs: Sequence[Sequence[Record]], other: Sequence[Record], entry: BenchmarkEntry
) -> dict[FigureKey, Noise]:
    """The variance of the runs' own averages, which holds their inference noise too."""
    if len(runs) < 2 or not runs[0] or not other:
        return {}
    points: dict[FigureKey, list[float]] = {}
    for records in runs:
        for place, one in paired_averages(records, other, entry.averages, 0.95).items():
            if one.paired.measured.point is not None:
                points.setdefault(FigureKey(entry.name, *place), []).append(
                    one.paired.measured.point
                )
    return {
        key: Noise(statistics.variance(values), len(values))
        for key, values in points.items()
        if len(values) == len(runs)
    }


# --- what has no contest --------------------------------------------------------------------------

Has: TypeAlias = Literal["candidate", "baseline", "figures", "other metrics"]
_NAMED = 6
"""Tasks named in a sentence; the rest is counted."""


@dataclass(frozen=True)
class Uncompared:
    """A benchmark, or some of its tasks, that a candidate and a baseline cannot be compared on.

    A row that is not there is easily overlooked, so what only one side has is named.
    """

    candidate: str
    baseline: str
    benchmark: str
    tasks: tuple[str, ...]
    """Empty: the whole benchmark."""
    has: Has
    """The side that has samples; `figures`: neither, though of both some figure is known; `other
    metrics`: both, but no metric in common."""

    @property
    def sentence(self) -> str:
        """What is not compared and why."""
        listed, more = self.tasks, len(self.tasks) - _NAMED + 1
        if len(self.tasks) > _NAMED:
            listed = (*self.tasks[: _NAMED - 1],)
        names = ", ".join(listed) + (f" and {count(more)} more" if listed != self.tasks else "")
        label = benchmark_label(self.benchmark)
        where = f"Not compared: {label}: {names}" if self.tasks else f"Not compared: {label}"
        ours, theirs = self.candidate, self.baseline
        if self.has == "figures":
            return (
                f"{where}: of {ours} and {theirs} figures are known, but no scores of single "
                f"samples."
            )
        if self.has == "other metrics":
            return f"{where}: {ours} and {theirs} have no metric in common."
        one, none = (ours, theirs) if self.has == "candidate" else (theirs, ours)
        return f"{where}: {one} has samples, {none} has none."

    def to_json(self) -> dict[str, Json]:
        """By field name, with the sentence."""
        return {**asdict(self), "tasks": list(self.tasks), "sentence": self.sentence}


def uncompared(
    runs: Sequence[Run], candidate: str, baselines: Sequence[str], options: Options
) -> list[Uncompared]:
    """What `contests`, called the same way, has no row of.

    Raises:
        ComparisonError: a name that is unknown or ambiguous.
    """
    ours = find(runs, candidate, repeats=options.repeats)
    found: list[Uncompared] = []
    for name in baselines:
        found += _between(ours, find(runs, name, repeats=options.repeats))
    return found


def _between(ours: Side, theirs: Side) -> Iterator[Uncompared]:
    def made(benchmark: str, has: Has, tasks: Iterable[str] = ()) -> Uncompared:
        return Uncompared(ours.label, theirs.label, benchmark, tuple(tasks), has)

    mine, other = _tasks(ours), _tasks(theirs)
    for benchmark in dict.fromkeys([*mine, *other]):
        if benchmark not in other:
            yield made(benchmark, "candidate")
        elif benchmark not in mine:
            yield made(benchmark, "baseline")
        else:
            shared = [task for task in mine[benchmark] if task in other[benchmark]]
            common = _common(*(side.parts[benchmark].entry for side in (ours, theirs))).metrics
            apart = [task for task in shared if not common.get(task)]
            kinds: tuple[tuple[Has, list[str]], ...] = (
                ("candidate", [t for t in mine[benchmark] if t not in shared]),
                ("baseline", [t for t in other[benchmark] if t not in shared]),
                ("other metrics", apart),
            )
            yield from (made(benchmark, has, tasks) for has, tasks in kinds if tasks)
    known = _with_figures(ours) & _with_figures(theirs)
    yield from (made(b, "figures") for b in sorted(known - {*mine, *other}))


def _tasks(side: Side) -> dict[str, list[str]]:
    """Tasks with records, by benchmark entry."""
    return {
        name: list(
            dict.fromkeys(r.task for p in side.repeats.get(name, (part,)) for r in p.records)
        )
        for name, part in side.parts.items()
    }


def _with_figures(side: Side) -> set[str]:
    """Benchmark entries that the side's runs have a figure of."""
    return {
        f.key.benchmark
        for part in side.parts.values()
        for f in part.run.figures
        if f.model == part.model and f.value.point is not None
    }


# --- JSON -----------------------------------------------------------------------------------------


def contest_json(contest: Contest) -> dict[str, Json]:
    """The row of results.json, and what the family adds to it."""
    return {
        **comparison_row(contest.comparison),
        "headline": contest.family == "headline",
        "family": contest.family,
        "tests": contest.tests,
        "p_adjusted": contest.p_adjusted,
        "mde": contest.mde,
        "verdict": contest.verdict,
        "primary": contest.primary,
        "sentence": contest_sentence(contest),
        "cautions": [caution_json(caution) for caution in contest.cautions],
    }


def caution_json(caution: Caution) -> dict[str, Json]:
    """Its kind (`local_judge`, `settings_differ`, ...) and its fields."""
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(caution).__name__).lower()
    if not isinstance(caution, JudgeUnfit):
        return {"kind": kind, **asdict(caution)}
    reasons = [
        {
            "measure": reason.measure,
            "point": reason.value.point,
            "low": reason.value.low,
            "high": reason.value.high,
            "limit": reason.limit,
            "at_least": reason.at_least,
        }
        for reason in caution.reasons
    ]
    return {"kind": kind, "judge": caution.judge, "reasons": reasons}
