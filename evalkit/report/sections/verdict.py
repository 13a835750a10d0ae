"""The first screen: is the candidate better, by how much, and may one say so."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from evalkit.report.blocks import (
    Answer,
    Axis,
    Block,
    Caveats,
    Contest,
    Headline,
    Note,
    Section,
    Text,
    Verdict,
)
from evalkit.report.health import health_rows, is_local, weakly_judged
from evalkit.report.sections.evidence import damaged
from evalkit.report.view import Measure, View
from evalkit.report.words import (
    ALL_AGREE,
    UNFINISHED,
    WORDS,
    bounds,
    has_width,
    level_text,
    measure_label,
    sentence,
    unit_text,
    verdict,
)
from evalkit.tables import count, difference, figure, percent
from evalkit.types import Comparison

__all__ = ["build"]


_Found: TypeAlias = list[tuple[Measure, Comparison]]


def build(view: View) -> Section:
    """The answers, then what to know before quoting them, then the figures that say so."""
    found = {pair: _headlines(view, pair) for pair in view.pairs}
    blocks: list[Block] = [
        _answer(pair, rows, weakly_judged(view)) for pair, rows in found.items() if rows
    ]
    if not blocks and view.sealed:
        blocks.append(Text("No candidate is compared with a baseline in this run."))
    notes = tuple(_warnings(view))
    if notes:
        blocks.append(Caveats(notes))
    blocks += [_contest(view, pair, rows) for pair, rows in found.items() if rows]
    return Section("Verdict", tuple(blocks))


def _headlines(view: View, pair: tuple[str, str]) -> _Found:
    """One pair on the primary metric of every task."""
    primary = [m for b in view.benchmarks for m in b.measures if m.metric.primary]
    return [(m, c) for m in primary if (c := view.comparison(pair, m)) is not None]


def _contest(view: View, pair: tuple[str, str], found: _Found) -> Contest:
    units = dict.fromkeys(c.unit for _, c in found)
    weak = weakly_judged(view)
    axes = tuple(_axis(unit, [(m, c) for m, c in found if c.unit == unit], weak) for unit in units)
    level = level_text(view.level)
    note = (
        f"Each line is candidate minus baseline on the samples both answered, with its {level} "
        f"interval. Right of zero favours {pair[0]}. “Better” and “worse” are said "
        "only where the interval excludes zero."
    )
    if len(found) > 1:
        chance = figure(len(found) * (1 - view.level), "points")
        note += (
            f" There are {count(len(found))} such tests and no correction for their number: "
            f"between equal models {chance} of them would exclude zero by chance, on average."
        )
    return Contest(*pair, axes, note)


def _answer(pair: tuple[str, str], found: _Found, weak: set[str]) -> Answer:
    """The claim rests on what no weak judge decided; what one prefers is said apart."""
    sound = [verdict(c) for m, c in found if m.benchmark not in weak]
    judged = [verdict(c) for m, c in found if m.benchmark in weak]
    if not sound:
        claim = _claim(pair, judged)
        return Answer(f"By a weak judge only: {claim.text}", claim.tone)
    answer = _claim(pair, sound)
    if not judged:
        return answer
    better, worse, total = judged.count("better"), judged.count("worse"), len(judged)
    prefers = f"prefers {pair[0]} on {better} of {total} judged"
    if worse:
        prefers += f" and {pair[1]} on {worse}"
    return Answer(f"{answer.text} A weak judge {prefers}.", answer.tone)


def _claim(pair: tuple[str, str], verdicts: list[Verdict]) -> Answer:
    candidate, baseline = pair
    counts, total = Counter(verdicts), len(verdicts)
    better, worse = counts["better"], counts["worse"]
    if counts["undefined"] == total:
        return Answer(f"Nothing can be said yet of {candidate} against {baseline}.", "undefined")
    if better == worse == 0:
        where = {1: "the one measure", 2: "either measure"}.get(total, f"any of {total} measures")
        text = f"{candidate} cannot be told apart from {baseline} on {where}."
        return Answer(text, "unclear")
    rest = total - better - worse
    tone: Verdict = "unclear" if better and worse else "better" if better else "worse"
    tail = f"; not told apart on {rest}" if rest else ""
    of = f"{total} measure" if total == 1 else f"{total} measures"
    if better and worse:
        claim = f"better than {baseline} on {better} of {of} and worse on {worse}"
    elif better:
        claim = f"better than {baseline} on {better} of {of}"
    else:
        claim = f"worse than {baseline} on {worse} of {of}"
    return Answer(f"{candidate} is {claim}{tail}.", tone)


def _axis(unit: str, found: _Found, weak: set[str]) -> Axis:
    ends = [abs(v) for _, c in found for v in (c.low, c.difference, c.high) if v is not None]
    reach = _round_up(max(ends, default=1.0))
    headlines = tuple(
        _headline(m, c, reach, "weak judge" if m.benchmark in weak else "") for m, c in found
    )
    return Axis(unit_text(unit, of_difference=True), f"{reach:g}", headlines)


def _headline(measure: Measure, c: Comparison, reach: float, caveat: str) -> Headline:
    label = measure_label(measure)
    said = verdict(c)
    sign = 1 if c.higher_is_better else -1
    low, high = (c.low, c.high) if sign == 1 else (c.high, c.low)
    if not has_width(c):
        low = high = None
    return Headline(
        measure=label,
        verdict=said,
        word=WORDS[said],
        caveat=caveat,
        sentence=sentence(c, label, weak=bool(caveat)),
        shown=difference(c.difference, c.unit),
        interval=_interval(c),
        low=_place(low, sign * reach),
        point=_place(c.difference, sign * reach),
        high=_place(high, sign * reach),
    )


def _interval(c: Comparison) -> str:
    if has_width(c):
        return bounds(c)
    return "no interval" if c.low is None else f"no interval: {ALL_AGREE}"


def _place(value: float | None, reach: float) -> float | None:
    return None if value is None else round(50 + 48 * value / reach, 2)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    # A bound that is 2.0000001 by floating point must not double the axis.
    return next(float(f"{m * power:.9g}") for m in (1, 2, 5, 10) if value <= m * power * 1.000001)


def _warnings(view: View) -> Iterator[Note]:
    if view.limit is not None:
        yield Note(
            f"At most {count(view.limit)} samples per task were asked. "
            "Good for trying things out; not publishable.",
            "Limited run.",
        )
    elif not view.manifest.get("publishable", True):
        yield Note("The run's manifest marks it so.", "Not publishable.")
    if not view.sealed:
        yield Note(UNFINISHED, "No figures yet.")
    if found := damaged(view):
        what = "1 finding makes" if found == 1 else f"{count(found)} findings make"
        yield Note(
            f"{what} recorded figures doubtful; “Recorded evidence” below names each.",
            "Damaged evidence.",
        )
    yield from _weak_judges(view)
    yield from _model_warnings(view)
    yield from _missing(view)


def _weak_judges(view: View) -> Iterator[Note]:
    rows = health_rows(view)
    for name in sorted({row.judge for row in rows if is_local(view, row.judge)}):
        biases = [r.position_bias for r in rows if r.judge == name and r.position_bias is not None]
        text = "Judged scores say what this local model prefers, not what people would."
        if biases:
            worst = max(biases, key=abs)
            text += (
                f" In this run it leaned {percent(abs(worst))} percentage points toward "
                f"the answer shown {'first' if worst > 0 else 'second'} (50: it always prefers "
                f"that one)."
            )
        margins = [r.vote_margin for r in rows if r.judge == name and r.vote_margin is not None]
        if margins:
            text += (
                f" Its votes lay {figure(min(margins), 'percent')} points from a coin toss on "
                f"average (50: certain)."
            )
        yield Note(f"{text} Do not publish them.", f"Weak judge: {name}.")


def _model_warnings(view: View) -> Iterator[Note]:
    for model in view.measured:
        if model.entry.get("trust_remote_code"):
            yield Note("Code that came with the model was run.", f"{model.name}: remote code.")
        for warning in model.provenance.get("warnings", ()):
            yield Note(str(warning), f"{model.name}:")
        prompts = model.entry.get("first_prompts") or ()
        for bos in sorted({str(p.get("bos")) for p in prompts} & {"doubled", "missing"}):
            yield Note(f"Prompts begin with a {bos} BOS token.", f"{model.name}: BOS {bos}.")


def _missing(view: View) -> Iterator[Note]:
    failed = Counter(r.model for r in view.run.records if r.outcome.status != "ok")
    if failed:
        total = count(failed.total())
        parts = ", ".join(f"{model} {count(n)}" for model, n in failed.items())
        yield Note(
            f"{total} of {count(len(view.run.records))} lack a score, which is left out and never "
            f"taken for zero ({parts}). Reasons stand with each benchmark.",
            "Missing samples.",
            "remark",
        )
