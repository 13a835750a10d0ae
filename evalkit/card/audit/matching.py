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

from evalkit.card.audit.agreement import Agreement, agree, in_range
from evalkit.card.audit.benchmarks import BENCHMARKS, METRICS
from evalkit.card.audit.layout import Layout
from evalkit.card.audit.models import Match, Models
from evalkit.card.audit.shapes import Checked, Fact, Label, Number
from evalkit.compare.words import metric_words, task_label
from evalkit.tables import figure, significant

__all__ = ["Matcher", "metrics_of", "repeated_places", "right_value"]

Measure = tuple[str, str | None, str]
_ENOUGH = 2
"""Rows of a column that settle what it holds."""
_PUBLISHED = ("figure", "leaderboard")
_BOARD_TASK = "open_llm_leaderboard"


@dataclass(frozen=True)
class _Candidates:
    """Facts that one number may be of."""

    number: Number
    model: Match
    wide: tuple[Fact, ...]
    why: str = ""
    """Why there are none."""


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
        settled, quoting, repeated = _settled(found), _quoting(found), repeated_places(numbers)
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

    def _candidates(self, number: Number) -> _Candidates:
        match = self.find(number)
        if number.doubt:
            return _Candidates(number, match, (), number.doubt)
        if not match.possible:
            return _Candidates(number, match, (), match.how)
        label = number.label
        known = [f for f in self.facts(match.possible) if _may_be(f, label)]
        if not known:
            return _Candidates(number, match, (), self._absent(number, match))
        ranged = tuple(f for f in known if in_range(number.printed, f, label))
        if not ranged:
            why = f"{number.text} is no {known[0].unit} figure"
            return _Candidates(number, match, (), why)
        return _Candidates(number, match, ranged)

    def _absent(self, number: Number, match: Match) -> str:
        named = ", ".join(sorted(match.possible)[:3])
        same = [f for f in self.facts(match.possible) if f.bench == number.label.bench]
        if same:
            have = dict.fromkeys(_measured(fact) for fact in same)
            return f"the evidence of {named} has {'; '.join(list(have)[:3])}, measured otherwise"
        return f"no evidence of {named} on {number.heading}"

    def _verdict(self, candidates: _Candidates, line: _Line) -> Checked:
        number, match = candidates.number, candidates.model
        if not candidates.wide:
            return Checked(number, "no evidence", why=candidates.why)
        narrow, how = _narrow(candidates, line)
        for fact in (*narrow, *candidates.wide):
            found = agree(number.printed, fact, number.label)
            if found is not None:
                ways = (match.how, _measured(fact), found.how)
                return Checked(number, "confirmed", ways, fact)
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
        if any(self._is_direct(fact) for fact in narrow):
            return ""
        if number.printed.has_error and all(f.standard_error is None for f in narrow):
            return "it has an error of its own, the published figure has none"
        if not line.is_quoting:
            return "neither its column nor its row quotes published figures"
        return ""

    def _is_direct(self, fact: Fact) -> bool:
        """Whether evidence is of just this measurement, not of one that may have been repeated."""
        is_own = fact.kind == "figure" and fact.model in self._models.own.certain
        return is_own or fact.kind not in _PUBLISHED


# --- what may confirm ---------------------------------------------------------------------------


def _may_be(fact: Fact, label: Label) -> bool:
    if label.average and label.bench is None:
        return fact.bench == _BOARD_TASK and fact.category is None
    if fact.bench != label.bench or fact.category != label.category:
        return False
    if None not in (fact.version, label.version) and fact.version != label.version:
        return False
    if None not in (fact.shots, label.shots) and fact.shots != label.shots:
        return False
    if not _same_judge(fact.judge, label.judge):
        return False
    if label.bench not in BENCHMARKS and label.metric in (None, "score"):
        return True  # a task of lm-eval whose metrics are not in the table
    return fact.metric in metrics_of(label)


def metrics_of(label: Label) -> frozenset[str]:
    """Metrics that a heading may stand for."""
    bench = BENCHMARKS.get(label.bench or "")
    if label.metric is None or (label.metric == "score" and bench is not None):
        return frozenset(bench.metrics if bench is not None else ())
    if label.exact and label.metric != "exact_match":
        return frozenset({label.metric})
    named = METRICS.get(label.metric, frozenset({label.metric}))
    if label.metric == "f1" and label.bench == "drop":
        return frozenset({"f1"})
    return named


def _same_judge(ours: str | None, said: str | None) -> bool:
    """Cards say "GPT-4" for any of its versions; another family is another judge."""
    if ours is None or said is None:
        return True
    first, second = (_judge_family(name) for name in (ours, said))
    return first == second or (second == "gpt-4" and first == "gpt-4-turbo")


def _judge_family(name: str) -> str:
    plain = name.casefold().replace("_", "-").replace(" ", "-")
    plain = plain.removeprefix("weighted-").removeprefix("alpaca-eval-").replace("gpt4", "gpt-4")
    if plain.startswith(("gpt-4o", "gpt-4.1", "gpt-41")):
        return plain
    if plain.startswith("gpt-4"):
        is_turbo = any(part in plain for part in ("turbo", "1106", "0125", "preview", "2024"))
        return "gpt-4-turbo" if is_turbo else "gpt-4"
    return plain


# --- what may contradict ------------------------------------------------------------------------


def _narrow(candidates: _Candidates, line: _Line) -> tuple[tuple[Fact, ...], str]:
    """(facts that are certainly meant, how) or (none, why not)."""
    label = candidates.number.label
    if candidates.number.loose or line.is_repeated:
        return (), candidates.number.loose or "the model has several such figures"
    own = tuple(f for f in candidates.wide if f.model in candidates.model.certain)
    if not own:
        return (), candidates.model.how
    if label.average and label.bench is None:
        return (), "which tasks an average is of is not certain"
    chosen, how = _certain_measure(label, own, line.board)
    if chosen is None and line.settled is not None:
        measure, how = line.settled
        chosen = tuple(f for f in own if f.measure == measure)
    if not chosen:
        return (), how
    judges = {_judge_family(f.judge) for f in chosen if f.judge is not None}
    if label.judge is not None and judges - {_judge_family(label.judge)}:
        return (), "the judge may be another"
    return chosen, how


def _certain_measure(
    label: Label, facts: tuple[Fact, ...], board: str | None
) -> tuple[tuple[Fact, ...] | None, str]:
    bench = BENCHMARKS.get(label.bench or "")
    metric = _certain_metric(label, facts, board)
    if metric is None:
        kinds = ", ".join(dict.fromkeys(metric_words(f.metric) for f in facts))
        return None, f"which metric is meant is not said (there is {kinds})"
    if label.bench == "alpaca_eval" and label.version is None:
        return None, "which version of AlpacaEval is meant is not said"
    chosen = tuple(f for f in facts if f.metric == metric)
    has_shots = bench is None or (bench.unit == "percent" and label.bench != "alpaca_eval")
    if has_shots and label.shots is None and (bench is None or board != bench.board):
        # Someone's own run is what a card is made from; a published figure may be another's.
        chosen = tuple(f for f in chosen if f.kind in ("run", "file"))
        if not chosen or len({f.shots for f in chosen}) > 1:
            return None, "how many shots is not said"
    return chosen, _measured(chosen[0]) if chosen else "no evidence of that metric"


def _certain_metric(label: Label, facts: Sequence[Fact], board: str | None) -> str | None:
    bench = BENCHMARKS.get(label.bench or "")
    if bench is None:
        return label.metric if label.exact else None
    named = label.metric if label.metric != "score" else None
    may_be = metrics_of(label)
    if named is not None and named in may_be and (label.exact or len(may_be) == 1):
        return named
    if label.bench == "alpaca_eval":
        return _alpaca_metric(label, named)
    is_board = bool(bench.board) and (board == bench.board or label.shots == bench.board_shots)
    if is_board and bench.board_metric in may_be:
        return bench.board_metric
    return bench.metrics[0] if len(bench.metrics) == 1 and named is None else None


def _alpaca_metric(label: Label, named: str | None) -> str | None:
    """Version 1 has one headline; version 2 has two, and one must be named."""
    if named in ("win_rate", "length_controlled_win_rate", "discrete_win_rate"):
        return "win_rate" if named == "win_rate" else named
    return "win_rate" if named is None and label.version == "1" else None


def _settled(found: Sequence[_Candidates]) -> dict[str, tuple[Measure, str]]:
    """By heading, the one measure that several of its rows are figures of."""
    votes: dict[str, dict[Measure, set[str]]] = {}
    for candidates in found:
        number = candidates.number
        if number.printed.decimals < 1:
            continue
        for fact in candidates.wide:
            is_certain = fact.model in candidates.model.certain
            if is_certain and agree(number.printed, fact, number.label) is not None:
                rows = votes.setdefault(number.heading, {}).setdefault(fact.measure, set())
                rows.add(number.model)
        for measure in {m for other in found for m in _exchanged(candidates, other)}:
            votes.setdefault(number.heading, {}).setdefault(measure, set()).add(number.model)
    settled: dict[str, tuple[Measure, str]] = {}
    for heading, counts in votes.items():
        best = max(counts, key=lambda m: (len(counts[m]), -_rank(m), str(m)))
        explained = counts[best]
        others = set().union(*(rows for m, rows in counts.items() if m != best))
        if len(explained) >= _ENOUGH and others <= explained:
            how = f"{len(explained)} other rows of its column are {_named(best)}"
            settled[heading] = (best, how)
    return settled


def repeated_places(numbers: Sequence[Number]) -> set[tuple[str, str]]:
    """(model, heading) of different numbers of one table: of trials or settings not told apart."""
    values: dict[tuple[str, str], set[float]] = {}
    for number in numbers:
        values.setdefault((number.model, number.heading), set()).add(number.printed.value)
    return {place for place, found in values.items() if len(found) > 1}


def _quoting(found: Sequence[_Candidates]) -> set[tuple[str, str]]:
    """Columns and rows whose numbers are published ones: two at least, and two for each other.

    Who measures again gets other figures, and may quote published ones for other models.  Two
    rows that print each other's figure quote both.  Keys are ("heading", heading) and
    ("model", model).
    """
    same: dict[tuple[str, str], set[str]] = {}
    other: dict[tuple[str, str], set[str]] = {}
    for candidates in found:
        number = candidates.number
        if _published(candidates) and number.printed.decimals:
            agrees = _agrees(number, candidates) or any(_exchanged(candidates, c) for c in found)
            counts = same if agrees else other
            counts.setdefault(("heading", number.heading), set()).add(number.model)
            counts.setdefault(("model", number.model), set()).add(number.heading)
    return {
        key
        for key, places in same.items()
        if len(places) >= _ENOUGH * max(1, len(other.get(key, ())))
    }


def _published(candidates: _Candidates) -> list[Fact]:
    return [f for f in candidates.wide if f.kind in _PUBLISHED]


def _agrees(number: Number, candidates: _Candidates) -> bool:
    return any(agree(number.printed, f, number.label) for f in _published(candidates))


def _exchanged(first: _Candidates, second: _Candidates) -> set[Measure]:
    """Measures by which two rows of a column print each other's published figure."""
    a, b = first.number, second.number
    if (a.table, a.heading) != (b.table, b.heading) or a.model == b.model:
        return set()
    if not (a.printed.decimals and b.printed.decimals):
        return set()
    return _agreeing(a, second) & _agreeing(b, first)


def _agreeing(number: Number, candidates: _Candidates) -> set[Measure]:
    certain = candidates.model.certain
    found = [f for f in _published(candidates) if f.model in certain]
    return {f.measure for f in found if agree(number.printed, f, number.label)}


def _rank(measure: Measure) -> int:
    """Preferred among measures with the same figures: a benchmark's headline."""
    bench = BENCHMARKS.get(measure[0])
    if bench is None or measure[2] not in bench.metrics:
        return 99
    return bench.metrics.index(measure[2])


# --- words --------------------------------------------------------------------------------------


def _named(measure: Measure) -> str:
    bench, version, metric = measure
    label = task_label(bench if bench in ("alpaca_eval", "mt_bench") else "lm_eval", bench)
    return f"{label}{f' {version}' if version else ''} {metric_words(metric)}"


def _measured(fact: Fact) -> str:
    shots = f", {fact.shots} shots" if fact.shots is not None else ""
    category = f", {fact.category}" if fact.category else ""
    return f"{_named(fact.measure)}{category}{shots} ({fact.source})"


def _known(facts: Sequence[Fact]) -> str:
    said = dict.fromkeys(f"{figure(f.value, f.unit)} is {_measured(f)}" for f in facts)
    return "evidence has " + "; ".join(list(said)[:3])


def right_value(fact: Fact, number: Number) -> str:
    """The evidence's value in the unit, and to the digits, in which the card prints its own."""
    decimals = number.printed.decimals
    if fact.unit == "percent" and Agreement.reads_share(number.printed, number.label):
        return significant(fact.value / 100, max(3, decimals))
    if decimals > 2:
        return significant(fact.value, decimals + len(str(int(abs(fact.value)))))
    return figure(fact.value, fact.unit)
