"""Do the data carry a claim?  Supported, not supported or contradicted, and what may be said.

Every part of a claim (one baseline on one task) must hold: the test is an intersection-union
test, so each part is tested at its own level and needs no correction (Berger 1982).  That some
part contradicts the claim does need one: Holm's, over the parts.

- better, worse: the two-sided interval excludes zero (or the amount named) on that side;
- equal: two one-sided tests, so that the interval of level 1 - 2·alpha lies within the margin
  (Schuirmann 1987);
- not worse: non-inferiority with the margin (`stats.non_inferiority`);
- best: better than every other model; one that is known by published figures cannot be tested.

A claim on a leaderboard as a whole is about its average; on any other benchmark, about each of its
headline figures (`headline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

from evalkit.compare.claim_text import Claim, Names, Place, parse
from evalkit.compare.comparisons import degrees
from evalkit.compare.doubts import damages
from evalkit.compare.headline import own_figure
from evalkit.compare.rows import Options, Row, compare, differently
from evalkit.compare.sides import averages_of, find, metrics_of, names
from evalkit.compare.words import (
    benchmark_label,
    bounds,
    figure_label,
    level_text,
    metric_words,
    row_label,
    side_word,
    unit_text,
    verdict,
)
from evalkit.errors import ComparisonError
from evalkit.protocols import Average
from evalkit.stats import MarginRule, holm, intersection_union, non_inferiority, one_sided
from evalkit.tables import difference, figure
from evalkit.types import Comparison, Json, Run

__all__ = ["ClaimResult", "check_claim"]

Answer: TypeAlias = Literal["supported", "not supported", "contradicted"]
ALPHA = 0.05
"""One-sided error of `equal` and `not worse`, as the gate's default."""
_SPANS = {"percent": 100.0, "points": 9.0}
"""Largest difference of one sample's scores: bounds the error where all samples agree."""


@dataclass(frozen=True)
class ClaimResult:
    """What the data say to a claim."""

    claim: str
    answer: Answer
    reasons: tuple[str, ...]
    """One sentence a part."""
    suggestion: str
    """What may be said instead, or as it stands; empty where nothing may."""
    p: float | None = None
    """One-sided p of the whole claim: the largest of its parts' (`stats.intersection_union`)."""

    def to_json(self) -> dict[str, Json]:
        """By field name."""
        return asdict(self) | {"reasons": list(self.reasons)}


def check_claim(
    runs: Sequence[Run], text: str, options: Options, *, accept_damaged: bool = False
) -> ClaimResult:
    """Check a claim against stored runs.

    Args:
        runs: Where the evidence is.
        text: See `claim_text`.
        options: Level of the intervals, settings that may differ.
        accept_damaged: Judge on evidence that was found damaged, too.

    Raises:
        ComparisonError: no claim, unknown names, or scores that were not made alike.
    """
    claim = parse(text, _names(runs))
    known = [*names(runs), *_published(runs)]
    others = claim.others or tuple(n for n in known if n != claim.subject)
    if not others:
        raise ComparisonError(f"{claim.subject!r} is the only model; a claim needs another")
    published = [n for n in (claim.subject, *others) if n in _published(runs)]
    asked = [] if claim.subject in published else [n for n in others if n not in published]
    rows = _rows(runs, claim, asked, options)
    parts = _corrected([_part(row, claim, runs) for row in rows], _level(claim, options))
    missing = [*_missing(rows, claim, asked), *_without_samples(runs, claim, asked)]
    damage = [] if accept_damaged else list(_damaged(runs, {claim.subject, *others}))
    shown = _only_published(runs, claim, published) if published else ()
    parts += [_Part("not supported", why) for why in (*missing, *damage, *shown)]
    return ClaimResult(
        text,
        _together([part.answer for part in parts]),
        tuple(part.reason for part in parts),
        "" if damage else " ".join(row.sentence for row in rows),
        intersection_union([part.p for part in parts]).p,
    )


def _rows(runs: Sequence[Run], claim: Claim, others: Sequence[str], options: Options) -> list[Row]:
    """What the claim is about."""
    if not others:
        return []
    parts = find(runs, claim.subject, repeats=options.repeats).parts
    own = {name: own_figure(averages_of(part)) for name, part in parts.items()}
    found = compare(runs, claim.subject, others, options)
    return [row for row in found if _concerns(row, claim, own.get(row.comparison.benchmark))]


def _together(answers: Sequence[Answer]) -> Answer:
    if "contradicted" in answers:
        return "contradicted"
    return "supported" if answers and set(answers) == {"supported"} else "not supported"


# --- names --------------------------------------------------------------------------------------


def _names(runs: Sequence[Run]) -> Names:
    models = [*names(runs), *_published(runs)]
    for run in runs:
        own = dict.fromkeys(record.model for record in run.records)
        models += [f"{run.folder.name}:{name}" for name in own]
    places: dict[str, Place] = {}
    for run in runs:
        for model in dict.fromkeys(record.model for record in run.records):
            for benchmark, part in find([run], model).parts.items():
                for name in dict.fromkeys((benchmark, benchmark_label(benchmark))):
                    places |= _ways(name, Place(benchmark), metrics_of(part))
                    places |= _averages(name, Place(benchmark), averages_of(part))
    for run in runs:
        for e in run.estimates:
            for name in (e.benchmark, benchmark_label(e.benchmark)):
                places.setdefault(name, Place(e.benchmark))
                places.setdefault(f"{name}/{e.task}", Place(e.benchmark, e.task))
    return Names(tuple(dict.fromkeys(models)), places)


def _ways(name: str, place: Place, metrics: Mapping[str, Sequence[object]]) -> dict[str, Place]:
    found = {name: place}
    for task, measured in metrics.items():
        own = Place(place.benchmark, task)
        found[f"{name}/{task}"] = own
        for metric in measured:
            called = getattr(metric, "name", "")
            found[f"{name}/{task} {called}"] = Place(place.benchmark, task, called)
            if len(metrics) == 1:
                found[f"{name} {called}"] = Place(place.benchmark, task, called)
    return found


def _averages(name: str, place: Place, averages: Sequence[Average]) -> dict[str, Place]:
    found: dict[str, Place] = {}
    for average in averages:
        task, metric = average.task, average.metric.name
        found.setdefault(f"{name}/{task}", Place(place.benchmark, task))
        found[f"{name}/{task} {metric}"] = Place(place.benchmark, task, metric)
    own = own_figure(averages)
    if own is not None:
        found |= dict.fromkeys((f"{name}/average", f"{name} average"), Place(place.benchmark, *own))
    return found


def _published(runs: Sequence[Run]) -> list[str]:
    """Models known by their figures only."""
    with_records = set(names(runs))
    specs = [run.manifest.get("suite", {}).get("models", {}) for run in runs]
    found = [n for s in specs for n, spec in s.items() if spec.get("role") == "published"]
    return [name for name in dict.fromkeys(found) if name not in with_records]


def _concerns(row: Row, claim: Claim, own: tuple[str, str] | None) -> bool:
    c = row.comparison
    whole = row.headline if own is None else (c.task, c.metric) == own
    if c.category is not None or not claim.places:
        return c.category is None and whole
    return any(_is_at(row, place, whole=whole) for place in claim.places)


def _is_at(row: Row, place: Place, *, whole: bool) -> bool:
    c = row.comparison
    if c.benchmark != place.benchmark:
        return False
    if place.task is None:
        return whole
    return c.task == place.task and (
        row.primary if place.metric is None else c.metric == place.metric
    )


def _missing(rows: Sequence[Row], claim: Claim, others: Sequence[str]) -> Iterator[str]:
    """Parts of a claim that nothing was found for: what is not there cannot carry it."""
    have = {(r.comparison.baseline, r.comparison.benchmark) for r in rows}
    wanted = [place.benchmark for place in claim.places]
    for other in others:
        for benchmark in dict.fromkeys(wanted):
            if (other, benchmark) not in have:
                yield (
                    f"{claim.subject} and {other} have no samples of {benchmark_label(benchmark)} "
                    f"in common."
                )
        if not wanted and not any(baseline == other for baseline, _ in have):
            yield f"{claim.subject} and {other} have no samples in common."


def _without_samples(runs: Sequence[Run], claim: Claim, others: Sequence[str]) -> Iterator[str]:
    """Where a claim on everything there is has figures of both, but no samples of both."""
    if claim.places:
        return
    shown: dict[str, set[str]] = {}
    for run in runs:
        for e in run.estimates:
            if e.point is not None:
                shown.setdefault(e.model, set()).add(e.benchmark)
    measured = {(r.model, r.benchmark) for run in runs for r in run.records}
    ours = shown.get(claim.subject, set())
    for other in others:
        for benchmark in sorted(ours & shown.get(other, set())):
            if not {(claim.subject, benchmark), (other, benchmark)} <= measured:
                yield (
                    f"{claim.subject} and {other} have figures of {benchmark_label(benchmark)}, "
                    f"but no samples in common: name what the claim is about with 'on'."
                )


# --- one part -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """One baseline on one figure."""

    answer: Answer
    reason: str
    p: float | None = None
    """One-sided, of what is claimed."""
    against: float | None = None
    """One-sided, of what contradicts it."""


def _level(claim: Claim, options: Options) -> float:
    """One-sided error at which a part is contradicted."""
    return ALPHA if claim.relation in ("equal", "not_worse") else (1 - options.level) / 2


def _corrected(parts: Sequence[_Part], alpha: float) -> list[_Part]:
    """A contradiction stands after Holm's correction over the parts.

    Of many parts that are all equal some look worse by chance.  Where all samples of a part agree
    there is no p, and its bounds stand as they are.
    """
    found = []
    note = "That alone contradicts the claim, but not once all its parts are corrected for."
    for part, p in zip(parts, holm([part.against for part in parts]), strict=True):
        open_again = part.answer == "contradicted" and p is not None and p > alpha
        why = f"{part.reason} {note}"
        found.append(replace(part, answer="not supported", reason=why) if open_again else part)
    return found


def _part(row: Row, claim: Claim, runs: Sequence[Run]) -> _Part:
    c = row.comparison
    if claim.relation in ("equal", "not_worse"):
        amount = claim.amount if claim.amount is not None else _gate_margin(runs, c)
        if amount is None:
            return _Part(
                "not supported",
                f"On {_label(row)} that needs a margin: say 'within X points' or 'by more than X "
                f"points', or give the suite's gate one. {row.sentence}",
            )
        return _margin_part(row, claim, amount)
    sign = 1 if c.higher_is_better == (claim.relation != "worse") else -1
    if claim.amount is not None:
        return _amount_part(row, claim.amount, sign)
    said, plain = verdict(c), _plain(row)
    wanted, opposite = ("worse", "better") if claim.relation == "worse" else ("better", "worse")
    p = one_sided(c.p, None if c.difference is None else sign * c.difference)
    against = None if p is None else 1 - p
    if said == wanted:
        return _Part("supported", plain, p, against)
    return _Part("contradicted" if said == opposite else "not supported", plain, p, against)


def _amount_part(row: Row, amount: float, sign: int) -> _Part:
    """Better or worse by more than an amount: the interval must lie beyond it."""
    c = row.comparison
    if verdict(c) == "undefined" or c.low is None or c.high is None:
        return _Part("not supported", f"On {_label(row)} nothing is known: {c.method}.")
    low, high = sorted((sign * c.low, sign * c.high))
    shown = (
        f"{c.candidate} against {c.baseline}: {difference(c.difference, c.unit)} "
        f"{unit_text(c.unit, of_difference=True)} on {_label(row)}, {level_text(c.level)} "
        f"{bounds(c)}, where more than {figure(amount, c.unit)} is claimed."
    )
    shown = " ".join([shown, *differently(row.unlike)])
    beyond = None if c.difference is None else sign * c.difference - amount
    p = non_inferiority(beyond, c.standard_error, degrees(c), MarginRule(0.0, ALPHA)).p
    against = None if p is None else 1 - p
    if low > amount:
        return _Part("supported", shown, p, against)
    return _Part("contradicted" if high < amount else "not supported", shown, p, against)


def _plain(row: Row) -> str:
    """The row's sentence; where only the correction for many rows hides a verdict, its figures."""
    c = row.comparison
    if verdict(c) == row.verdict:
        return row.sentence
    shown = f"{difference(c.difference, c.unit)} {unit_text(c.unit, of_difference=True)}"
    return (
        f"{c.candidate} is {side_word(verdict(c), c.unit)} than {c.baseline} on {_label(row)} "
        f"taken alone ({shown}); among all rows of these runs it is not told apart."
        + "".join(f" {text}" for text in differently(row.unlike))
    )


def _margin_part(row: Row, claim: Claim, margin: float) -> _Part:
    c = row.comparison
    sign = 1 if c.higher_is_better else -1
    if c.difference is None or c.standard_error is None:
        return _Part("not supported", f"On {_label(row)} nothing is known: {c.method}.")
    rule = MarginRule(margin, ALPHA, span=_SPANS.get(c.unit))
    found = non_inferiority(sign * c.difference, c.standard_error, degrees(c), rule)
    back = non_inferiority(-sign * c.difference, c.standard_error, degrees(c), rule)
    shown = (
        f"{difference(c.difference, c.unit)} {unit_text(c.unit, of_difference=True)} on "
        f"{_label(row)}, margin {figure(margin, c.unit)}"
    )
    if found.low is None or found.high is None:
        reason = f"{c.candidate} against {c.baseline}: {shown}; {found.method}."
        return _Part("not supported", reason)
    low, high = sorted((sign * found.low, sign * found.high))
    sides = f"{difference(low, c.unit)} to {difference(high, c.unit)} at 95% on each side"
    reason = f"{c.candidate} against {c.baseline}: {shown}; {sides}."
    reason = " ".join([reason, *differently(row.unlike)])
    holds = found.verdict == "pass" and (claim.relation == "not_worse" or back.verdict == "pass")
    both = (found.p, back.p) if claim.relation == "equal" else (found.p,)
    p = intersection_union(both).p
    against = None if p is None else 1 - p
    if holds:
        return _Part("supported", reason, p, against)
    beyond = found.high < -margin or (claim.relation == "equal" and found.low > margin)
    return _Part("contradicted" if beyond else "not supported", reason, p, against)


def _label(row: Row) -> str:
    return row_label(row.comparison, speaks=row.headline)


def _gate_margin(runs: Sequence[Run], c: Comparison) -> float | None:
    """Of the runs' suites, where they have a gate."""
    for run in runs:
        margins = (run.manifest.get("suite", {}).get("gate") or {}).get("margins") or {}
        own = [f"{c.benchmark}/{c.task}"]
        own += [f"{c.benchmark}/{c.metric}"] if c.metric.startswith("average") else []
        for name in (*own, c.benchmark, "default"):
            if name in margins:
                return float(margins[name])
    return None


# --- evidence -----------------------------------------------------------------------------------


def _damaged(runs: Sequence[Run], models: set[str]) -> Iterator[str]:
    for run in runs:
        for damage in damages(run, models):
            yield f"Damaged evidence of {damage.model}: {damage.message}."


def _only_published(runs: Sequence[Run], claim: Claim, published: Sequence[str]) -> tuple[str, ...]:
    """Why published figures carry no comparison, and what they are."""
    shown = {claim.subject, *published}
    places = {place.benchmark for place in claim.places}
    figures = [
        f"{e.model}, {figure_label(e.benchmark, e.task, e.metric)}, {metric_words(e.metric)}: "
        f"{figure(e.point, e.unit)} ({e.source or 'measured here'})"
        for run in runs
        for e in run.estimates
        if e.model in shown and e.point is not None and e.category is None
        if not places or e.benchmark in places
    ]
    reason = (
        f"Only published figures of {', '.join(published)} are known, and without scores of "
        f"single samples the error of a difference cannot be computed."
    )
    return (reason, *figures)
