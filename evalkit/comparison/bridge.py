"""Comparisons and figures across two judges, by answers that both judged.

    a bridge (`BenchmarkEntry.bridge`): a run by the earlier judge, a sample of whose answers the
    second judge judged too (`Outcome.rejudged`)

    run by the second judge ─┬─ against the bridge's models ─▶ Comparison
    + bridge                 └─ on the earlier judge's scale ─▶ Figure

Judges differ by an offset that hardly depends on who answered (WildBench, GPT-4 Turbo and GPT-4o:
0.50 to 0.69 on a scale of 10), while the slope of one judge's scores of an answer on the other's is
well below 1, since both are noisy.  So another model's figure is carried over by the offset alone,
weight 1 in `ppi_mean`: a weight below 1 would draw every model towards those of the bridge.  Only
where the doubly judged answers are the model's own is the slope right, and the interval narrower
(`control_variate_mean`).

A difference by the offset is at the same time the difference by the second judge alone, estimated
without any assumption on other models: it needs that judge's mean over the bridge's answers, which
the earlier judge's scores of all of them make precise.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TypeAlias

from evalkit import catalogue
from evalkit.comparison.figures import Scores, scores_of
from evalkit.comparison.guard import differences, judge_model
from evalkit.comparison.resolve import Part
from evalkit.core import Record
from evalkit.core.figures import (
    Bridged,
    Comparison,
    Estimator,
    Figure,
    FigureKey,
    Measured,
    Method,
    Unit,
)
from evalkit.core.run import BenchmarkEntry, Run
from evalkit.draw import (
    Cell,
    Column,
    Table,
    bounds,
    ci,
    count,
    difference,
    figure_label,
    significant,
)
from evalkit.errors import ComparisonError
from evalkit.stats.means import mean, p_value
from evalkit.stats.ppi import control_variate_mean, ppi_mean

__all__ = [
    "FEWEST",
    "LEAST_CORRELATION",
    "Across",
    "Relation",
    "across_judges",
    "figures",
    "relation_table",
    "relations",
]

LEAST_CORRELATION = 0.5
"""Of the two judges' scores of an answer.  Below it, at equal spread, they differ by more than the
earlier judge's scores vary, and a bridge is less precise than no second judge at all:
Var(y - x) = 2(1 - r)·Var(y) > Var(y)."""
FEWEST = 20
"""Answers that both judges scored: with fewer the correlation itself is hardly known."""


# --- which comparisons need a bridge ------------------------------------------------------------


@dataclass(frozen=True)
class Across:
    """Candidate and baseline with different judges, and the bridge between these."""

    alike: tuple[Part, Part]
    """Both as the second judge judged them: what the guard compares."""
    earlier: Part
    """The side that the earlier judge judged; it has the bridge."""
    later: Part
    """The other side."""

    @property
    def judges(self) -> tuple[str, str]:
        """The judge that scored the later side, and the earlier one."""
        return _who(self.later), _who(self.earlier)

    def rows(
        self,
        rows: Sequence[Comparison],
        records: Sequence[Record],
        entry: BenchmarkEntry,
        earlier: str,
    ) -> list[Comparison]:
        """The rows on the earlier judge's scale.

        θ = mean(c - b) over the answers of both sides + mean(b - b') over the doubly judged ones,
        with the scores c by the second judge, b by the earlier judge, and b' by the second.  Wins
        and losses are counted where one judge scored both.  A row that is not judged (a length)
        stays as it is.

        Args:
            rows: As `comparison.figures.comparisons` makes them of `records`.
            records: Of both sides, under their labels.
            entry: What both declare.
            earlier: The label of the earlier side.
        """
        known = {of.key: of for of in scores_of(records, [entry])}
        theirs = [r for r in records if r.model == earlier]
        again = {of.key: of for of in scores_of(_rejudged(theirs), [entry])}
        found = []
        for row in rows:
            of = known.get(row.key)
            if not catalogue.unit(row.unit).has_direction:
                found.append(row)
            elif of is None:
                why = "averages over tasks are not bridged"
                nothing = _undefined(row.difference.n, row.difference.level, why)
                found.append(replace(row, difference=nothing, p=None, wins=0, losses=0, ties=0))
            else:
                both = _doubles(of, again.get(row.key))
                found.append(_across(row, of, both, earlier, self.judges))
        return found


def across_judges(candidate: Part, baseline: Part) -> Across | None:
    """What joins two sides that different judges judged; None: one judge, or no bridge."""
    if _judged_alike(candidate, baseline):
        return None
    second = _by_second(baseline)
    if second is not None and _judged_alike(candidate, second):
        return Across((candidate, second), baseline, candidate)
    second = _by_second(candidate)
    if second is not None and _judged_alike(second, baseline):
        return Across((second, baseline), candidate, baseline)
    return None


def _who(part: Part) -> str:
    named = judge_model(part) or part.description.judging.who or ", ".join(part.entry.judges)
    return named or "an unknown judge"


def _judged_alike(one: Part, other: Part) -> bool:
    tasks = [task for task in one.entry.tasks if task in other.entry.tasks]
    differ = (d.field for task in tasks for d in differences(one, other, task)[0])
    return not any(field.split(".")[0] == "judge" for field in differ)


def _by_second(part: Part) -> Part | None:
    """The part as its bridge's second judge judged it."""
    entry, manifest = part.entry, part.run.manifest
    if entry.bridge is None:
        return None
    after = {"judge": entry.bridge.judge, "description": entry.bridge.description, "bridge": None}
    changed = {
        "benchmarks": tuple(
            b.model_copy(update=after) if b.name == entry.name else b for b in manifest.benchmarks
        ),
        "evidence": tuple(e for e in manifest.evidence if e.entry != entry.name),
    }
    return replace(part, run=replace(part.run, manifest=manifest.model_copy(update=changed)))


# --- scores of both judges ----------------------------------------------------------------------

_Key: TypeAlias = tuple[str, str, str]
"""Model, sample, part."""


@dataclass(frozen=True)
class _Doubles:
    """One metric's scores that two judges gave to the same answers, in the metric's unit."""

    earlier: Mapping[_Key, float]
    later: Mapping[_Key, float]
    clusters: Mapping[_Key, Hashable]

    @property
    def models(self) -> tuple[str, ...]:
        """Whose answers they are."""
        return tuple(dict.fromkeys(model for model, _, _ in self.earlier))

    def of(self, models: Collection[str]) -> _Doubles:
        """Those of some models' answers."""
        kept = [key for key in self.earlier if key[0] in models]
        earlier, later = ({key: of[key] for key in kept} for of in (self.earlier, self.later))
        return _Doubles(earlier, later, {key: self.clusters[key] for key in kept})

    @property
    def correlation(self) -> float | None:
        """Pearson's, each model's scores about their own means; None: undefined."""
        pairs: list[tuple[float, float]] = []
        for model in self.models:
            mine = [key for key in self.earlier if key[0] == model]
            a, b = ([of[key] for key in mine] for of in (self.earlier, self.later))
            pairs += [(x - fmean(a), y - fmean(b)) for x, y in zip(a, b, strict=True)]
        spread = math.fsum(x * x for x, _ in pairs) * math.fsum(y * y for _, y in pairs)
        return math.fsum(x * y for x, y in pairs) / math.sqrt(spread) if spread > 0 else None

    @property
    def refusal(self) -> str:
        """Why they carry nothing over; empty where they do."""
        n, r = len(self.earlier), self.correlation
        if n < FEWEST:
            return f"{n} scores by both judges; expected {FEWEST} or more"
        if r is None:
            return "one of the two judges gave every answer the same score"
        if r < LEAST_CORRELATION:
            return (
                f"the two judges' scores of an answer correlate by {r:.2f}; expected "
                f"{LEAST_CORRELATION} or more, since below it their differences vary more than the "
                f"scores do"
            )
        return ""

    def carried(self, value: Measured, judges: tuple[str, str], *, own: bool) -> Measured:
        """What they carried over, marked as such; the scoring judge first."""
        r = self.correlation
        assert r is not None, "a refusal says so"
        fact = Bridged(*judges, len(self.earlier), r, self.models, own)
        method = replace(value.method, estimator=Estimator.BRIDGED, bridged=fact, detail="")
        return replace(value, method=method)


def _doubles(earlier: Scores | None, later: Scores | None) -> _Doubles:
    """Of each model, the scores that both judges gave."""
    if earlier is None or later is None:
        return _Doubles({}, {}, {})
    keys = {
        (model, *item): (model, item)
        for model, scores in later.scores.items()
        for item in scores
        if item in earlier.scores.get(model, {})
    }
    before, after = (
        {key: of.metric.scale * of.scores[m][item] for key, (m, item) in keys.items()}
        for of in (earlier, later)
    )
    return _Doubles(before, after, {k: earlier.clusters[m][item] for k, (m, item) in keys.items()})


def _rejudged(records: Sequence[Record]) -> list[Record]:
    """The doubly judged records, with the second judge's scores."""
    return [
        replace(r, outcome=replace(r.outcome, scores=r.outcome.rejudged))
        for r in records
        if r.outcome.rejudged
    ]


def _undefined(n: int, level: float, why: str) -> Measured:
    method = Method(Estimator.BRIDGED, detail=why)
    return Measured(None, None, None, None, level, n, 0, 0, method)


# --- comparisons --------------------------------------------------------------------------------


def _across(
    row: Comparison, of: Scores, both: _Doubles, earlier: str, judges: tuple[str, str]
) -> Comparison:
    later = row.candidate if earlier == row.baseline else row.baseline
    sign = 1.0 if later == row.candidate else -1.0
    ours, theirs = (
        {item: of.metric.scale * value for item, value in of.scores[model].items()}
        for model in (later, earlier)
    )
    common = {("", *item): c - theirs[item] for item, c in ours.items() if item in theirs}
    better = sign if row.higher_is_better else -sign
    fair = [better * (ours[k[1:]] - b) for k, b in both.later.items() if k[1:] in ours]
    level, missing = row.difference.level, row.difference.n_missing
    units = {key: of.clusters[later][key[1:]] for key in common}
    refusal = both.refusal or ("" if common else "no common samples")
    if refusal:
        value = _undefined(len(common), level, refusal)
    else:
        value = _offset(both, common, units, level, judges).times(sign)
    return replace(
        row,
        difference=replace(value, n_missing=missing),
        p=p_value(value),
        wins=sum(d > 0 for d in fair),
        losses=sum(d < 0 for d in fair),
        ties=sum(d == 0 for d in fair),
    )


def _offset(
    both: _Doubles,
    scores: Mapping[_Key, float],
    units: Mapping[_Key, Hashable],
    level: float,
    judges: tuple[str, str],
) -> Measured:
    """Mean of the second judge's `scores`, plus by how much the earlier judge scores higher."""
    predicted = {**both.later, **scores}
    value = ppi_mean(both.earlier, predicted, {**both.clusters, **units}, level, judge_weight=1.0)
    found = both.carried(value.measured, judges, own=False)
    return replace(found, n=len(scores), n_units=len({*units.values()}))


# --- how two judges relate ----------------------------------------------------------------------


@dataclass(frozen=True)
class Relation:
    """What two judges gave the same answers, by a task's primary metric."""

    key: FigureKey
    unit: Unit
    model: str
    """Whose answers; several, separated by commas, where it is of all."""
    offset: Measured
    """The earlier judge's score less the second's."""
    correlation: float | None
    """Pearson's, of their scores of an answer, within models; None: undefined."""
    refusal: str
    """Why nothing is carried over; empty where it is."""


def relations(run: Run) -> Iterator[Relation]:
    """Of each task of a bridge: all models' answers together, then each model's."""
    for entry in run.benchmarks:
        records = [r for r in run.records if r.benchmark == entry.name]
        if entry.bridge is None:
            continue
        again = {of.key: of for of in scores_of(_rejudged(records), [entry])}
        for of in scores_of(records, [entry]):
            if of.metric.primary and of.key.category is None:
                yield from _relations(of, _doubles(of, again.get(of.key)))


def _relations(of: Scores, both: _Doubles) -> Iterator[Relation]:
    each = [both.of((model,)) for model in both.models] if len(both.models) > 1 else []
    for doubles in (both, *each):
        keys = list(doubles.earlier)
        apart = [doubles.earlier[key] - doubles.later[key] for key in keys]
        offset = mean(apart, [doubles.clusters[key] for key in keys], 0.95)
        models = ", ".join(doubles.models)
        yield Relation(of.key, of.metric.unit, models, offset, doubles.correlation, doubles.refusal)


def relation_table(found: Sequence[Relation]) -> Table:
    """One row each."""
    columns = (
        Column("Benchmark", header=True),
        Column("Answers of"),
        Column("Judged by both", "right"),
        Column("Offset", "right"),
        Column(ci(0.95), "right"),
        Column("Correlation", "right"),
        Column("Bridge"),
    )
    note = (
        "Offset: the earlier judge's score less the second's, by the task's primary metric. "
        f"Correlation: Pearson's, of their scores of an answer, within models; "
        f"{LEAST_CORRELATION:g} or more of {FEWEST} or more scores make a bridge."
    )
    rows = [
        (
            Cell.text(figure_label(one.key)),
            Cell.text(one.model),
            Cell(one.offset.n, count(one.offset.n)),
            Cell(one.offset.point, difference(one.offset.point, one.unit), one.offset.how),
            Cell.text(bounds(one.offset, one.unit, signed=True)),
            Cell(one.correlation, significant(one.correlation)),
            Cell.text("no" if one.refusal else "yes", tone="warning" if one.refusal else ""),
        )
        for one in found
    ]
    return Table.of("Bridge between judges", columns, rows, note)


# --- figures ------------------------------------------------------------------------------------


def figures(later: Part, earlier: Sequence[Part], level: float) -> Iterator[Figure]:
    """Judged figures of a model that the second judge judged, on the earlier judge's scale.

    Where the earlier judge scored the model's own answers (equal texts), by these; else by the
    doubly judged answers of the bridge's models.  Categories, and figures that are no means of
    scores, have none; nor has what the earlier judge scored completely.

    Args:
        later: The model in its own run.
        earlier: Every model of the bridge.
        level: Confidence level, between 0 and 1.

    Raises:
        ComparisonError: another judge than the bridge's second judged it.
    """
    across = across_judges(later, earlier[0])
    if across is None:
        raise ComparisonError(
            f"{later.run.folder}: {later.benchmark!r} was not judged as the second judge of the "
            f"bridge judged it; name a run that was"
        )
    judges, entry = across.judges, later.entry
    theirs = [record for part in earlier for record in part.records]
    answers = {(r.task, r.sample, r.outcome.answers) for r in later.records}
    same = [
        replace(r, model=later.model)
        for r in theirs
        if (r.task, r.sample, r.outcome.answers) in answers
    ]
    known, again, own = (
        {of.key: of for of in scores_of(records, [entry])}
        for records in (theirs, _rejudged(theirs), same)
    )
    for of in scores_of(later.records, [entry]):
        key, scale = of.key, of.metric.scale
        if key.category is not None or not catalogue.unit(of.metric.unit).has_direction:
            continue
        scores = of.scores[later.model]
        mine = _doubles(own.get(key), of)
        if len(mine.earlier) == len(scores):
            continue
        others = _doubles(known.get(key), again.get(key))
        if not mine.refusal:
            every = {(later.model, *item): scale * value for item, value in scores.items()}
            value = control_variate_mean(mine.earlier, every, mine.clusters, level)
            value = mine.carried(value, judges, own=True)
        elif not others.refusal:
            every = {("", *item): scale * value for item, value in scores.items()}
            units = {("", *item): unit for item, unit in of.clusters[later.model].items()}
            value = _offset(others, every, units, level, judges)
        else:
            value = _undefined(len(scores), level, others.refusal)
        value = replace(value, n=len(scores), n_missing=of.missing(later.model))
        yield Figure(later.model, key, of.metric.unit, value)
