"""Do stored runs support a sentence?  Supported, not supported or contradicted, and why.

    sentence ─ claim_grammar ─▶ statements ─ resolve ─▶ contests in their families ─▶ parts

Every part (one baseline on one figure) must hold: an intersection-union test, so the parts need no
correction for their own number (Berger 1982).  But a claim is picked from all that a run compares:
that one model is better, by whatever amount, must also hold among the run's headline contests
(`contests.shown`), so that a claim never says more than the report.  A margin that was set
beforehand is tested at its own level, as the gate tests it.  That some part contradicts the claim
needs a correction too: Holm's, over the parts.

What a model of the suite judged supports no claim: it says what a local judge prefers.

- better, worse: the two-sided interval excludes zero (or the amount: "by more than X") on that
  side; "by X" is the difference as it is printed;
- equal: two one-sided tests, so that the interval of level 1 - 2·alpha lies within the margin
  (Schuirmann 1987);
- not worse: non-inferiority with the margin (`stats.non_inferiority`);
- longer, shorter: as better and worse, of a length;
- best: better than every other model; one that is known by published figures cannot be tested;
- scores X: the figure, as it is printed.

A claim on a leaderboard as a whole is about its average; on any other benchmark, about each of its
headline figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

from evalkit import catalogue
from evalkit.comparison.cautions import damages
from evalkit.comparison.claim_grammar import (
    Amount,
    Compared,
    NotUnderstood,
    Relation,
    Scored,
    read_claim,
)
from evalkit.comparison.contests import (
    Options,
    Shown,
    contests,
    shown,
    stored,
    uncompared,
    verdict,
)
from evalkit.comparison.ranking import floors, rankings
from evalkit.comparison.resolve import Names, Place, find, margin_of, name_in, published, recorded
from evalkit.core import Json
from evalkit.core.contests import Contest
from evalkit.core.figures import Figure, FigureKey
from evalkit.core.run import Run
from evalkit.draw import (
    VERDICTS,
    Printed,
    agreement,
    benchmark_label,
    bounds,
    caution_notes,
    ci,
    contest_label,
    contest_remarks,
    contest_sentence,
    difference,
    figure,
    figure_label,
    judged_locally,
    metric_label,
    p_value,
    sides_of,
    state_text,
    task_label,
    unit_words,
)
from evalkit.errors import ComparisonError
from evalkit.stats.decisions import holm, intersection_union, non_inferiority
from evalkit.stats.means import p_above

__all__ = ["ClaimResult", "claim"]

Answer: TypeAlias = Literal["supported", "not supported", "contradicted"]
ALPHA = 0.05
"""One-sided error of `equal` and `not worse`, as the gate's default."""
_LENGTHS = ("longer", "shorter")
_OPPOSITE = {"better": "worse", "worse": "better", "longer": "shorter", "shorter": "longer"}
_NO_INTERVAL = (
    "without scores of single samples the error of a difference cannot be computed, so that no "
    "interval can be given"
)


@dataclass(frozen=True)
class ClaimResult:
    """What the data say to a claim."""

    claim: str
    answer: Answer
    reasons: tuple[str, ...]
    """One sentence a part."""
    suggestion: str
    """What the data show of the same figures: a statement that stands; empty where none does."""
    p_one_sided: float | None = None
    """Of the whole claim, uncorrected: the largest of its parts' (`stats.intersection_union`)."""
    p_adjusted: float | None = None
    """Two-sided, the largest of the parts', each by Holm among the `tests`; None where nothing is
    corrected (margins) or a part has no p."""
    tests: int = 0
    """Comparisons that the parts were corrected for."""
    notes: tuple[str, ...] = ()
    """What speaks against the evidence: a local judge, a limited run, damage."""

    def to_json(self) -> dict[str, Json]:
        """By field name."""
        return asdict(self) | {"reasons": list(self.reasons), "notes": list(self.notes)}


def claim(
    runs: Sequence[Run],
    sentence: str,
    options: Options,
) -> ClaimResult:
    """Check a sentence against stored runs.

    Args:
        runs: Where the evidence is.
        sentence: See `claim_grammar`.
        options: Level of the intervals, settings that may differ, whether damage is accepted.

    Raises:
        ComparisonError: a sentence that is not understood, unknown names, settings that differ.
    """
    names = Names(runs)
    statements = read_claim(sentence, names.is_model, names.is_place)
    if isinstance(statements, NotUnderstood):
        raise ComparisonError(f"{sentence!r} is not understood: {statements.why}")
    facts, comparisons = list[_Part](), list[_Checked]()
    models: dict[str, None] = {}
    for one in statements:
        models[names.model(one.subject)] = None
        if isinstance(one, Scored):
            facts.append(_scored(runs, one, names))
        else:
            asked = _resolved(runs, one, names)
            models |= dict.fromkeys(asked.others)
            comparisons.append(_checked(runs, asked, options))
    found = [contest for checked in comparisons for contest in checked.contests]
    tested = _corrected([part for checked in comparisons for part in checked.parts])
    found_damaged = list(_damaged(runs, models))
    damage, accepted = ([], found_damaged) if options.accept_damaged else (found_damaged, [])
    gaps = [gap for checked in comparisons for gap in checked.gaps]
    lacking = [_Part("not supported", gap) for gap in dict.fromkeys((*damage, *gaps))]
    parts = [*facts, *tested, *lacking]
    answers = {part.answer for part in parts}
    answer: Answer = "supported" if answers == {"supported"} else "not supported"
    if "contradicted" in answers and not damage:
        answer = "contradicted"
    p_values = [part.p_adjusted for part in tested]
    known = [p for p in p_values if p is not None]
    return ClaimResult(
        claim=sentence,
        answer=answer,
        reasons=(
            *(part.reason for part in ((*lacking, *facts, *tested) if damage else parts)),
            *dict.fromkeys(aside for checked in comparisons for aside in checked.asides),
            *(f"Accepted with --accept-damaged: {why}" for why in accepted),
        ),
        suggestion="" if damage else " ".join(contest_sentence(contest) for contest in found),
        p_one_sided=intersection_union([part.p for part in (*tested, *lacking)]),
        p_adjusted=max(known) if known and len(known) == len(p_values) else None,
        tests=max((part.tests for part in tested if part.p_adjusted is not None), default=0),
        notes=tuple(caution_notes(found)),
    )


# --- what a statement is about ------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """A comparison, its names looked up."""

    subject: str
    relation: Relation
    others: tuple[str, ...]
    places: tuple[Place, ...]
    """Empty: every benchmark that is common."""
    amount: Amount | None

    @property
    def of_length(self) -> bool:
        return self.relation in _LENGTHS


@dataclass(frozen=True)
class _Part:
    """One baseline on one figure, or what is missing of it."""

    answer: Answer
    reason: str
    p: float | None = None
    """One-sided, of what is claimed."""
    against: float | None = None
    """One-sided, of what contradicts it."""
    alpha: float = ALPHA
    """One-sided error at which it is contradicted."""
    p_adjusted: float | None = None
    """Two-sided, among all contests of the run."""
    tests: int = 0


@dataclass(frozen=True)
class _Checked:
    """One statement."""

    contests: Sequence[Contest] = ()
    parts: Sequence[_Part] = ()
    gaps: Sequence[str] = ()
    """What is not there supports no claim; each is a sentence, with the figures that are known."""
    asides: Sequence[str] = ()
    """What else there is and was not compared."""


def _resolved(runs: Sequence[Run], said: Compared, names: Names) -> _Asked:
    subject = names.model(said.subject)
    others = tuple(names.model(other) for other in said.others) or tuple(
        name for name in (*recorded(runs), *published(runs)) if name != subject
    )
    if not others:
        raise ComparisonError(f"{subject!r} is the only model; a claim needs another")
    if subject in others:
        raise ComparisonError(f"{subject!r} is compared with itself; name another model")
    places = tuple(names.place(place) for place in said.places)
    return _Asked(subject, said.relation, others, places, said.amount)


def _checked(runs: Sequence[Run], asked: _Asked, options: Options) -> _Checked:
    sampled = [recorded([run]) for run in runs]
    printed = [
        model
        for model in (asked.subject, *asked.others)
        if not any(name_in(run, model) in held for run, held in zip(runs, sampled, strict=True))
    ]
    others = [] if asked.subject in printed else [n for n in asked.others if n not in printed]
    found, beside = _contests(runs, asked, others, options)
    wholes = {
        name: part.entry.whole
        for name, part in (find(runs, asked.subject, repeats=True).parts if found else {}).items()
    }
    meant = [c for c in found if _is_meant(c, asked, wholes.get(c.key.benchmark))]
    gaps = [*_out_of_order(runs, asked, meant, options), *_missing(runs, asked, meant, others)]
    if printed:
        kind = "published figures" if set(printed) <= set(published(runs)) else "figures"
        gaps.append(f"Only {kind} of {', '.join(printed)} are known: {_NO_INTERVAL}.")
        gaps += _figures_known(runs, (asked.subject, *printed), asked.places)
    asides: list[str] = []
    wanted = {place.benchmark for place in asked.places if place.task is None}
    for apart in uncompared(runs, asked.subject, others, options) if others else ():
        both = (asked.subject, apart.baseline)
        if asked.places:
            # Tasks of a benchmark that is named as a whole, which the claim then lacks.
            gaps += [apart.sentence] if apart.tasks and apart.benchmark in wanted else []
        elif asked.of_length or apart.tasks or not _has_figures(runs, both, apart.benchmark):
            asides.append(apart.sentence)
        else:
            gaps.append(f"{apart.sentence} Name what the claim is about with 'on'.")
    return _Checked(meant, [_part(c, asked, runs, beside) for c in meant], gaps, asides)


def _contests(
    runs: Sequence[Run], asked: _Asked, others: Sequence[str], options: Options
) -> tuple[list[Contest], Shown]:
    """All there are of these models, each within all that is compared beside it."""
    if not others:
        return [], shown(runs, ())
    mine = set(find(runs, asked.subject, repeats=options.repeats).parts)
    wanted = {place.benchmark for place in asked.places} or mine
    sharing = [
        other
        for other in others
        if wanted & mine & set(find(runs, other, repeats=options.repeats).parts)
    ]
    if not sharing:
        return [], shown(runs, ())
    try:
        found = contests(runs, asked.subject, sharing, options)
    except ComparisonError:
        # Settings that differ elsewhere do not stop a claim on a place.
        kept = [
            replace(run, records=tuple(r for r in run.records if r.benchmark in wanted))
            for run in runs
        ]
        found = contests(kept, asked.subject, sharing, options)
    beside = shown(runs, found)
    return [beside.judged(contest) for contest in found], beside


def _is_meant(contest: Contest, asked: _Asked, whole: FigureKey | None) -> bool:
    return any(
        _is_at(contest, place, whole, of_length=asked.of_length)
        for place in asked.places or (Place(contest.key.benchmark),)
    )


def _is_at(contest: Contest, place: Place, whole: FigureKey | None, *, of_length: bool) -> bool:
    """Whether a place names the contest's figure; a length's where nothing else is said of one."""
    key = contest.key
    if not _covers(place, key):
        return False
    if place.metric is not None:
        return True
    if of_length:
        return not catalogue.unit(contest.comparison.unit).has_direction
    if place.task is not None:
        return contest.primary
    return contest.family == "headline" if whole is None else key == whole


def _covers(place: Place, key: FigureKey) -> bool:
    return (
        (key.benchmark, key.category) == (place.benchmark, place.category)
        and place.task in (None, key.task)
        and place.metric in (None, key.metric)
    )


# --- one part -----------------------------------------------------------------------------------


def _corrected(parts: Sequence[_Part]) -> list[_Part]:
    """A contradiction stands after Holm's correction over the parts.

    Of many parts that are all equal some look worse by chance.  Where all samples of a part agree
    there is no p, and its bounds stand as they are.
    """
    found = []
    note = "That alone contradicts the claim, but not once all its parts are corrected for."
    for part, p in zip(parts, holm([part.against for part in parts]), strict=True):
        open_again = part.answer == "contradicted" and p is not None and p > part.alpha
        why = f"{part.reason} {note}"
        found.append(replace(part, answer="not supported", reason=why) if open_again else part)
    return found


def _part(contest: Contest, asked: _Asked, runs: Sequence[Run], beside: Shown) -> _Part:
    if contest.unfit:
        return _Part("not supported", contest_sentence(contest))
    part = _tested(contest, asked, runs, beside)
    if not judged_locally(contest):
        return part
    why = "What a local judge prefers supports no claim."
    return replace(part, answer="not supported", reason=f"{part.reason} {why}")


def _tested(contest: Contest, asked: _Asked, runs: Sequence[Run], beside: Shown) -> _Part:
    c, label, amount = contest.comparison, contest_label(contest), asked.amount
    sentence = contest_sentence(contest)
    unit = catalogue.unit(c.unit)
    if asked.relation != "equal" and unit.has_direction == asked.of_length:
        no_merit = "has no better direction: longer or shorter is no merit"
        why = "is no length" if asked.of_length else no_merit
        return _Part("not supported", f"{label} {why}. {sentence}")
    if amount is not None and amount.percent and c.unit != "percent":
        words = unit_words(c.unit, of_difference=True)
        return _Part("not supported", f"{label} is in {words}, not in percent. {sentence}")
    if asked.relation in ("equal", "not_worse"):
        return _within_margin(contest, asked, runs)
    alpha = (1 - c.difference.level) / 2
    down = asked.relation in ("worse", "shorter")
    sign = 1 if (asked.of_length or c.higher_is_better) != down else -1
    if amount is not None and amount.how == "more_than":
        return replace(_beyond(contest, amount.value, sign, beside), alpha=alpha)
    wanted = "better" if asked.relation == "best" else asked.relation
    answers: dict[str, Answer] = {wanted: "supported", _OPPOSITE[wanted]: "contradicted"}
    p = p_above(c.difference.times(sign))
    part = _Part(
        answer=answers.get(contest.verdict, "not supported"),
        reason=_among(contest, sentence),
        p=p,
        against=None if p is None else 1 - p,
        alpha=alpha,
        p_adjusted=contest.p_adjusted,
        tests=contest.tests,
    )
    return part if amount is None else _stating(part, contest, amount, sign, runs)


def _among(contest: Contest, sentence: str) -> str:
    """The sentence, and the verdict alone where only the correction hides it."""
    c, alone = contest.comparison, verdict(contest.comparison)
    if alone == contest.verdict or judged_locally(contest):
        return sentence
    kind = "headline comparisons" if contest.family == "headline" else "details"
    return (
        f"{sentence} Taken alone {c.candidate} would be {VERDICTS[alone]} (p {p_value(c.p)}); "
        f"among the {contest.tests} {kind} of the run p is {p_value(contest.p_adjusted)}."
    )


def _stating(
    part: _Part, contest: Contest, amount: Amount, sign: int, runs: Sequence[Run]
) -> _Part:
    """Whether the amount is the paired difference, or that of the two figures, as printed."""
    c, d = contest.comparison, contest.comparison.difference
    if d.point is None or d.low is None or d.high is None:
        return part
    figures = [_point(runs, model, c.key) for model in (c.candidate, c.baseline)]
    ours, theirs = figures
    points = [d.point] + ([ours - theirs] if ours is not None and theirs is not None else [])
    printed = Printed(amount.value, amount.decimals, amount.percent)
    if any(agreement(printed, sign * p, c.unit, may_be_share=False) for p in points):
        return replace(part, reason=f"{part.reason} The difference is as stated.")
    low, high = sorted((sign * d.low, sign * d.high))
    is_out = d.has_width and not low <= amount.value <= high
    said = f"{amount.value:.{amount.decimals}f}"
    reason = f"{part.reason} The difference is {difference(d.point, c.unit)}, not {said}."
    if part.answer == "contradicted" or not is_out:
        answer: Answer = "contradicted" if part.answer == "contradicted" else "not supported"
        return replace(part, answer=answer, reason=reason)
    return replace(part, answer="contradicted", reason=reason, against=None)


def _beyond(contest: Contest, amount: float, sign: int, beside: Shown) -> _Part:
    """Better or worse by more than an amount: the interval must lie beyond it."""
    c, d = contest.comparison, contest.comparison.difference
    label = contest_label(contest)
    if verdict(c) == "undefined" or d.low is None or d.high is None:
        return _Part("not supported", f"No conclusion on {label}: {d.how}.")
    low, high = sorted((sign * d.low, sign * d.high))
    said = (
        f"{sides_of(c)}: {difference(d.point, c.unit)} {unit_words(c.unit, of_difference=True)} on "
        f"{label}, {ci(d.level)} {bounds(d, c.unit, signed=True)}, where more than "
        f"{figure(amount, c.unit)} is claimed."
    )
    reason = " ".join([said, *contest_remarks(contest)])
    p = p_above(d.times(sign), amount)
    two_sided = None if p is None else min(1.0, 2 * min(p, 1 - p))
    adjusted, tests = beside.corrected(contest, two_sided)
    part = _Part(
        "not supported", reason, p, None if p is None else 1 - p, p_adjusted=adjusted, tests=tests
    )
    if low <= amount <= high:
        return part
    if adjusted is not None and adjusted > 1 - d.level:
        more = (
            f"Once the {tests} comparisons of the run are corrected for, that is open: p "
            f"{p_value(adjusted)}."
        )
        return replace(part, reason=f"{reason} {more}")
    return replace(part, answer="supported" if low > amount else "contradicted")


def _within_margin(contest: Contest, asked: _Asked, runs: Sequence[Run]) -> _Part:
    c, d, label = contest.comparison, contest.comparison.difference, contest_label(contest)
    margin = _gate_margin(runs, c.key) if asked.amount is None else asked.amount.value
    if margin is None:
        return _without_margin(contest, asked)
    if d.point is None or d.standard_error is None:
        return _Part("not supported", f"No conclusion on {label}: {d.how}.")
    scale = catalogue.unit(c.unit)
    span = None if scale.low is None or scale.high is None else scale.high - scale.low
    ours, back = (
        non_inferiority(d, margin, alpha=ALPHA, span=span, higher_is_better=higher)
        for higher in (c.higher_is_better, not c.higher_is_better)
    )
    of_gate = " (of the suite's gate)" if asked.amount is None else ""
    said = (
        f"{sides_of(c)}: {difference(d.point, c.unit)} {unit_words(c.unit, of_difference=True)} on "
        f"{label}, margin {figure(margin, c.unit)}{of_gate}"
    )
    low, high = ours.bounds.low, ours.bounds.high
    if low is None or high is None:
        return _Part("not supported", f"{said}; {ours.bounds.how}.")
    each = f"{difference(low, c.unit)} to {difference(high, c.unit)} at 95% on each side"
    reason = " ".join([f"{said}; {each}.", *contest_remarks(contest)])
    tests = [ours] if asked.relation == "not_worse" else [ours, back]
    p = intersection_union([test.p for test in tests])
    worst, best = (low, high) if c.higher_is_better else (-high, -low)
    answer: Answer = "not supported"
    if all(test.verdict == "pass" for test in tests):
        answer = "supported"
    elif best < -margin or (asked.relation == "equal" and worst > margin):
        answer = "contradicted"
    return _Part(answer, reason, p, None if p is None else 1 - p)


def _without_margin(contest: Contest, asked: _Asked) -> _Part:
    """Better is not worse, whatever the margin; all else needs one."""
    sentence = contest_sentence(contest)
    if asked.relation == "not_worse" and contest.verdict in ("better", "worse"):
        sign = 1 if contest.comparison.higher_is_better else -1
        p = p_above(contest.comparison.difference.times(sign))
        return _Part(
            answer="supported" if contest.verdict == "better" else "contradicted",
            reason=sentence,
            p=p,
            against=None if p is None else 1 - p,
            p_adjusted=contest.p_adjusted,
            tests=contest.tests,
        )
    return _Part(
        "not supported",
        f"On {contest_label(contest)} that needs a margin: say 'within X points' or 'by more than "
        f"X points', or give the suite's gate one. {sentence}",
    )


def _gate_margin(runs: Sequence[Run], key: FigureKey) -> float | None:
    """Of the runs' suites, where they have a gate."""
    for run in runs:
        gate = run.manifest.suite.gate
        margin = None if gate is None else margin_of(gate, key, {e.name: e for e in run.benchmarks})
        if margin is not None:
            return margin
    return None


def _out_of_order(
    runs: Sequence[Run], asked: _Asked, meant: Sequence[Contest], options: Options
) -> Iterator[str]:
    """Where a run's leaderboard, which corrects for all its pairs, leaves it open who is best."""
    if asked.relation != "best" or len(runs) != 1 or not meant:
        return
    (run,) = runs
    entries = [part.entry for part in find(runs, asked.subject).parts.values()]
    mine = {entry.name for entry in entries}
    records = [r for r in run.records if r.benchmark in mine]
    labels = {c.key: contest_label(c) for c in meant if not judged_locally(c)}
    floor = floors([*stored(run), *meant])
    for key, ranking, _ in rankings(records, entries, options.level, floor):
        place = ranking.place(asked.subject)
        if key in labels and place is not None and place.last > 1:
            yield (
                f"Once all pairs of models are corrected for, {asked.subject} is {place.first} to "
                f"{place.last} of {len(ranking.places)} on {labels[key]}."
            )


# --- a printed figure ---------------------------------------------------------------------------


def _scored(runs: Sequence[Run], said: Scored, names: Names) -> _Part:
    """Whether a model's figure is the one that the sentence prints."""
    model, place = names.model(said.subject), names.place(said.place)
    value = f"{said.value:.{said.decimals}f}"
    found = [
        (run, f)
        for run, f in _figures(runs, model)
        if f.key in place.keys(run.benchmark(place.benchmark))
    ]
    if not found:
        reason = f"No figure of {model} on {_label(place)} is known."
        return _Part("not supported", reason)
    if len({f.key for _, f in found}) > 1:
        raise ComparisonError(
            f"{said.place!r} has several figures: "
            f"{', '.join(sorted({f'{f.key.benchmark}/{f.key.task}' for _, f in found}))}; name one"
        )
    printed = Printed(said.value, said.decimals, said.percent)
    for _, f in found:
        # No point of 10 is a percentage.
        if said.percent and f.unit != "percent":
            continue
        if agreement(printed, f.value.point or 0.0, f.unit, may_be_share=not said.percent):
            return _Part("supported", f"{_figure_text(f)}.")
    measured_here = any(f.source is None for _, f in found)
    return _Part(
        "contradicted" if measured_here else "not supported",
        f"{'; '.join(_figure_text(f) for _, f in found)}: not {value}.",
    )


# --- what is not there --------------------------------------------------------------------------


def _missing(
    runs: Sequence[Run], asked: _Asked, meant: Sequence[Contest], others: Sequence[str]
) -> Iterator[str]:
    """Parts of a claim that have no contest."""
    for other in others:
        mine = [c.key for c in meant if c.comparison.baseline == other]
        pair = f"{asked.subject} and {other}"
        both = (asked.subject, other)
        if not asked.places and not mine:
            if asked.of_length:
                yield f"No length of answers of both {pair} is known."
            else:
                yield f"{pair} have no samples in common: {_NO_INTERVAL}."
                yield from _figures_known(runs, both, ())
        for place in dict.fromkeys(asked.places):
            if any(_covers(place, key) for key in mine):
                continue
            known = list(_figures_known(runs, both, (place,)))
            parts = [find(runs, name, repeats=True).parts.get(place.benchmark) for name in both]
            metrics = [
                () if part is None else part.entry.metrics.get(place.task or "", ())
                for part in parts
            ]
            if asked.of_length and place.metric is None and all(parts):
                yield f"No length of answers is measured on {_label(place)}."
            elif place.metric is not None and all(
                found and place.metric not in {m.name for m in found} for found in metrics
            ):
                yield (
                    f"{_label(place)} of {pair} has no paired interval: it is computed over all "
                    f"samples at once, and no value of single samples is there to be compared."
                )
            else:
                why = f": {_NO_INTERVAL}" if known else ""
                yield f"{pair} have no samples of {_label(place)} in common{why}."
            yield from known


def _has_figures(runs: Sequence[Run], models: Sequence[str], benchmark: str) -> bool:
    """Whether of each some figure is known, be it without samples."""
    return all(
        any(f.key.benchmark == benchmark for _, f in _figures(runs, model)) for model in models
    )


def _figures(runs: Sequence[Run], model: str) -> Iterator[tuple[Run, Figure]]:
    """A model's figures that are defined, with the runs that have them."""
    for run in runs:
        name = name_in(run, model)
        yield from ((run, f) for f in run.figures if f.model == name and f.value.point is not None)


def _damaged(runs: Sequence[Run], models: Iterable[str]) -> Iterator[str]:
    """What takes evidence of these models away: the state of their runs, what imports found."""
    for run in runs:
        own = {name for model in models if (name := name_in(run, model)) is not None}
        if own:
            if run.state != "finished":
                yield f"{run.folder}: {state_text(run)}"
            for damage in damages(run, own):
                yield f"Damaged evidence of {damage.model}: {damage.message}."


def _figures_known(
    runs: Sequence[Run], models: Sequence[str], places: Sequence[Place]
) -> Iterator[str]:
    """The models' figures in words: those that speak for their tasks where there are some."""
    found = [
        (run, f)
        for model in models
        for run, f in _figures(runs, model)
        if any(_covers(place, f.key) for place in places or (Place(f.key.benchmark),))
    ]
    speaking = [
        (run, f)
        for run, f in found
        if f.key.whole in run.benchmark(f.key.benchmark).primaries
        if not any(place.metric for place in places)
    ]
    for _, f in speaking or found:
        yield _figure_text(f)


def _figure_text(f: Figure) -> str:
    where = "measured here" if f.source is None else f.source.text
    label, metric = figure_label(f.key), metric_label(f.key.metric)
    return f"{f.model}, {label}, {metric}: {figure(f.value.point, f.unit)} ({where})"


def _point(runs: Sequence[Run], model: str, key: FigureKey) -> float | None:
    """A figure as stored, where one run has it."""
    points = [f.value.point for run in runs if (f := run.figure(name_in(run, model) or "", key))]
    return points[0] if len(points) == 1 else None


def _label(place: Place) -> str:
    if place.task is None:
        return benchmark_label(place.benchmark)
    label = task_label(place.benchmark, place.task)
    if place.category is not None:
        return f"{label} ({place.category})"
    return label if place.metric is None else f"{label} ({metric_label(place.metric)})"
