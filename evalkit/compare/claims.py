"""Do the data carry a claim?  Supported, not supported or contradicted, and what may be said.

Every part of a claim (one baseline on one task) must hold: the test is an intersection-union
test, so the parts need no correction for their own number (Berger 1982).  But a claim is picked
from all that a run compares: that one model is better, by whatever amount, must also hold among
the run's headline comparisons (`family`), so that a claim never says more than the report.  A
margin that was set beforehand is tested at its own level, as the gate tests it.  That some part
contradicts the claim needs a correction too: Holm's, over the parts.

What a model of the suite judged carries no claim: it says what a weak judge prefers.

- better, worse: the two-sided interval excludes zero (or the amount named) on that side;
- equal: two one-sided tests, so that the interval of level 1 - 2·alpha lies within the margin
  (Schuirmann 1987);
- not worse: non-inferiority with the margin (`stats.non_inferiority`);
- longer, shorter: as better and worse, of a length;
- best: better than every other model; one that is known by published figures cannot be tested.

A claim on a leaderboard as a whole is about its average; on any other benchmark, about each of its
headline figures (`headline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

from evalkit.compare.claim_gaps import damaged, missing, only_published, without_samples
from evalkit.compare.claim_names import claim_names, published
from evalkit.compare.claim_text import Claim, Place, parse
from evalkit.compare.comparisons import degrees
from evalkit.compare.family import Family, family, floors, stated_rows
from evalkit.compare.headline import own_figure
from evalkit.compare.old_ranking import rankings
from evalkit.compare.rows import Options, Row, compare
from evalkit.compare.sides import averages_of, find, metrics_of, names
from evalkit.compare.table import notes
from evalkit.compare.uncompared import uncompared
from evalkit.compare.words import (
    WORDS,
    bounds,
    has_direction,
    level_text,
    row_label,
    unit_text,
    verdict,
)
from evalkit.core import Comparison, Json, Run
from evalkit.draw import difference, figure, p_value
from evalkit.errors import ComparisonError
from evalkit.stats import MarginRule, holm, intersection_union, non_inferiority, one_sided

__all__ = ["ClaimResult", "check_claim"]

Answer: TypeAlias = Literal["supported", "not supported", "contradicted"]
ALPHA = 0.05
"""One-sided error of `equal` and `not worse`, as the gate's default."""
_SPANS = {"percent": 100.0, "points": 9.0}
"""Largest difference of one sample's scores: bounds the error where all samples agree."""
_DOWN = ("worse", "shorter")
_OPPOSITE = {"better": "worse", "worse": "better", "longer": "shorter", "shorter": "longer"}
_NO_MERIT = "has no better direction: longer or shorter is no merit"


@dataclass(frozen=True)
class ClaimResult:
    """What the data say to a claim."""

    claim: str
    answer: Answer
    reasons: tuple[str, ...]
    """One sentence a part."""
    suggestion: str
    """What may be said instead, or as it stands; empty where nothing may."""
    p_one_sided: float | None = None
    """Of the whole claim, uncorrected: the largest of its parts' (`stats.intersection_union`)."""
    p_adjusted: float | None = None
    """Two-sided, the largest of the parts', each by Holm among the `tests`; None where nothing is
    corrected (margins) or a part has no p."""
    tests: int = 0
    """Comparisons that the parts were corrected for."""
    notes: tuple[str, ...] = ()
    """What speaks against the evidence: a weak judge, a limited run, damage."""

    def to_json(self) -> dict[str, Json]:
        """By field name."""
        return asdict(self) | {"reasons": list(self.reasons), "notes": list(self.notes)}


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
    claim = parse(text, claim_names(runs))
    known = [*names(runs), *published(runs)]
    others = claim.others or tuple(n for n in known if n != claim.subject)
    if not others:
        raise ComparisonError(f"{claim.subject!r} is the only model; a claim needs another")
    printed = [n for n in (claim.subject, *others) if n in published(runs)]
    asked = [] if claim.subject in printed else [n for n in others if n not in printed]
    rows, whole = _rows(runs, claim, asked, options)
    judged = [_by_weak_judge(_part(row, claim, runs, whole), row) for row in rows]
    parts = _corrected(judged, _level(claim, options))
    parts += [_Part("not supported", why) for why in _out_of_order(runs, claim, rows, options)]
    parts += [_Part("not supported", why) for why in missing(runs, claim, rows, asked)]
    parts += [_Part("not supported", why) for why in without_samples(runs, claim, asked)]
    damage = [] if accept_damaged else list(damaged(runs, {claim.subject, *others}))
    shown = only_published(runs, claim, printed) if printed else ()
    parts += [_Part("not supported", why) for why in (*damage, *shown)]
    untested, beside = _left_out(runs, claim, asked, options)
    parts += [_Part("not supported", why) for why in untested]
    return ClaimResult(
        text,
        _together([part.answer for part in parts]),
        (*(part.reason for part in parts), *beside),
        "" if damage else " ".join(row.sentence for row in rows),
        intersection_union([part.p for part in parts]).p,
        _largest([part.p_adjusted for part in judged]),
        max((r.tests for r, part in zip(rows, judged, strict=True) if part.corrected), default=0),
        tuple(notes(rows)),
    )


def _largest(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return max(known) if known and len(known) == len(values) else None


def _rows(
    runs: Sequence[Run], claim: Claim, others: Sequence[str], options: Options
) -> tuple[list[Row], Family]:
    """What the claim is about, as it may be stated among all that is compared beside it."""
    if not others:
        return [], family(runs, ())
    parts = find(runs, claim.subject, repeats=options.repeats).parts
    own = {name: own_figure(averages_of(part)) for name, part in parts.items()}
    wanted = {place.benchmark for place in claim.places} or set(parts)
    sharing = [
        other
        for other in others
        if wanted & set(parts) & set(find(runs, other, repeats=options.repeats).parts)
    ]
    found = _compared(runs, claim.subject, sharing, (wanted, options)) if sharing else []
    whole = family(runs, found)
    rows = [whole.judged(row, options.level) for row in found]
    mine = [row for row in rows if _concerns(row, claim, own.get(row.comparison.benchmark))]
    return mine, whole


def _out_of_order(
    runs: Sequence[Run], claim: Claim, rows: Sequence[Row], options: Options
) -> Iterator[str]:
    """Where a run's leaderboard, which corrects for all its pairs, leaves it open who is best."""
    if claim.relation != "best" or len(runs) != 1:
        return
    (run,) = runs
    metrics = {name: metrics_of(part) for name, part in find(runs, claim.subject).parts.items()}
    records = [r for r in run.records if r.benchmark in metrics]
    wanted = {(r.comparison.benchmark, r.comparison.task): r for r in rows if not r.weak}
    floor = floors([*stated_rows(run), *rows])
    for benchmark, task, ranking, _ in rankings(records, metrics, options.level, floor):
        place = ranking.place(claim.subject)
        if (benchmark, task) in wanted and place is not None and place.last > 1:
            label = _label(wanted[benchmark, task])
            yield (
                f"Once all pairs of models are corrected for, {claim.subject} is {place.first} to "
                f"{place.last} of {len(ranking.places)} on {label}."
            )


def _compared(
    runs: Sequence[Run], subject: str, others: Sequence[str], how: tuple[set[str], Options]
) -> list[Row]:
    """As `compare` says it; what was not made alike elsewhere does not stop a claim on a place."""
    wanted, options = how
    try:
        return compare(runs, subject, others, options)
    except ComparisonError:
        kept = [
            replace(run, records=tuple(r for r in run.records if r.benchmark in wanted))
            for run in runs
        ]
        return compare(kept, subject, others, options)


def _left_out(
    runs: Sequence[Run], claim: Claim, others: Sequence[str], options: Options
) -> tuple[list[str], list[str]]:
    """Tasks of a benchmark that is named as a whole, which the claim then lacks; and all else."""
    if not others:
        return [], []
    named = {place.benchmark for place in claim.places if place.task is None}
    found = [u for u in uncompared(runs, claim.subject, others, options) if u.has != "figures"]
    untested = [u.sentence for u in found if u.tasks and u.benchmark in named]
    return untested, [] if claim.places else [u.sentence for u in found]


def _together(answers: Sequence[Answer]) -> Answer:
    if "contradicted" in answers:
        return "contradicted"
    return "supported" if answers and set(answers) == {"supported"} else "not supported"


# --- what a claim is about ---------------------------------------------------------------------


def _concerns(row: Row, claim: Claim, own: tuple[str, str] | None) -> bool:
    c = row.comparison
    whole = row.headline if own is None else (c.task, c.metric) == own
    if not claim.places:
        return c.category is None and whole
    return any(_is_at(row, place, whole=whole) for place in claim.places)


def _is_at(row: Row, place: Place, *, whole: bool) -> bool:
    c = row.comparison
    if (c.benchmark, c.category) != (place.benchmark, place.category):
        return False
    if place.task is None:
        return whole
    return c.task == place.task and (
        row.primary if place.metric is None else c.metric == place.metric
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
    p_adjusted: float | None = None
    """Two-sided, among all comparisons of the run."""

    @property
    def corrected(self) -> bool:
        """Whether it was judged among others."""
        return self.p_adjusted is not None


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


def _by_weak_judge(part: _Part, row: Row) -> _Part:
    """Neither supported nor contradicted, whatever it prefers."""
    if not row.weak:
        return part
    why = "What a weak judge prefers carries no claim."
    return replace(part, answer="not supported", reason=f"{part.reason} {why}")


def _part(row: Row, claim: Claim, runs: Sequence[Run], whole: Family) -> _Part:
    c = row.comparison
    of_length = claim.relation in ("longer", "shorter")
    if claim.relation != "equal" and has_direction(c.unit) == of_length:
        why = "is no length" if of_length else _NO_MERIT
        return _Part("not supported", f"{_label(row)} {why}. {row.sentence}")
    if claim.relation in ("equal", "not_worse"):
        amount = claim.amount if claim.amount is not None else _gate_margin(runs, c)
        if amount is None:
            return _Part(
                "not supported",
                f"On {_label(row)} that needs a margin: say 'within X points' or 'by more than X "
                f"points', or give the suite's gate one. {row.sentence}",
            )
        return _margin_part(row, claim, amount)
    sign = 1 if (of_length or c.higher_is_better) == (claim.relation not in _DOWN) else -1
    if claim.amount is not None:
        return _amount_part(row, claim.amount, sign, whole)
    wanted = "better" if claim.relation == "best" else claim.relation
    opposite = _OPPOSITE[wanted]
    p = one_sided(c.p, None if c.difference is None else sign * c.difference)
    against = None if p is None else 1 - p
    said: dict[str, Answer] = {wanted: "supported", opposite: "contradicted"}
    answer = said.get(row.verdict, "not supported")
    return _Part(answer, _among(row), p, against, row.p_adjusted)


def _among(row: Row) -> str:
    """The row's sentence, and what it would be alone where only the correction hides a verdict."""
    c = row.comparison
    if verdict(c) == row.verdict or row.weak:
        return row.sentence
    kind = "headline comparisons" if row.headline else "details"
    return (
        f"{row.sentence} Taken alone {c.candidate} would be {WORDS[verdict(c)]} (p "
        f"{p_value(c.p)}); among the {row.tests} {kind} of the run p is {p_value(row.p_adjusted)}."
    )


def _amount_part(row: Row, amount: float, sign: int, whole: Family) -> _Part:
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
    shown = " ".join([shown, *row.remarks])
    beyond = None if c.difference is None else sign * c.difference - amount
    p = non_inferiority(beyond, c.standard_error, degrees(c), MarginRule(0.0, ALPHA)).p
    against = None if p is None else 1 - p
    adjusted, tests = whole.corrected(row, None if p is None else min(1.0, 2 * min(p, 1 - p)))
    alone = low > amount or high < amount
    if alone and adjusted is not None and adjusted > 1 - c.level:
        shown += (
            f" Once the {tests} comparisons of the run are corrected for, that is open: p "
            f"{p_value(adjusted)}."
        )
        return _Part("not supported", shown, p, against, adjusted)
    if low > amount:
        return _Part("supported", shown, p, against, adjusted)
    return _Part("contradicted" if high < amount else "not supported", shown, p, against, adjusted)


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
        + ("" if claim.amount is not None else " (of the suite's gate)")
    )
    if found.low is None or found.high is None:
        reason = f"{c.candidate} against {c.baseline}: {shown}; {found.method}."
        return _Part("not supported", reason)
    low, high = sorted((sign * found.low, sign * found.high))
    sides = f"{difference(low, c.unit)} to {difference(high, c.unit)} at 95% on each side"
    reason = f"{c.candidate} against {c.baseline}: {shown}; {sides}."
    reason = " ".join([reason, *row.remarks])
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
