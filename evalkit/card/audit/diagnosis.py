"""What seems to have happened to a contradicted number.

Two numbers of one column that each hold the other's figure were swapped; a number that is the
figure of a model of the same family and another size, or of another metric of the same model,
was taken from there.  This explains a verdict and never makes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evalkit.card.audit.agreement import agree, is_share_of, significant_digits
from evalkit.card.audit.matching import Matcher
from evalkit.card.audit.shapes import OWN, Checked, Fact
from evalkit.compare.words import metric_words
from evalkit.draw import figure

__all__ = ["diagnosed"]

_DIGITS = 3
"""Significant digits below which two figures are equal by chance too often."""


def diagnosed(checked: Sequence[Checked], matcher: Matcher) -> list[Checked]:
    """With `why` for each contradicted number that can be explained."""
    found = list(checked)
    wrong = [i for i, c in enumerate(found) if c.verdict == "contradicted"]
    for i in wrong:
        twin = next((j for j in wrong if j != i and _swapped(found[i], found[j])), None)
        if twin is not None:
            other = found[twin].number
            found[i] = replace(found[i], why=f"swapped with {other.model or OWN!r}")
        else:
            why = _taken_from(found[i], matcher) or _of_another_row(found[i], found)
            found[i] = replace(found[i], why=why)
    return found


def _swapped(first: Checked, second: Checked) -> bool:
    a, b = first.number, second.number
    if (a.table, a.heading) != (b.table, b.heading) or first.fact is None or second.fact is None:
        return False
    return (
        agree(a.printed, second.fact, a.label) is not None
        and agree(b.printed, first.fact, b.label) is not None
    )


def _taken_from(checked: Checked, matcher: Matcher) -> str:
    fact, number = checked.fact, checked.number
    if fact is None:
        return ""
    if is_share_of(number.printed, fact):
        return "it is that figure as a share of 1, where percentages are expected"
    if significant_digits(number.printed) < _DIGITS:
        return ""
    same = _of_measure(matcher.siblings([fact.model]), fact)
    for sibling in same:
        if agree(number.printed, sibling, number.label) is not None:
            shown = figure(sibling.value, sibling.unit)
            return f"it is the figure of {sibling.model}, another size ({shown}, {sibling.source})"
    for other in matcher.facts([fact.model]):
        is_near = other.bench == fact.bench and other.measure != fact.measure
        if is_near and agree(number.printed, other, number.label) is not None:
            version = f", version {other.version}" if other.version != fact.version else ""
            return f"it is the model's {metric_words(other.metric)}{version} ({other.source})"
    return ""


def _of_another_row(checked: Checked, others: Sequence[Checked]) -> str:
    number = checked.number
    if significant_digits(number.printed) < _DIGITS:
        return ""
    for other in others:
        place, fact = (other.number.table, other.number.heading), other.fact
        is_beside = place == (number.table, number.heading) and other.number.model != number.model
        if not is_beside or other.verdict != "confirmed" or fact is None:
            continue
        if agree(number.printed, fact, number.label) is not None:
            return f"it is the figure of {other.number.model or OWN!r}, another row"
    return ""


def _of_measure(facts: Iterable[Fact], wanted: Fact) -> list[Fact]:
    return [f for f in facts if f.measure == wanted.measure and f.category == wanted.category]
