"""Numbers against facts: confirmed, contradicted, or no evidence.

What *may* confirm a number is wide: any model its name may mean, any version, any metric its
heading may stand for.  What contradicts it is narrow: model, benchmark, version, metric and unit
are each certain, and nothing that may confirm it does.  Where a heading leaves open what was
measured, two other rows of its column that are one measure's figures to the last printed digit,
and no other's, settle it.  Figures that others published
contradict only columns and rows that quote such figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evalkit.card.audit.agreement import (
    Agreement,
    agree,
    in_range,
    is_share_of,
    significant_digits,
)
from evalkit.card.audit.candidates import (
    PUBLISHED,
    Candidates,
    quoting_places,
    repeated_places,
    settled_measures,
)
from evalkit.card.audit.layout import Layout
from evalkit.card.audit.measures import (
    Measure,
    certain_measure,
    judge_family,
    may_be,
    measured,
    of_another_metric,
)
from evalkit.card.audit.models import Match, Models
from evalkit.card.audit.shapes import Checked, Fact, Number
from evalkit.draw import figure, significant

__all__ = ["Matcher", "right_value"]

_TELLING = 3
"""Significant digits at which a share of one of several figures is no chance."""


@dataclass(frozen=True)
class _Line:
    """What the other numbers below the same heading tell of one."""

    board: str | None
    """The Open LLM Leaderboard whose columns the table has."""
    settled: tuple[Measure, str] | None
    """What the heading's numbers are of, and how that is known."""
    is_quoting: bool
    """The others of its column, or of its row, are published figures."""
    is_repeated: bool
    """Several of them are of the same model."""


class Matcher:
    """Holds the numbers of a card against facts."""

    def __init__(self, facts: Sequence[Fact], models: Models) -> None:
        self._models = models
        self._by_model: dict[str, list[Fact]] = {}
        for fact in facts:
            self._by_model.setdefault(fact.model, []).append(fact)

    def check(self, numbers: Sequence[Number], board: str | None) -> list[Checked]:
        """Every number of one table (or of the model-index), in its order."""
        found = [self._candidates(number) for number in numbers]
        settled, quoting, repeated = (
            settled_measures(found),
            quoting_places(found),
            repeated_places(numbers),
        )
        return [
            self._verdict(
                c,
                _Line(
                    board,
                    settled.get(c.number.heading),
                    is_quoting=("heading", c.number.heading) in quoting
                    or ("model", c.number.model) in quoting,
                    is_repeated=(c.number.model, c.number.heading) in repeated,
                ),
            )
            for c in found
        ]

    def table(self, layout: Layout) -> list[Checked]:
        """Every number of a table."""
        return self.check(layout.numbers, layout.board)

    @property
    def own_names(self) -> frozenset[str]:
        """Models of the evidence that are the card's own."""
        return self._models.own.certain

    def siblings(self, models: Iterable[str]) -> list[Fact]:
        """Facts of models that differ in size only."""
        return [f for m in sorted(self._models.siblings(models)) for f in self._by_model[m]]

    def find(self, number: Number) -> Match:
        """Which model a number is of."""
        if not number.model:
            return self._models.own
        return self._models.find(number.model, number.links, number.size)

    def facts(self, models: Iterable[str]) -> Iterator[Fact]:
        """Everything that is known of some models."""
        for model in sorted(models):
            yield from self._by_model.get(model, ())

    def _candidates(self, number: Number) -> Candidates:
        match = self.find(number)
        if number.doubt:
            return Candidates(number, match, (), number.doubt)
        if not match.possible:
            return Candidates(number, match, (), match.how)
        label = number.label
        known = [f for f in self.facts(match.possible) if may_be(f, label)]
        if not known:
            return Candidates(number, match, (), self._absent(number, match))
        ranged = tuple(f for f in known if in_range(number.printed, f, label))
        if not ranged:
            why = f"{number.text} is no {known[0].unit} figure"
            return Candidates(number, match, (), why)
        return Candidates(number, match, ranged)

    def _absent(self, number: Number, match: Match) -> str:
        named = ", ".join(sorted(match.possible)[:3])
        same = [f for f in self.facts(match.possible) if f.bench == number.label.bench]
        if same:
            have = dict.fromkeys(measured(fact) for fact in same)
            return f"the evidence of {named} has {'; '.join(list(have)[:3])}, measured otherwise"
        return f"no evidence of {named} on {number.heading}"

    def _verdict(self, candidates: Candidates, line: _Line) -> Checked:
        number, match = candidates.number, candidates.model
        if not candidates.wide:
            return Checked(number, "no evidence", why=candidates.why)
        narrow, how = _narrow(candidates, line)
        for fact in (*narrow, *candidates.wide):
            found = agree(number.printed, fact, number.label)
            if found is not None:
                ways = (match.how, measured(fact), found.how)
                return Checked(number, "confirmed", ways, fact)
        if not narrow and (shares := _shares(candidates, line)):
            narrow, how = (
                shares,
                f"a share of 1 where percentages are expected: {measured(shares[0])}",
            )
        why = how if not narrow else self._mitigation(number, narrow, line)
        if why:
            return Checked(number, "no evidence", why=f"{why}; {_known(candidates.wide)}")
        fact = narrow[0]
        right = right_value(fact, number)
        ways = (match.how, how, "differs beyond half a unit of its last digit")
        return Checked(number, "contradicted", ways, fact, right)

    def _mitigation(self, number: Number, narrow: Sequence[Fact], line: _Line) -> str:
        """Why a number that differs need not be wrong; empty where it is."""
        if number.printed.approximate:
            return f"{number.text} is approximate"
        other = self._of_another_metric(number, narrow[0])
        if other is not None:
            return f"it is {measured(other)}, and its heading does not say which metric it is of"
        if any(self._is_direct(fact) or is_share_of(number.printed, fact) for fact in narrow):
            return ""
        if number.printed.has_error and all(f.standard_error is None for f in narrow):
            return "it has an error of its own, the published figure has none"
        if not line.is_quoting:
            return "neither its column nor its row quotes published figures"
        return ""

    def _of_another_metric(self, number: Number, fact: Fact) -> Fact | None:
        """The figure that a number is, where another one of the same family was expected."""
        for other in self.facts([fact.model]):
            is_other = of_another_metric(other, fact, number.label)
            if is_other and agree(number.printed, other, number.label) is not None:
                return other
        return None

    def _is_direct(self, fact: Fact) -> bool:
        """Whether evidence is of just this measurement, not of one that may have been repeated."""
        is_own = fact.kind == "figure" and fact.model in self._models.own.certain
        return is_own or fact.kind not in PUBLISHED


# --- what may contradict ------------------------------------------------------------------------


def _narrow(candidates: Candidates, line: _Line) -> tuple[tuple[Fact, ...], str]:
    """(facts that are certainly meant, how) or (none, why not)."""
    label = candidates.number.label
    if candidates.number.loose or line.is_repeated:
        return (), candidates.number.loose or "the model has several such figures"
    own = tuple(f for f in candidates.wide if f.model in candidates.model.certain)
    if not own:
        return (), candidates.model.how
    if label.average and label.bench is None:
        return (), "which tasks an average is of is not certain"
    chosen, how = certain_measure(label, own, line.board)
    if chosen is None and line.settled is not None:
        measure, how = line.settled
        chosen = tuple(f for f in own if f.measure == measure)
    if not chosen:
        return (), how
    judges = {judge_family(f.judge) for f in chosen if f.judge is not None}
    if label.judge is not None and judges - {judge_family(label.judge)}:
        return (), "the judge may be another"
    return chosen, how


def _shares(candidates: Candidates, line: _Line) -> tuple[Fact, ...]:
    """Percentages of which a number below a percent sign is certainly a share of 1.

    Whichever of them is meant, the number is in another unit than its heading says.
    """
    number = candidates.number
    says_percent = number.label.percent or number.printed.percent
    if not says_percent or number.loose or line.is_repeated:
        return ()
    if significant_digits(number.printed) < _TELLING:
        return ()
    own = (f for f in candidates.wide if f.model in candidates.model.certain)
    return tuple(f for f in own if is_share_of(number.printed, f))


# --- words --------------------------------------------------------------------------------------


def _known(facts: Sequence[Fact]) -> str:
    said = dict.fromkeys(f"{figure(f.value, f.unit)} is {measured(f)}" for f in facts)
    return "evidence has " + "; ".join(list(said)[:3])


def right_value(fact: Fact, number: Number) -> str:
    """The evidence's value in the unit, and to the digits, in which the card prints its own."""
    decimals = number.printed.decimals
    if fact.unit == "percent" and Agreement.reads_share(number.printed, number.label):
        return significant(fact.value / 100, max(3, decimals))
    if decimals > 2:
        return significant(fact.value, decimals + len(str(int(abs(fact.value)))))
    return figure(fact.value, fact.unit)
