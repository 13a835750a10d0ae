"""The answer to the page's question: better or not, by how much, and what could have been seen.

A claim rests on Holm-adjusted paired differences of what no weak judge decided; what a weak judge
prefers is said apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from evalkit.compare import Row
from evalkit.core import Comparison
from evalkit.draw import difference
from evalkit.report.blocks import Answer, Statement, Verdict
from evalkit.report.health import weakly_judged
from evalkit.report.view import Measure, View
from evalkit.report.words import bounds, level_text, measure_label, sentence, unit_text

__all__ = ["Found", "answer", "row_sentence", "statements"]

Found: TypeAlias = tuple[Measure, Row]
_NAMED = 3
"""Measures named in the answer itself; the table has all."""


def answer(view: View, pair: tuple[str, str], found: Sequence[Found]) -> Answer:
    """What may be said of a pair, in one or two sentences."""
    weak = weakly_judged(view)
    sound = [(m, row) for m, row in found if m.benchmark not in weak]
    judged = [row.verdict for m, row in found if m.benchmark in weak]
    if not sound:
        return _claim(pair, found, weak=True)
    claim = _claim(pair, sound, weak=False)
    if not judged:
        return claim
    return Answer(f"{claim.text} {_preferred(pair, judged)}", claim.tone)


def _preferred(pair: tuple[str, str], judged: Sequence[Verdict]) -> str:
    """What a weak judge says; where nothing is known it prefers nobody, "neither" included."""
    unknown = judged.count("undefined")
    if unknown == len(judged):
        return "What a weak judge prefers is not known."
    counts = {pair[0]: judged.count("better"), pair[1]: judged.count("worse")}
    liked = " and ".join(f"{name} on {n}" for name, n in counts.items() if n) or "neither on any"
    return f"A weak judge prefers {liked} of {len(judged)} judged{_unknown(unknown)}."


def statements(view: View, found: Sequence[Found]) -> tuple[Statement, ...]:
    """One for each measure."""
    weak = weakly_judged(view)
    return tuple(
        Statement(
            row_sentence(m, row),
            row.verdict,
            "weak judge" if m.benchmark in weak else "",
        )
        for m, row in found
    )


def row_sentence(measure: Measure, row: Row) -> str:
    """One measure in a sentence that may be printed as it stands."""
    if row.flags:
        return row.sentence
    label = measure_label(measure)
    return sentence(row.comparison, label, resolves=row.mde, said=row.verdict)


def _claim(pair: tuple[str, str], found: Sequence[Found], *, weak: bool) -> Answer:
    """On one measure its own sentence; on several how many, and the figures of the decided."""
    if len(found) == 1:
        ((measure, row),) = found
        return Answer(row_sentence(measure, row), row.verdict)
    candidate, baseline = pair
    better = [f for f in found if f[1].verdict == "better"]
    worse = [f for f in found if f[1].verdict == "worse"]
    open_ = [f for f in found if f[1].verdict == "unclear"]
    unknown = len(found) - len(better) - len(worse) - len(open_)
    start = "By a weak judge only: " if weak else ""
    if unknown == len(found):
        return Answer(f"Nothing can be said yet of {candidate} against {baseline}.", "undefined")
    if not better and not worse:
        # "Neither" and "any" are for what was seen: what is not known is counted apart.
        where = "either measure" if len(open_) == 2 else f"any of {len(open_)} measures"
        if len(open_) == 1:
            where = measure_label(open_[0][0])
        text = f"{candidate} cannot be told apart from {baseline} on {where}{_resolves(open_)}"
        return Answer(f"{start}{text}{_unknown(unknown)}.", "unclear")
    parts = list(_decided(pair, better, worse, len(found)))
    if open_:
        parts.append(f"not told apart on {len(open_)}{_resolves(open_)}")
    tone: Verdict = "unclear" if better and worse else "better" if better else "worse"
    text = f"{candidate} is {'; '.join(parts)}"
    return Answer(f"{start}{text}{_unknown(unknown)}.", tone)


def _decided(
    pair: tuple[str, str], better: Sequence[Found], worse: Sequence[Found], total: int
) -> Iterator[str]:
    of = f" of {total} measures"
    if better:
        yield f"better than {pair[1]} on {len(better)}{of} ({_figures(better)})"
    if worse:
        against = "" if better else f" than {pair[1]}"
        yield f"worse{against} on {len(worse)}{'' if better else of} ({_figures(worse)})"


def _figures(found: Sequence[Found]) -> str:
    """The largest first, in units of their standard errors: units differ between measures."""
    ranked = sorted(found, key=lambda f: -_size(f[1].comparison))
    shown = []
    for measure, row in ranked[:_NAMED]:
        c = row.comparison
        gap = f"{difference(c.difference, c.unit)} {unit_text(c.unit, of_difference=True)}"
        shown.append(f"{measure_label(measure)} {gap}, {level_text(c.level)} {bounds(c)}")
    left = len(found) - len(shown)
    return "; ".join(shown) + (f"; and {left} more" if left else "")


def _size(c: Comparison) -> float:
    if not c.difference or not c.standard_error:
        return 0.0
    return abs(c.difference) / c.standard_error


def _resolves(found: Sequence[Found]) -> str:
    """What the undecided could have shown, where they share a unit."""
    sizes = [row.mde for _, row in found if row.mde is not None]
    units = {row.comparison.unit for _, row in found}
    if len(units) != 1 or not sizes:
        return ""
    (unit,) = units
    low, high = (difference(v, unit).lstrip("+") for v in (min(sizes), max(sizes)))
    size = low if low == high else f"{low} to {high}"
    verb = "resolves" if len(found) == 1 else "resolve"
    return f", which {verb} {size} {unit_text(unit, of_difference=True)}"


def _unknown(n: int) -> str:
    return f"; not known on {n}" if n else ""
