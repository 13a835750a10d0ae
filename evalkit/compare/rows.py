"""Comparisons as they may be stated: over several runs, guarded, with what the data can resolve.

    runs, names ─ sides ─▶ parts ─ guard ─▶ records ─ comparisons ─▶ rows with a sentence each

The headline set is the primary metric of every task, or the average that tasks are details of
(`headline`), whole: Holm's correction is over it, for all baselines together.  Everything else
(other metrics, categories, tasks within a group) is exploration and is corrected as a set of its
own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from evalkit.compare.averages import tasks_below
from evalkit.compare.comparisons import comparisons, degrees, is_hardly_known
from evalkit.compare.headline import headlines, primary
from evalkit.compare.old_cautions import Cautions, is_weak, marks, remarks
from evalkit.compare.old_guard import Difference, check, differences
from evalkit.compare.repeats import Repeated, merged, with_noise
from evalkit.compare.scores import Metrics
from evalkit.compare.sides import Part, Side, averages_of, find, fingerprint_of, metrics_of
from evalkit.compare.words import Verdict, row_label, sentence, verdict
from evalkit.core import Comparison, Json, Metric, Record, Run
from evalkit.errors import ComparisonError
from evalkit.stats import holm, minimum_detectable_effect
from evalkit.store.codec import encode

__all__ = ["Options", "Row", "compare", "compare_sides", "resolved", "restated", "stated"]

_DIFFERENT = "different "


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
    the interval (see `repeats`)."""


@dataclass(frozen=True)
class Row:
    """One comparison and what may be said of it."""

    comparison: Comparison
    headline: bool
    """A headline figure: part of the set that Holm's correction is over (see `headline`)."""
    p_adjusted: float | None
    """By Holm; None where there is no p."""
    mde: float | None
    """Smallest true difference found with the wanted power, in the comparison's unit."""
    verdict: Verdict
    sentence: str
    flags: tuple[str, ...] = field(default=())
    """What speaks against it (`cautions`), settings that differ and were allowed to, and settings
    that only one side states."""
    primary: bool = False
    """The metric that speaks for its task or group, be it a headline figure or a detail."""
    tests: int = 1
    """Comparisons that Holm's correction was over, this one included."""

    @property
    def unlike(self) -> tuple[str, ...]:
        """Settings that differ and were allowed to: said wherever the row shows."""
        return tuple(
            flag.removeprefix(_DIFFERENT) for flag in self.flags if flag.startswith(_DIFFERENT)
        )

    @property
    def refused(self) -> bool:
        """Stored, but its sides were not measured alike: it is no test."""
        return bool(self.unlike) and self.p_adjusted is None

    @property
    def remarks(self) -> list[str]:
        """A sentence for each thing that must be said with its verdict, besides a weak judge."""
        return [*(f"Measured differently: {what}." for what in self.unlike), *remarks(self.flags)]

    @property
    def weak(self) -> bool:
        """A model of the suite judged: the verdict says what it prefers, not what is better."""
        return any(is_weak(flag) for flag in self.flags)

    @property
    def marks(self) -> str:
        """What a verdict's word needs beside it, in brackets; empty where nothing."""
        return marks(self.flags, different=bool(self.unlike))

    def to_json(self) -> dict[str, Json]:
        """The row of results.json, and the rest by its name."""
        row: dict[str, Json] = encode(self.comparison)
        mine = {k: v for k, v in asdict(self).items() if k != "comparison"}
        return {**row, **mine, "flags": list(self.flags)}


def compare(
    runs: Sequence[Run], candidate: str, baselines: Sequence[str], options: Options
) -> list[Row]:
    """A candidate against baselines on every benchmark they share.

    Args:
        runs: Sealed or not: only records are read.
        candidate: `MODEL` or `RUN:MODEL`.
        baselines: The same.
        options: Level, power, allowed differences.

    Returns:
        By baseline, benchmark, task, metric; categories after the whole.

    Raises:
        ComparisonError: a name that is unknown or ambiguous, sides without a common benchmark,
            or scores that were not made alike.
    """
    ours, *others = (find(runs, name, repeats=options.repeats) for name in (candidate, *baselines))
    return compare_sides(ours, others, options)


def compare_sides(ours: Side, others: Sequence[Side], options: Options) -> list[Row]:
    """As `compare`, of sides that are found already."""
    found: list[_Found] = []
    known = Cautions()
    for theirs in others:
        found += [_cautioned(one, (ours, theirs), known) for one in _against(ours, theirs, options)]
    return _adjusted(found, options)


def _cautioned(found: _Found, sides: tuple[Side, Side], known: Cautions) -> _Found:
    c = found.comparison
    parts = [part for side in sides for part in side.repeats[c.benchmark]]
    return replace(found, flags=(*known.flags(parts, c.unit), *found.flags))


@dataclass(frozen=True)
class _Found:
    """A comparison before the correction."""

    comparison: Comparison
    headline: bool
    primary: bool
    flags: tuple[str, ...]
    speaks: bool
    """The metric is a headline one, be the row the whole or a category."""


def stated(run: Run, headline: Collection[tuple[str, str, str]], power: float = 0.8) -> list[Row]:
    """The comparisons that a run stores, as they may be stated.

    The figures are those of results.json, untouched.  With one candidate the rows say what
    `compare` says of the same run; with several, Holm's correction is over all of them.  What
    the guard would refuse is here left without a verdict, and outside of the correction.

    Args:
        run: Sealed.
        headline: (benchmark, task, metric) of the headline figures.
        power: Of the MDE.

    Returns:
        In the run's order.
    """
    options = Options(run.comparisons[0].level if run.comparisons else 0.95, power)
    known = Cautions()
    unlike = [_unlike(run, c) for c in run.comparisons]
    primary = [_is_headline(c, headline) for c in run.comparisons]
    every = list(zip(run.comparisons, primary, unlike, strict=True))
    found = [
        _Found(c, is_primary, is_primary, known.flags(_parts(run, c), c.unit), _speaks(c, headline))
        for c, is_primary, why in every
        if not why
    ]
    alike = iter(_adjusted(found, options))
    return [_refused(c, why, headline) if why else next(alike) for c, _, why in every]


def _speaks(c: Comparison, headline: Collection[tuple[str, str, str]]) -> bool:
    return (c.benchmark, c.task, c.metric) in headline


def _is_headline(c: Comparison, headline: Collection[tuple[str, str, str]]) -> bool:
    return c.category is None and _speaks(c, headline)


def _unlike(run: Run, c: Comparison) -> list[Difference]:
    mine, other = _parts(run, c)
    return differences(mine, other, c.task)[0]


def _parts(run: Run, c: Comparison) -> tuple[Part, Part]:
    return Part(run, c.candidate, c.benchmark), Part(run, c.baseline, c.benchmark)


def _refused(
    c: Comparison, why: Sequence[Difference], headline: Collection[tuple[str, str, str]]
) -> Row:
    label = row_label(c, speaks=_speaks(c, headline))
    text = (
        f"{c.candidate} and {c.baseline} were not measured alike on {label}: "
        f"{'; '.join(str(d) for d in why)}."
    )
    flags = tuple(f"{_DIFFERENT}{d}" for d in why)
    return Row(c, _is_headline(c, headline), None, None, "undefined", text, flags)


def _against(ours: Side, theirs: Side, options: Options) -> Iterator[_Found]:
    if ours.label == theirs.label:
        raise ComparisonError(f"{ours.label!r} is compared with itself; name another baseline")
    shared = [name for name in ours.parts if name in theirs.parts]
    if not shared:
        raise ComparisonError(
            f"{ours.label!r} has records of {_listed(ours)}, {theirs.label!r} of "
            f"{_listed(theirs)}: no benchmark is common; run both with one suite, or name its "
            f"entries alike"
        )
    for name in shared:
        yield from _benchmark(ours, theirs, name, options)


def _listed(side: Side) -> str:
    return ", ".join(side.parts) or "nothing"


def _benchmark(ours: Side, theirs: Side, name: str, options: Options) -> Iterator[_Found]:
    mine, other = ours.parts[name], theirs.parts[name]
    metrics = _common_metrics(mine, other)
    allowed = check(mine, other, list(metrics), options.allow_different)
    flags = {task: _flags(mine, other, task, allowed.get(task, ())) for task in metrics}
    several = [_several(side.repeats[name], options) for side in (ours, theirs)]
    sides = [
        [list(_as(part, side.label, metrics)) for part in parts]
        for parts, side in zip(several, (ours, theirs), strict=True)
    ]
    records = [
        *_as(merged(several[0]), ours.label, metrics),
        *_as(merged(several[1]), theirs.label, metrics),
    ]
    roles = {ours.label: "candidate", theirs.label: "baseline"}
    by_entry: Metrics = {name: metrics}
    averages = [a for a in averages_of(mine) if a in averages_of(other)]
    for average in averages:
        flags[average.task] = _united(
            flags.get(task, ()) for task in tasks_below(average, averages)
        )
    first, speaks = headlines(metrics, averages), primary(metrics, averages)
    rows = comparisons(records, by_entry, roles, options.level, {name: averages})
    for row in with_noise(rows, Repeated(sides[0], sides[1], by_entry, averages)):
        place, whole = (row.task, row.metric), row.category is None
        is_first = place in first
        yield _Found(row, whole and is_first, whole and place in speaks, flags[row.task], is_first)


def _several(parts: Sequence[Part], options: Options) -> Sequence[Part]:
    """Runs that repeat one measurement; seeds may differ, nothing else may."""
    first = parts[0]
    for part in parts[1:]:
        _check_same_model(first, part, options)
        tasks = [task for task in metrics_of(first) if task in metrics_of(part)]
        check(first, part, tasks, {*options.allow_different, "seed"})
    return parts


def _check_same_model(first: Part, part: Part, options: Options) -> None:
    """Two checkpoints under one name repeat nothing."""
    marks = [fingerprint_of(one) for one in (first, part)]
    if None in marks or marks[0] == marks[1] or "fingerprint" in options.allow_different:
        return
    places = [one.run.folder for one in (first, part)]
    raise ComparisonError(
        f"{first.model!r} is not the same model in {places[0]} (fingerprint {marks[0]!r}) and "
        f"{places[1]} ({marks[1]!r}), and runs that repeat a measurement ask one; compare them as "
        f"{places[0].name}:{first.model} and {places[1].name}:{part.model}, or, if the weights "
        f"answer alike: --allow-different fingerprint"
    )


def _united(flags: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(flag for found in flags for flag in found))


def _common_metrics(mine: Part, other: Part) -> dict[str, tuple[Metric, ...]]:
    """Of tasks both have, the metrics both have."""
    ours, theirs = metrics_of(mine), metrics_of(other)
    return {
        task: tuple(m for m in found if m.name in {t.name for t in theirs[task]})
        for task, found in ours.items()
        if task in theirs
    }


def _as(part: Part, label: str, metrics: Mapping[str, Sequence[Metric]]) -> Iterator[Record]:
    """A part's records of the common tasks under its side's name, with the common scores."""
    names = {task: {m.name for m in found} for task, found in metrics.items()}
    for record in part.records:
        if record.task in names:
            kept = tuple(s for s in record.outcome.scores if s.metric in names[record.task])
            yield replace(record, model=label, outcome=replace(record.outcome, scores=kept))


def _flags(mine: Part, other: Part, task: str, allowed: Sequence[Difference]) -> tuple[str, ...]:
    _, unknown = differences(mine, other, task)
    return (
        *(f"{_DIFFERENT}{d}" for d in allowed),
        *(f"stated by one side only: {d.field}" for d in unknown),
    )


def _adjusted(found: Sequence[_Found], options: Options) -> list[Row]:
    rows: dict[int, Row] = {}
    for is_headline in (True, False):
        places = [i for i, one in enumerate(found) if one.headline == is_headline]
        p_values = [found[i].comparison.p for i in places]
        tests = sum(p is not None for p in p_values)
        for i, p in zip(places, holm(p_values), strict=True):
            rows[i] = _row(found[i], p, options, tests)
    return [rows[i] for i in range(len(found))]


def _row(found: _Found, p: float | None, options: Options, tests: int) -> Row:
    c = found.comparison
    mde = resolved(c.standard_error, degrees(c), options)
    row = Row(c, found.headline, p, mde, "unclear", "", found.flags, found.primary, tests)
    return restated(row, options.level, speaks=found.speaks)


def restated(row: Row, level: float, *, speaks: bool | None = None) -> Row:
    """The row with verdict and sentence that its adjusted p allows.

    Args:
        row: Its p_adjusted counts.
        level: At which it must hold.
        speaks: Its metric need not be named; default: as for a headline figure.
    """
    c, p = row.comparison, row.p_adjusted
    said = verdict(c)
    if said not in ("unclear", "undefined") and p is not None and p > 1 - level:
        said = "unclear"
    label = row_label(c, speaks=row.headline if speaks is None else speaks)
    text = sentence(c, label, weak=row.weak, resolves=row.mde, said=said)
    return replace(row, verdict=said, sentence=" ".join([text, *row.remarks]))


def resolved(error: float | None, df: float | None, options: Options) -> float | None:
    """The smallest true difference that the test of a row finds with the wanted power.

    None without an error, and where it rests on so few units that it is hardly known itself.
    """
    if is_hardly_known(df):
        return None
    alpha, power = 1 - options.level, options.power
    return minimum_detectable_effect(error, alpha=alpha, power=power, df=df)
