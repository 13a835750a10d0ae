"""Figures that one number may be of, and what the other numbers of a table tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.card.audit.agreement import agree
from evalkit.card.audit.benchmarks import BENCHMARKS
from evalkit.card.audit.measures import Measure, named
from evalkit.card.audit.models import Match
from evalkit.card.audit.shapes import Fact, Number

__all__ = ["PUBLISHED", "Candidates", "quoting_places", "repeated_places", "settled_measures"]

PUBLISHED = ("figure", "leaderboard")
"""Kinds of facts that someone else measured, or may have."""
_ENOUGH = 2
"""Rows of a column that settle what it holds."""


@dataclass(frozen=True)
class Candidates:
    """Facts that one number may be of."""

    number: Number
    model: Match
    wide: tuple[Fact, ...]
    why: str = ""
    """Why there are none."""


def settled_measures(found: Sequence[Candidates]) -> dict[str, tuple[Measure, str]]:
    """By heading, the one measure that several of its rows are figures of."""
    votes: dict[str, dict[Measure, set[str]]] = {}
    for candidates in found:
        number = candidates.number
        if number.printed.decimals < 1:
            continue
        measures = _agreeing(number, _certain(candidates.wide, candidates))
        for measure in measures.union(*(_exchanged(candidates, other) for other in found)):
            votes.setdefault(number.heading, {}).setdefault(measure, set()).add(number.model)
    settled: dict[str, tuple[Measure, str]] = {}
    for heading, counts in votes.items():
        best = max(counts, key=lambda m: (len(counts[m]), -_rank(m), str(m)))
        explained = counts[best]
        others = set().union(*(rows for m, rows in counts.items() if m != best))
        if len(explained) >= _ENOUGH and others <= explained:
            how = f"{len(explained)} other rows of its column are {named(best)}"
            settled[heading] = (best, how)
    return settled


def repeated_places(numbers: Sequence[Number]) -> set[tuple[str, str]]:
    """(model, heading) of different numbers of one table: of trials or settings not told apart."""
    values: dict[tuple[str, str], set[float]] = {}
    for number in numbers:
        values.setdefault((number.model, number.heading), set()).add(number.printed.value)
    return {place for place, found in values.items() if len(found) > 1}


def quoting_places(found: Sequence[Candidates]) -> set[tuple[str, str]]:
    """Columns and rows whose numbers are published ones: two at least, and two for each other.

    Who measures again gets other figures, and may quote published ones for other models.  Two
    rows that print each other's figure quote both.  Keys are ("heading", heading) and
    ("model", model).
    """
    same: dict[tuple[str, str], set[str]] = {}
    other: dict[tuple[str, str], set[str]] = {}
    for candidates in found:
        number = candidates.number
        facts = _published(candidates)
        if facts and number.printed.decimals:
            agrees = _agreeing(number, facts) or any(_exchanged(candidates, c) for c in found)
            counts = same if agrees else other
            counts.setdefault(("heading", number.heading), set()).add(number.model)
            counts.setdefault(("model", number.model), set()).add(number.heading)
    return {
        key
        for key, places in same.items()
        if len(places) >= _ENOUGH * max(1, len(other.get(key, ())))
    }


def _published(candidates: Candidates) -> list[Fact]:
    return [f for f in candidates.wide if f.kind in PUBLISHED]


def _certain(facts: Sequence[Fact], candidates: Candidates) -> list[Fact]:
    return [f for f in facts if f.model in candidates.model.certain]


def _agreeing(number: Number, facts: Sequence[Fact]) -> set[Measure]:
    """Measures whose figure the number is."""
    return {f.measure for f in facts if agree(number.printed, f, number.label) is not None}


def _exchanged(first: Candidates, second: Candidates) -> set[Measure]:
    """Measures by which two rows of a column print each other's published figure."""
    a, b = first.number, second.number
    if (a.table, a.heading) != (b.table, b.heading) or a.model == b.model:
        return set()
    if not (a.printed.decimals and b.printed.decimals):
        return set()
    ours, theirs = (_certain(_published(c), c) for c in (first, second))
    return _agreeing(a, theirs) & _agreeing(b, ours)


def _rank(measure: Measure) -> int:
    """Preferred among measures with the same figures: a benchmark's headline."""
    bench = BENCHMARKS.get(measure[0])
    if bench is None or measure[2] not in bench.metrics:
        return 99
    return bench.metrics.index(measure[2])
